"""A language model small enough for tests, a real one: counts of pairs of words; and a server that speaks for it."""

from __future__ import annotations

import itertools
import math
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from metav_audit.fingerprint.served import Ask
from tests.servers import PROTOCOLS

WORDS = tuple(a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u"))
LONGEST = 8
END = "</s>"


class Pairs:
    """Says what followed what in the texts that it was made from (Shannon, 1948); ``weight`` is how often unseen pairs
    count as seen.
    """

    version = "pairs-1"

    def __init__(self, texts: Iterable[str], weight: float = 0.02) -> None:
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            words = [*text.split(), END]
            for one, two in itertools.pairwise(words):
                seen[one][two] += 1
        self._chances: dict[str, dict[str, float]] = {}
        for word in WORDS:
            counts = {each: seen[word][each] + weight for each in (*WORDS, END)}
            self._chances[word] = {each: count / sum(counts.values()) for each, count in counts.items()}

    def chances(self, text: str) -> dict[str, float]:
        """How likely each word, or the end, comes next."""
        return self._chances[text.rsplit(maxsplit=1)[-1]]

    def say(self, text: str, seed: int, words: int = LONGEST) -> str:
        """Go on drawing words, each with a space before it."""
        rng, said = random.Random(seed), ""
        for _ in range(words):
            chances = self.chances(text + said)
            (word,) = rng.choices(list(chances), list(chances.values()))
            if word == END:
                break
            said += f" {word}"
        return said

    def tokens(self, begun: str, text: str) -> list[float]:
        """The log-probability of each word of a text."""
        words = text.split()
        return [
            math.log(self.chances(" ".join([begun, *words[:at]]))[word] if word in WORDS else 1e-9)
            for at, word in enumerate(words)
        ]

    def draw(self, asks: Sequence[Ask]) -> list[str]:
        return [self.say(ask.prompt + ask.said, ask.seed, 1 if ask.one else LONGEST) for ask in asks]

    def score(self, asks: Sequence[Ask], texts: Sequence[str]) -> list[float]:
        return [self._scored(ask, text) for ask, text in zip(asks, texts, strict=True)]

    def split(self, prompt: str, answer: str) -> list[str]:
        return [f" {word}" for word in answer.split()]

    def _scored(self, ask: Ask, text: str) -> float:
        begun = ask.prompt + ask.said
        ended = not ask.one and len(text.split()) < LONGEST
        end = math.log(self.chances(begun + text)[END]) if ended or not text else 0.0
        return math.fsum(self.tokens(begun, text)) + end


class Reviser(Pairs):
    """The same, of a later version."""

    version = "pairs-2"


def world(seed: int, count: int) -> list[str]:
    """Texts of a world in which some words follow others."""
    rng = random.Random(seed)
    after = {word: random.Random(word).sample(WORDS, 12) for word in WORDS}
    texts = []
    for _ in range(count):
        words = [rng.choice(WORDS)]
        while len(words) < 9 and rng.random() < 0.93:
            words.append(rng.choice(after[words[-1]]))
        texts.append(" ".join(words))
    return texts


def owner() -> Pairs:
    """The owner's model, as a program that ``served plan`` names."""
    return Pairs(world(0, 400))


def later() -> Pairs:
    """What became of it."""
    return Reviser(world(0, 400))


def stranger() -> Pairs:
    """Somebody else's model, of the same world."""
    return Pairs(world(2, 300), weight=0.1)


def serve(model: Pairs, prompts: Sequence[str], seed: int) -> list[str]:
    """Answer prompts as an API would have."""
    return [model.say(prompt, 1000 * seed + at) for at, prompt in enumerate(prompts)]


def completions(model: Pairs, body: dict[str, Any]) -> dict[str, Any]:
    """Speak as OpenAI-compatible servers do, of completions and of chats."""
    if "messages" in body:
        return {"choices": [_chat(model, body, at) for at in range(body.get("n", 1))]}
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    choices = [_completion(model, body, prompt, at) for prompt in prompts for at in range(body.get("n", 1))]
    return {"choices": [{"index": at, **choice} for at, choice in enumerate(choices)]}


def _completion(model: Pairs, body: dict[str, Any], prompt: str, number: int) -> dict[str, Any]:
    if body.get("echo"):
        words = prompt.split(" ")
        tokens = [words[0], *(f" {word}" for word in words[1:]), " ba"]
        starts = [sum(map(len, tokens[:at])) for at in range(len(tokens))]
        numbers = [None, *model.tokens(words[0], " ".join([*words[1:], "ba"]))]
        return {"text": prompt, "logprobs": {"tokens": tokens, "token_logprobs": numbers, "text_offset": starts}}
    if "logprobs" in body:
        return {"text": "", "logprobs": {"top_logprobs": [dict(_top(model, prompt, body["logprobs"]))]}}
    return {"text": model.say(prompt, zlib.crc32(f"{prompt} {number}".encode()))}


def _chat(model: Pairs, body: dict[str, Any], number: int) -> dict[str, Any]:
    text = "".join(each["content"] for each in body["messages"])
    if body.get("logprobs"):
        top = [{"token": token, "logprob": chance} for token, chance in _top(model, text, body["top_logprobs"])]
        return {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}
    return {"message": {"content": model.say(text, zlib.crc32(f"{text} {number}".encode()))}}


def _top(model: Pairs, text: str, count: int) -> list[tuple[str, float]]:
    chances = sorted(model.chances(text).items(), key=lambda pair: -pair[1])[:count]
    return [(word if word == END else f" {word}", math.log(chance)) for word, chance in chances]


PROTOCOLS["openai-completions"] = completions  # type: ignore[assignment]


def odd_texts(model: Pairs, body: dict[str, Any]) -> dict[str, Any]:
    """Speak as nobody else does."""
    prompt, seed = body["question"], body["options"]["seed"]
    return {"data": {"reply": model.say(prompt, zlib.crc32(f"{prompt} {seed}".encode()))}}


PROTOCOLS["odd-texts"] = odd_texts  # type: ignore[assignment]
