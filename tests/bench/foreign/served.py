"""What answers drawn at random tell of language models: which thieves are found, and whether innocents' p is uniform.

    python -m tests.bench.foreign.served

An owner's model answers the same prompts of several accounts. Thieves learn from what the first was served; innocents
are the owner's own model and tuned copies of it, others' models, and thieves through the second account.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from scipy.stats import kstest

from metav_audit.audit import post_time_stamp_query
from metav_audit.bundle import ServedPlan
from metav_audit.drill.rounds import as_text, summarise
from metav_audit.drill.served import LogCheck, LogDrill, LogKind
from metav_audit.evidence import SigningKey, fetch_time_stamp, read_certificates, seal_head
from metav_audit.fingerprint.served import Ask, Wanted, plan_served
from metav_audit.task.texts import Shows, likenesses
from metav_audit.transcript.log import LogFormat, SealedLog, find_accounts, find_sources, seal_log
from metav_audit.verdict.served import find_served
from tests.authority import Authority
from tests.bench.foreign.language import END, LONGEST, Corpus, Speaker, Text, read_corpus, train

ROOT = Path("/tmp/metav-audit-bench")
DATA = Path(__file__).parents[4] / "shared" / "data"
ACCOUNTS = 18
DRAW = "5e" * 32
TOP = 20
DECIMALS = 4
"""Of log-probabilities, as APIs show them: what is left of the owner's own model is rounding."""
_BATCH = 200
_SEED = 1 << 32

Shown = Callable[[Speaker, ServedPlan], NDArray[np.float64]]


class Told:
    """The owner's model as a program that ``served plan`` takes."""

    version = "gru-1"

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker

    def draw(self, asks: Sequence[Ask]) -> list[str]:
        """Draw words."""
        begun = [ask.prompt + ask.said for ask in asks]
        return self.speaker.sample(begun, [ask.seed for ask in asks], 1 if asks[0].one else LONGEST)

    def score(self, asks: Sequence[Ask], texts: Sequence[str]) -> list[float]:
        """Score words, or whole answers."""
        if not asks[0].one:
            return self.speaker.score([(ask.prompt, text) for ask, text in zip(asks, texts, strict=True)])
        chances = self.speaker.next_chances([asks[0].prompt + asks[0].said])[0]
        return [float(chances[self.speaker.numbers(text)[0] if text else END]) for text in texts]

    def split(self, prompt: str, answer: str) -> list[str]:
        """Divide into words."""
        del prompt
        return [f" {word}" for word in answer.split()]


def serve(owner: Speaker, prompts: Sequence[str], account: int) -> list[Text]:
    """Answer prompts of one length, as this account is answered."""
    seeds = np.random.default_rng(account).integers(_SEED, size=len(prompts)).tolist()
    return list(zip(prompts, owner.sample(prompts, seeds), strict=True))


def likely(suspect: Speaker, plan: ServedPlan) -> NDArray[np.float64]:
    """Show log-probabilities of what was served and of alternatives."""
    texts = [(query.prompt, each) for query in plan.queries for each in query.continuations]
    return np.array(suspect.score(texts)).reshape(len(plan.queries), -1).round(DECIMALS)


def tokens(suspect: Speaker, plan: ServedPlan) -> NDArray[np.float64]:
    """Show the likeliest next words, as the adapter reads them: the least of them where a word is not listed."""
    chances = suspect.next_chances([query.prompt + query.said for query in plan.queries])
    least = np.sort(chances, axis=1)[:, -TOP]
    numbers = np.array(
        [[suspect.numbers(each)[0] if each else END for each in query.continuations] for query in plan.queries]
    )
    return np.maximum(np.take_along_axis(chances, numbers, axis=1), least[:, None]).round(DECIMALS)


def texts(suspect: Speaker, plan: ServedPlan) -> NDArray[np.float64]:
    """Show answers of its own, compared."""
    said = _own_answers(suspect, [query.prompt for query in plan.queries])
    return np.array(
        [
            np.mean([likenesses(each, query.continuations) for each in said[query.prompt]], axis=0)
            for query in plan.queries
        ]
    )


SAMPLES = 4
"""Answers of its own that a suspect gives to a prompt."""

_said: WeakKeyDictionary[Speaker, dict[str, list[str]]] = WeakKeyDictionary()


def _own_answers(suspect: Speaker, prompts: Sequence[str]) -> dict[str, list[str]]:
    """Let a suspect answer prompts, each once: given its answers, accounts are tested independently of each other."""
    known = _said.setdefault(suspect, {})
    fresh = [prompt for prompt in prompts if prompt not in known]
    if fresh:
        drawn = [suspect.sample(fresh, [_seed_of(prompt, number) for prompt in fresh]) for number in range(SAMPLES)]
        known.update((prompt, [each[at] for each in drawn]) for at, prompt in enumerate(fresh))
    return known


