"""OpenAI-compatible language models: how likely they hold continuations, or which they give of their own.

Completions take the prompt as plain text and tell, with ``echo``, the log-probability of every token of it (vLLM and
others; not OpenAI itself). Chats tell the next token's likeliest alternatives, or texts alone.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    AnswerError,
    Inputs,
    Passage,
    Request,
    Response,
    ScoreKind,
    Shows,
    TaskSpec,
    TextDomain,
    Wait,
    likenesses,
    read_json,
    read_scores,
)
from metav_audit_adapters._paths import walk
from metav_audit_adapters._rows import BLANKS
from metav_audit_adapters._shared import join, json_request, member, refused

PROMPT, ANSWER = "{{prompt}}", "{{answer}}"


class LanguageOptions(AdapterOptions):
    """What a language model that is asked about texts is told."""

    url: str = Field(description="the API's base, such as https://api.openai.com/v1", pattern=r"^https?://")
    batch: int = Field(default=1, ge=1, le=1, description="passages in one request; this protocol takes one")
    scores: Literal[ScoreKind.VALUE] = Field(ScoreKind.VALUE, description="value: numbers of continuations come out")
    model: str = Field(description="the model's name", min_length=1)
    api: Literal["completions", "chat"] = Field("completions", description="which of the two is asked")
    form: str = Field(
        PROMPT + ANSWER,
        description='of completions: how prompt and answer are put together, "{{answer}}" last',
    )
    together: bool = Field(
        default=True, description="send a passage's continuations in one request, as a list of prompts"
    )
    top_logprobs: int = Field(20, ge=1, le=100, description="next tokens to ask for; many APIs give 5 or 20 at most")
    end: tuple[str, ...] = Field(
        ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>", "<eos>"),
        description="tokens that end an answer",
    )
    samples: int = Field(1, ge=1, le=64, description="answers of its own to ask for, where texts alone are compared")
    temperature: float = Field(1.0, ge=0, le=2, description="at which it is to draw them")
    max_tokens: int = Field(256, ge=1, le=100_000, description="their length at most")
    extra: dict[str, Any] = Field(default_factory=dict, description="further fields of the request")

    @model_validator(mode="after")
    def _the_answer_comes_last(self) -> Self:
        if self.form.count(PROMPT) != 1 or self.form.count(ANSWER) != 1 or not self.form.endswith(ANSWER):
            raise ValueError(f'form: it has "{PROMPT}" once, and "{ANSWER}" once, at its end')
        return self


class LanguageModel(Adapter):
    """Asks about passages; an answer is a number a continuation, log-probabilities or likenesses."""

    name: ClassVar[str] = "openai-logprobs"
    summary: ClassVar[str] = "OpenAI-compatible language models: how likely they hold given texts"
    texts: ClassVar[bool] = True
    Options: ClassVar[type[LanguageOptions]] = LanguageOptions
    options: LanguageOptions

    def __init__(self, task: TaskSpec, options: LanguageOptions) -> None:
        super().__init__(task, options)
        assert isinstance(task.domain, TextDomain)
        self._shows = task.domain.shows
        self._chat = options.api == "chat"
        if self._chat and self._shows is Shows.LOG_PROBABILITIES:
            why = "a chat tells no log-probabilities of given texts: ask completions, or make a plan for tokens or text"
            raise refused(type(self), "api", why)
        self._url = join(options.url, *(("chat", "completions") if self._chat else ("completions",)))

    @property
    def steps(self) -> int:
        """Requests of a passage: one, or one a continuation."""
        apart = self._shows is Shows.LOG_PROBABILITIES and not self.options.together
        return self.task.output.size if apart else 1

    @property
    def advice(self) -> str:
        """What is refused most often."""
        if self._shows is Shows.LOG_PROBABILITIES:
            return "many APIs tell no log-probabilities of given texts (echo): make a plan for tokens, or for text"
        return super().advice

    def encode(self, inputs: Inputs) -> Request:
        """Write a passage as one request."""
        return self._request(inputs[0], inputs[0].continuations)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Refuse: what a response says of texts is read beside them, by ``flow``.

        Raises:
            AnswerError: always.
        """
        raise AnswerError(f"{count} answers of {len(response.content)} bytes cannot be read without their passage")

    def flow(self, inputs: Inputs) -> Generator[Request | Wait, Response, list[Answer]]:
        """Ask about one passage, in one request or one for each continuation."""
        passage: Passage = inputs[0]
        if self.steps == 1:
            response = yield self.encode(inputs)
            return [self._read(response, passage, passage.continuations)]
        found: list[float | None] = []
        for each in passage.continuations:
            response = yield self._request(passage, (each,))
            found.extend(self._read(response, passage, (each,)).scores)
        return [Answer(tuple(found))]

    def _begun(self, passage: Passage) -> str:
        """Return the text that stands before a continuation."""
        return self.options.form.removesuffix(ANSWER).replace(PROMPT, passage.prompt) + passage.said

    def _request(self, passage: Passage, continuations: Sequence[str]) -> Request:
        options, begun = self.options, self._begun(passage)
        body: dict[str, Any] = {"model": options.model}
        if self._chat:
            body["messages"] = [{"role": "user", "content": passage.prompt}]
            if passage.said:
                body["messages"].append({"role": "assistant", "content": passage.said})
        if self._shows is Shows.LOG_PROBABILITIES:
            texts = [begun + each for each in continuations]
            told = {"prompt": texts if options.together else texts[0], "max_tokens": 1, "echo": True, "logprobs": 1}
            body |= {**told, "temperature": 0}
        elif self._shows is Shows.TOKENS:
            wanted: dict[str, Any] = {"logprobs": True, "top_logprobs": options.top_logprobs}
            body |= wanted if self._chat else {"prompt": begun, "logprobs": options.top_logprobs}
            body |= {"max_tokens": 1, "temperature": 0}
        else:
            body |= {} if self._chat else {"prompt": begun}
            body |= {"max_tokens": options.max_tokens, "temperature": options.temperature, "n": options.samples}
        return json_request(self._url, body | options.extra)

    def _read(self, response: Response, passage: Passage, continuations: Sequence[str]) -> Answer:
        choices = _choices(read_json(response))
        if self._shows is Shows.LOG_PROBABILITIES:
            begun = self._begun(passage)
            if len(choices) != len(continuations):
                raise AnswerError(
                    f"{len(continuations)} texts were sent, {len(choices)} came back: set together = false"
                )
            return Answer(
                tuple(_scored(choice, begun, text) for choice, text in zip(choices, continuations, strict=True))
            )
        if self._shows is Shows.TOKENS:
            return self._chances(choices[0], continuations)
        path = "message.content" if self._chat else "text"
        said = [walk(choice, path, "api") for choice in choices]
        if not all(isinstance(text, str) for text in said):
            raise AnswerError(f"an answer has no text at {path}")
        likes = [likenesses(text, continuations) for text in said]
        return Answer(tuple(math.fsum(each) / len(likes) for each in zip(*likes, strict=True)))

    def _chances(self, choice: Any, continuations: Sequence[str]) -> Answer:
        """Read how likely each continuation is the next token; the least of those listed where it is not."""
        chances: dict[str, list[float]] = {}
        for token, chance in self._listed(choice):
            if token in self.options.end:
                chances.setdefault("", []).append(chance)
            elif token.strip(BLANKS):
                chances.setdefault(token.strip(BLANKS), []).append(chance)
        if not chances:
            raise AnswerError("the response lists no next token: does this server tell log-probabilities?")
        told = {token: math.log(math.fsum(map(math.exp, each)) or 5e-324) for token, each in chances.items()}
        least = min(told.values())
        return Answer(tuple(_chance(told, text.strip(BLANKS) if text else "", least) for text in continuations))

    def _listed(self, choice: Any) -> Iterable[tuple[str, float]]:
        if self._chat:
            listed = member(walk(choice, "logprobs.content.0", "api"), "top_logprobs")
            pairs = [(member(each, "token"), member(each, "logprob")) for each in _list(listed, "top_logprobs")]
        else:
            first = _list(walk(choice, "logprobs.top_logprobs", "api"), "top_logprobs")
            if not first or not isinstance(first[0], dict):
                raise AnswerError("the response's 'top_logprobs' lists no tokens: does this server tell them?")
            pairs = list(first[0].items())
        numbers = read_scores([number for _, number in pairs]).scores
        for (token, _), number in zip(pairs, numbers, strict=True):
            if not isinstance(token, str):
                raise AnswerError("a token of 'top_logprobs' lacks its text")
            if number is not None:
                yield token, number


