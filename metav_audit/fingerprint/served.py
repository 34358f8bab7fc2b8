"""The owner's side of served randomness: alternatives to what accounts were served, drawn from the same model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import CHANGED, ServedPlan, ServedQuery
from metav_audit.errors import FOREIGN, ConfigurationError, DataError
from metav_audit.task.texts import Shows
from metav_audit.transcript.log import Account, AskedLog, Drawn, Logged, SealedLog
from metav_audit.zoo.architectures import call_function, one_line

ALTERNATIVES = 19
"""Drawn for each prompt."""

LEAST_PROMPTS = 10
"""An account of fewer that tell something is not asked."""

WITHIN = 12
"""Tokens of an answer among which the one is drawn that is asked for, where an API shows tokens."""

FIXED = "the same answer whatever was drawn"
SHORTER = "the answer ended before the token that was drawn"


class Ask(NamedTuple):
    """What a program is asked to say.

    Attributes:
        prompt: what was asked.
        said: the beginning of the answer, which is to be continued; empty for none.
        one: whether a single token is wanted, and not the whole rest of the answer.
        seed: of the draw, from 0 to 2**63 - 1.
        sampler: as the log names it.
        temperature: as the log has it.
    """

    prompt: str
    said: str
    one: bool
    seed: int
    sampler: str
    temperature: float


class Program(Protocol):
    """The owner's model as it was served.

    Attributes:
        version: the model's version, as the log names it.
    """

    version: str

    def draw(self, asks: Sequence[Ask]) -> Sequence[str]:
        """Return a text drawn for each ask, by its seed; an empty one is the end of the answer."""
        ...

    def score(self, asks: Sequence[Ask], texts: Sequence[str]) -> Sequence[float]:
        """Return for each ask the log-probability, in nats, of being answered with the text beside it."""
        ...

    def split(self, prompt: str, answer: str) -> Sequence[str]:
        """Return an answer's tokens; joined they are the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan is to hold.

    Attributes:
        shows: what the suspect's API shows.
        prompts: so many of each account, at most.
        alternatives: drawn beside each answer.
    """

    shows: Shows = Shows.LOG_PROBABILITIES
    prompts: int = 200
    alternatives: int = ALTERNATIVES


def open_program(reference: str, what: str) -> Program:
    """Call ``module:function`` for a model as it was served.

    Args:
        reference: the function.
        what: it is, in words.

    Raises:
        ConfigurationError: there is no such module or function.
        DataError: it fails, or what it returns is no model: a version, a method of ``Program`` is missing.
    """
    found: Program = call_function(reference, what)
    lacking = [name for name in ("draw", "score", "split") if not callable(getattr(found, name, None))]
    if not isinstance(getattr(found, "version", None), str):
        lacking.append("version, which is a text")
    if lacking:
        raise DataError(
            f"{what} {reference!r} returns no model as it was served but {type(found).__name__}, without "
            f"{' and '.join(lacking)}: see docs/served.md"
        )
    return found


def check_texts(log: SealedLog) -> None:
    """Raise ConfigurationError where a log is not of texts."""
    if log.format.task is not None:
        raise ConfigurationError(f"{log.path} is no log of texts: 'metav-audit log seal --texts' makes one")


def plan_served(
    log: SealedLog,
    accounts: Sequence[Account],
    program: Program,
    draw: str,
    wanted: Wanted,
    seals: Sequence[Mapping[str, Any]] = (),
    tell: Callable[[int], None] = lambda _: None,
) -> ServedPlan:
    """Plan to ask a suspect about what accounts were served.

    Which prompts, which token of an answer and which alternatives follows from ``draw``, which the owner does not
    choose. Rows that another version of the model served are left out, and those where nothing is left to chance; both
    are counted.

    Args:
        log: sealed, of texts.
        accounts: as ``find_accounts`` found them with the same draw.
        program: the owner's model as it was served.
        draw: 32 bytes in hexadecimal, chosen by someone else after the log was sealed.
        wanted: how much is asked of what.
        seals: the log's, as attestations in JSON types.
        tell: told how many prompts have their alternatives.

    Raises:
        ConfigurationError: the log is not of texts.
        DataError: no account has enough prompts, or the program does not what it should.
        EvidenceError: the log cannot be read.
    """
    check_texts(log)
    left_out: Counter[str] = Counter()
    queries: list[ServedQuery] = []
    asked: list[tuple[int, Logged]] = []
    for number, account in enumerate(accounts):
        found = _of_account(account, program, draw, wanted, left_out)
        if len(found) >= LEAST_PROMPTS:
            queries += [query for _, query in found]
            asked += [(number, logged) for logged, _ in found]
            tell(len(queries))
    if not queries:
        told = "; ".join(f"{count} of the rows drawn: {why}" for why, count in left_out.items())
        raise DataError(f"no account has {LEAST_PROMPTS} prompts of which anything can be learned. {told}")
    told_of = AskedLog.of(log, draw, accounts, asked, seals).to_json()
    return ServedPlan(wanted.shows, program.version, tuple(queries), told_of, dict(left_out))


def redrawn(plan: ServedPlan, program: Program) -> list[int]:
    """Draw a plan's alternatives again; return the numbers of the queries that have others.

    Args:
        plan: as loaded.
        program: the owner's model, as whoever checks it runs it.

    Raises:
        DataError: the program does not what it should, or is of another version.
    """
    if program.version != plan.model:
        raise DataError(f"the plan is of the model {plan.model!r}, the program of {program.version!r}")
    differing = []
    draw, one = str(plan.log["draw"]), plan.shows is Shows.TOKENS
    for number, query in enumerate(plan.queries):
        how = Drawn(plan.model, query.sampler, query.temperature)
        turn = _Turn(draw, query.account, query.prompt)
        asks = _asks(turn, query.said, one, how, len(query.continuations) - 1)
        if tuple(_drawn(program, asks)) != query.continuations[1:]:
            differing.append(number)
    return differing


def scores_of(plan: ServedPlan, program: Program) -> NDArray[np.float64]:
    """Return what a program says of a plan's continuations, log-probabilities of shape (N, continuations).

    Raises:
        DataError: the program does not what it should.
    """
    found = []
    for query in plan.queries:
        ask = Ask(query.prompt, query.said, plan.shows is Shows.TOKENS, 0, query.sampler, query.temperature)
        found.append(list(_scored(program, [ask], query.continuations)))
    return np.array(found)


def _of_account(
    account: Account, program: Program, draw: str, wanted: Wanted, left_out: Counter[str]
) -> list[tuple[Logged, ServedQuery]]:
    """Return an account's rows that are asked, each with its query."""
    found: list[tuple[Logged, ServedQuery]] = []
    for logged in account.rows:
        if len(found) == wanted.prompts:
            break
        query = _query(account.name, logged, program, draw, wanted)
        if isinstance(query, str):
            left_out[query] += 1
        else:
            found.append((logged, query))
    return found


