"""OpenAI-compatible chat completions as classifiers: the log-probabilities of the first token answered.

Where the task is texts, the adapter is another, ``_language``: the same APIs, asked about what they are likely to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from metav_audit.adapter import (
    Adapter,
    Answer,
    AnswerError,
    Inputs,
    Outcome,
    Request,
    Response,
    ScoreKind,
    TaskSpec,
    TextDomain,
    read_json,
    read_scores,
)
from metav_audit_adapters._inputs import ColourOptions, base64_pictures, check_colours, check_pictures
from metav_audit_adapters._language import LanguageModel
from metav_audit_adapters._paths import walk
from metav_audit_adapters._rows import BLANKS
from metav_audit_adapters._shared import join, json_request, member, read_mildly, refused
from metav_audit_adapters._template import ONE, fill

_SENTINEL = -9999.0
"""What servers write for a token whose log-probability they do not tell."""


class OpenAILogprobsOptions(ColourOptions):
    """What a chat model is told."""

    url: str = Field(description="the API's base, such as https://api.openai.com/v1", pattern=r"^https?://")
    batch: int = Field(default=1, ge=1, le=1, description="queries in one request; this protocol takes one")
    scores: Literal[ScoreKind.LOG_PROBABILITY] = Field(
        ScoreKind.LOG_PROBABILITY, description="log_probability: these are what the API returns"
    )
    model: str = Field(description="the model's name", min_length=1)
    prompt: str = Field(
        description='the question, to be answered by one token; "{{input}}" stands for the numbers of an input that '
        "is not sent as a picture", min_length=1
    )  # fmt: skip
    tokens: dict[str, str] = Field(
        default_factory=dict,
        description="the task's labels -> the tokens that answer them; a label's own text if absent",
    )
    picture: bool = Field(default=True, description="send the input as a PNG beside the prompt")
    top_logprobs: int = Field(20, ge=1, le=20, description="tokens to ask for; the API's own limit is 20")
    extra: dict[str, Any] = Field(default_factory=dict, description="further fields of the request, such as seed")

    @model_validator(mode="after")
    def _the_input_goes_one_way(self) -> Self:
        if self.picture == (ONE in self.prompt):
            raise ValueError(f'prompt: it needs "{ONE}" where picture = false, and takes none otherwise')
        return self


class OpenAILogprobs(Adapter):
    """Asks for one token, and reads how likely each class's token was; tokens that are not listed are missing."""

    name: ClassVar[str] = "openai-logprobs"
    summary: ClassVar[str] = "OpenAI-compatible chat completions: the log-probabilities of each class's token"
    Options: ClassVar[type[OpenAILogprobsOptions]] = OpenAILogprobsOptions
    options: OpenAILogprobsOptions

    @classmethod
    def open(cls, task: TaskSpec, fields: Mapping[str, Any], beside: Collection[str] = ()) -> Self:
        """Build the adapter, or that for language models where the task is texts.

        Raises:
            ConfigurationError: a field is missing, unknown or out of range, or does not fit the task.
        """
        if isinstance(task.domain, TextDomain):
            return LanguageModel.open(task, fields, beside)  # type: ignore[return-value]
        return super().open(task, fields, beside)

    def __init__(self, task: TaskSpec, options: OpenAILogprobsOptions) -> None:
        super().__init__(task, options)
        if options.picture:
            check_pictures("picture", task, type(self))
            check_colours(options, task, type(self))
        unknown = sorted(options.tokens.keys() - set(task.output.labels))
        if unknown:
            raise refused(type(self), "tokens", f"the task has no label {unknown[0]!r}")
        self._tokens = [options.tokens.get(label, label).strip(BLANKS) for label in task.output.labels]
        if len(set(self._tokens)) != len(self._tokens) or "" in self._tokens:
            raise refused(type(self), "tokens", "two labels have one token, or one has none: give each its own")
        self._url = join(options.url, "chat", "completions")

    def encode(self, inputs: Inputs) -> Request:
        """Write the question, with temperature 0 and room for one token."""
        body = {
            "model": self.options.model,
            "messages": [{"role": "user", "content": self._content(inputs)}],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": self.options.top_logprobs,
        }
        return json_request(self._url, body | self.options.extra)

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the first token's alternatives; tokens that differ in spaces alone are one, their chances added."""
        first = walk(read_json(response), "choices.0.logprobs.content.0", "choices")
        found: dict[str, list[float]] = {}
        for token, logprob in _alternatives(first):
            if logprob > _SENTINEL:
                found.setdefault(token.strip(BLANKS), []).append(logprob)
        answer = read_scores([_sum(found.get(token, [])) for token in self._tokens])
        if set(answer.scores) == {None}:
            came = ", ".join(repr(token[:20]) for token in list(found)[:8]) or "none that is told"
            raise AnswerError(f"no token of a class came, only these: {came}; mend prompt, or tokens")
        if count != 1:
            raise AnswerError(f"{count} inputs were sent, 1 answer came back")
        return [answer]

    def classify(self, response: Response) -> Outcome:
        """Tell a quota that is used up, which comes as 429 too, from throttling."""
        error = read_mildly(response).get("error")
        if response.status == 429 and isinstance(error, dict) and error.get("code") == "insufficient_quota":
            return Outcome.FATAL
        return super().classify(response)

    def _content(self, inputs: Inputs) -> Any:
        if not self.options.picture:
            return fill(self.options.prompt, json.dumps(inputs[0].ravel().tolist(), separators=(",", ":")))
        picture = {"url": f"data:image/png;base64,{base64_pictures(inputs, self.options, self.task)[0]}"}
        return [{"type": "text", "text": self.options.prompt}, {"type": "image_url", "image_url": picture}]


def _alternatives(first: Any) -> Iterable[tuple[str, float]]:
    """Return each listed token once, the one that was answered among them."""
    listed = member(first, "top_logprobs")
    if not isinstance(listed, list):
        raise AnswerError("the response's 'top_logprobs' is not a list: does this server tell log-probabilities?")
    tokens = [member(each, "token") for each in [*listed, first]]
    chances = read_scores([member(each, "logprob") for each in [*listed, first]]).scores
    if not all(isinstance(token, str) for token in tokens):
        raise AnswerError("a token of 'top_logprobs' lacks its text")
    told = {token: chance for token, chance in zip(tokens, chances, strict=True) if chance is not None}
    return told.items()


def _sum(logprobs: list[float]) -> float | None:
    """Add chances given as logarithms; None where there is none."""
    if not logprobs:
        return None
    highest = max(logprobs)
    return highest + math.log(sum(math.exp(logprob - highest) for logprob in logprobs))