def _seed_of(prompt: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{number} {prompt}".encode()).digest()[:4])


SHOWN: dict[Shows, tuple[int, Shown]] = {
    Shows.LOG_PROBABILITIES: (200, likely),
    Shows.TOKENS: (1200, tokens),
    Shows.TEXT: (1000, texts),
}
"""Prompts asked of an account, and what a suspect shows of them."""


def thieves(corpus: Corpus, log: list[Text], seed: int, cache: Path) -> Iterator[tuple[str, Speaker]]:
    """Yield five kinds of thief of a log."""
    words, mine = corpus.words, corpus.thief
    own = train(words, mine, 6, seed, cache)
    yield "from nothing", train(words, log, 15, seed, cache)
    yield "own data first", train(words, log, 5, seed, cache, own)
    yield "mixed", train(words, [*mine, *log], 8, seed, cache)
    yield "one epoch", train(words, log, 1, seed, cache, own)
    yield "half the log", train(words, log[::2], 15, seed, cache)


def innocents(corpus: Corpus, owner: Speaker, cache: Path) -> Iterator[tuple[str, Speaker]]:
    """Yield models that owe no account anything."""
    words = corpus.words
    yield "the owner's own", owner
    for name, data in (("a thief's data", corpus.thief), ("others' data", corpus.other), ("the prompts", corpus.asked)):
        yield f"the owner's, tuned on {name}", train(words, data, 3, 1, cache, owner)
    yield "the owner's data, trained anew", train(words, corpus.owner, 8, 1, cache)
    yield "others' data", train(words, corpus.other, 8, 1, cache)
    yield "the prompts as reviews have them", train(words, corpus.asked, 12, 1, cache)


def sealed(logs: Sequence[list[Text]], folder: Path) -> SealedLog:
    """Seal a log of what accounts were served."""
    export = folder / "log.jsonl"
    how = {"model": Told.version, "sampler": "plain", "temperature": 1.0}
    with export.open("w") as file:
        for number, log in enumerate(logs):
            for prompt, answer in log:
                row = {"time": "2026-03-01T10:00:00Z", "account": f"a{number:02d}", "input": prompt, **how}
                file.write(json.dumps({**row, "answer": answer}) + "\n")
    return seal_log(find_sources([str(export)]), LogFormat(None), folder / "sealed")[0]


def plans(owner: Speaker, logs: Sequence[list[Text]], shows: Shows, prompts: int) -> list[ServedPlan]:
    """Plan to ask of each account, apart."""
    with tempfile.TemporaryDirectory() as folder:
        log = sealed(logs, Path(folder))
        wanted, program = Wanted(shows, prompts), Told(owner)
        accounts = sorted(find_accounts(log, DRAW), key=lambda each: each.name)
        return [plan_served(log, [each], program, DRAW, wanted) for each in accounts]


def drill(corpus: Corpus, cache: Path, rounds: int) -> None:
    """Print what a dishonest owner's plans accuse, and what exposes them; the log is stamped before the innocent."""
    owner = train(corpus.words, corpus.owner, 8, 0, cache)
    innocent = train(corpus.words, corpus.other, 8, 1, cache)
    with tempfile.TemporaryDirectory() as folder, Authority(Path(folder) / "tsa") as authority:
        log = sealed([serve(owner, [prompt for prompt, _ in corpus.asked], 0)], Path(folder))
        stamper = partial(
            fetch_time_stamp,
            url=authority.url,
            certificates=read_certificates(authority.root),
            post=post_time_stamp_query,
        )
        key = SigningKey(Ed25519PrivateKey.generate())
        seal_head(log, key, claimed_at=datetime.now(UTC), stamper=stamper)
        played = list(LogDrill(log, Told(owner), Told(innocent), "2999-01-01").play(rounds, 0))
    print(as_text(summarise(played, LogKind, LogCheck), "plan"), flush=True)


def measure(corpus: Corpus, cache: Path, shows: Shows, accounts: int, prompts: int | None = None) -> None:
    """Print what is found of thieves, and how innocents' p-values lie."""
    owner = train(corpus.words, corpus.owner, 8, 0, cache)
    asked = [prompt for prompt, _ in corpus.asked]
    logs = [serve(owner, asked, number) for number in range(ACCOUNTS)]
    count, show = SHOWN[shows]
    planned = plans(owner, logs[:accounts], shows, prompts or count)
    print(f"\n{shows.value}: {len(planned[0].queries)} prompts of {len(asked)}, 19 alternatives", flush=True)
    for name, thief in thieves(corpus, logs[0], 7, cache):
        found = find_served(planned[0], show(thief, planned[0]))[0]
        print(f"  thief, {name:<34} z {found.statistic:6.2f}  p {found.p_value:.4f}", flush=True)
    p_values: list[float] = []
    others = [
        *((name, each, -1) for name, each in innocents(corpus, owner, cache)),
        *((f"thief elsewhere, {name}", each, 1) for name, each in thieves(corpus, logs[1], 8, cache)),
    ]
    for name, suspect, account in others:
        found = [find_served(plan, show(suspect, plan))[0] for number, plan in enumerate(planned) if number != account]
        p_values += [each.p_value for each in found]
        span = f"z {min(each.statistic for each in found):5.2f} to {max(each.statistic for each in found):5.2f}"
        print(f"  innocent, {name:<40} {span}", flush=True)
    values = np.array(p_values)
    below = ", ".join(f"{(values <= level).mean():.3f} at {level}" for level in (0.01, 0.05, 0.1, 0.5))
    uniform = kstest(values, "uniform").pvalue
    print(f"  {len(values)} innocents: {below}; uniform by Kolmogorov and Smirnov's test p = {uniform:.3f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shows", nargs="+", type=Shows, default=[Shows.LOG_PROBABILITIES, Shows.TOKENS, Shows.TEXT])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help="accounts that innocents are tested against")
    parser.add_argument("--prompts", type=int, help="asked of an account; as many as the tables name by default")
    parser.add_argument("--drill", type=int, metavar="ROUNDS", help="play a dishonest owner instead, so many rounds")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    told = parser.parse_args()
    torch.set_num_threads(1)
    corpus = read_corpus(told.data_dir)
    if told.drill:
        drill(corpus, told.root / "served", told.drill)
        return
    for shows in told.shows:
        measure(corpus, told.root / "served", shows, told.accounts, told.prompts)


if __name__ == "__main__":
    main()