def _query(name: str, logged: Logged, program: Program, draw: str, wanted: Wanted) -> ServedQuery | str:
    """Return a row's query, or why it is left out."""
    row, how, prompt = logged.row, logged.row.how, logged.row.input.decode()
    assert how is not None
    assert isinstance(row.answer, str)
    if how.model != program.version:
        return CHANGED
    one = wanted.shows is Shows.TOKENS
    turn = _Turn(draw, name, prompt)
    begun = _begun(program, turn, row.answer) if one else ("", row.answer)
    if begun is None:
        return SHORTER
    said, served = begun
    asks = _asks(turn, said, one, how, wanted.alternatives)
    drawn = _drawn(program, asks)
    if set(drawn) == {served}:
        return FIXED
    texts = (served, *drawn)
    return ServedQuery(
        account=name,
        at=row.at,
        prompt=prompt,
        sampler=how.sampler,
        temperature=how.temperature,
        answer=row.answer,
        said=said,
        continuations=texts,
        own=tuple(_scored(program, asks, texts)),
    )


class _Turn(NamedTuple):
    """What seeds follow from: two accounts with one prompt have alternatives of their own."""

    draw: str
    account: str
    prompt: str

    def seed(self, what: str) -> int:
        text = json.dumps([*self, what], ensure_ascii=False, separators=(",", ":"))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _begun(program: Program, turn: _Turn, answer: str) -> tuple[str, str] | None:
    """Return the beginning of an answer and the token after it; None where the answer had ended before.

    The place follows from draw, account and prompt alone. If it followed from the answer's length, the token would be
    no longer as likely as its alternatives: it has a part in that length.
    """
    place = turn.seed("place") % WITHIN
    tokens = _called(program, "split", turn.prompt, answer)
    if not all(isinstance(token, str) and token for token in tokens) or "".join(tokens) != answer:
        raise DataError(f"split of {_name(program)} returns no tokens that are the answer when they are joined")
    if len(tokens) < place:
        return None
    return "".join(tokens[:place]), tokens[place] if place < len(tokens) else ""


def _asks(turn: _Turn, said: str, one: bool, how: Drawn, count: int) -> list[Ask]:
    return [
        Ask(turn.prompt, said, one, turn.seed(str(number)), how.sampler, how.temperature) for number in range(count)
    ]


def _drawn(program: Program, asks: Sequence[Ask]) -> list[str]:
    texts = _called(program, "draw", asks)
    if len(texts) != len(asks) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"draw of {_name(program)} returns no text for each of what it was asked")
    return texts


def _scored(program: Program, asks: Sequence[Ask], texts: Sequence[str]) -> Iterator[float]:
    repeated = [asks[0]] * len(texts)
    said = _called(program, "score", repeated, texts)
    try:
        numbers = np.array(said, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.full(0, np.nan)
    if numbers.shape != (len(texts),) or not np.isfinite(numbers).all():
        raise DataError(
            f"score of {_name(program)} returns no finite number for each text: may it not say what it drew?"
        )
    yield from numbers.tolist()


def _called(program: Program, method: str, *arguments: Any) -> list[Any]:
    try:
        return list(getattr(program, method)(*arguments))
    except FOREIGN as error:
        raise DataError(f"{method} of {_name(program)} fails: {one_line(error)}") from error


def _name(program: Program) -> str:
    return f"the program {type(program).__name__}"