def _choices(body: Any) -> list[Any]:
    """Return the choices of a response, by their index where they have one."""
    choices = _list(member(body, "choices"), "choices")
    if not choices:
        raise AnswerError("the response has no choice in it")
    named = (each for each in choices if isinstance(each, dict) and type(each.get("index")) is int)
    places = {each["index"]: each for each in named}
    return [places[at] for at in range(len(choices))] if places.keys() == set(range(len(choices))) else choices


def _scored(choice: Any, begun: str, text: str) -> float:
    """Return the log-probability of a continuation: the sum over its tokens, that across its beginning among them."""
    logprobs = member(choice, "logprobs")
    tokens = _list(member(logprobs, "tokens"), "tokens")
    numbers = read_scores(_list(member(logprobs, "token_logprobs"), "token_logprobs")).scores
    if len(tokens) != len(numbers) or not all(isinstance(token, str) for token in tokens):
        raise AnswerError("'tokens' and 'token_logprobs' do not fit each other")
    end, starts = len(begun) + len(text), _starts(logprobs, tokens)
    if not starts or starts[0] + sum(map(len, tokens)) < end:
        raise AnswerError("the text that was sent is not in the response: does this server know echo?")
    ends = [*starts[1:], math.inf]
    told = [
        number for number, start, stop in zip(numbers, starts, ends, strict=True) if start < end and stop > len(begun)
    ]
    if any(number is None for number in told[begun == "" :]):
        raise AnswerError("a token of the text has no log-probability")
    return math.fsum(number for number in told if number is not None)


def _starts(logprobs: Any, tokens: Sequence[str]) -> list[int]:
    """Return where each token begins, by what the server says, or by the tokens' lengths."""
    offsets = logprobs.get("text_offset")
    if isinstance(offsets, list) and len(offsets) == len(tokens) and all(type(each) is int for each in offsets):
        return [each - offsets[0] for each in offsets] if offsets else []
    return [sum(map(len, tokens[:at])) for at in range(len(tokens))]


def _chance(told: dict[str, float], text: str, least: float) -> float:
    """Return a token's log-probability; that of the longest listed token that it begins with, else the least."""
    if text in told:
        return told[text]
    begins = [token for token in told if token and text.startswith(token)]
    return told[max(begins, key=len)] if begins else least


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise AnswerError(f"the response's {what!r} is not a list: does this server tell log-probabilities?")
    return value
