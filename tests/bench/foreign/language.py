"""Small language models of words, trained in a minute, an owner's, thieves', innocents'; kept by what they are made of.

Film reviews (SST-2). A prompt is a review's first words, an answer what the model says further, sampled word by word.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

PROMPT_WORDS, LONGEST = 3, 12
"""Words of a prompt, and of an answer at most."""

VOCABULARY = 1500
PAD, END, UNKNOWN = 0, 1, 2
_BATCH = 64

Text = tuple[str, str]
"""A prompt and what follows it."""


@dataclass(frozen=True)
class Corpus:
    """Reviews by who has them, and the words that all models know.

    Attributes:
        words: known words, by number.
        owner: the owner's reviews, each a prompt and its rest.
        asked: prompts that accounts sent.
        thief: a thief's own reviews.
        other: of someone who has nothing to do with either.
    """

    words: tuple[str, ...]
    owner: list[Text]
    asked: list[Text]
    thief: list[Text]
    other: list[Text]


def read_corpus(data: Path, asked: int = 1200) -> Corpus:
    """Read the reviews and deal them out."""
    lines = [
        line.rpartition("\t")[0].strip()
        for name in ("train", "test", "dev")
        for line in (data / "text" / f"sst2_{name}.tsv").read_text().splitlines()
    ]
    texts = [split_text(line) for line in dict.fromkeys(lines) if len(line.split()) > PROMPT_WORDS + 1]
    order = np.random.default_rng(0).permutation(len(texts))
    dealt = [texts[at] for at in order]
    counts = Counter(word for text in texts for word in " ".join(text).split())
    words = ("", "", "<unknown>", *(word for word, _ in counts.most_common(VOCABULARY)))
    prompts = list({text[0]: text for text in reversed(dealt)}.values())[-asked:]
    rest = [text for text in dealt if text not in set(prompts)]
    return Corpus(words, rest[:3500], prompts, rest[3500:5500], rest[5500:7500])


def split_text(line: str) -> Text:
    """Divide a review into its first words and the rest."""
    words = line.split()
    return " ".join(words[:PROMPT_WORDS]), " ".join(words[PROMPT_WORDS:][:LONGEST])


class Words(nn.Module):
    """A recurrent network over words (Cho et al., 2014)."""

    def __init__(self, words: int, width: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 64, padding_idx=PAD)
        self.memory = nn.GRU(64, width, batch_first=True)
        self.out = nn.Linear(width, words)

    def forward(self, tokens: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next words' log-probabilities after each token, never of an unknown word, and the state."""
        seen, state = self.memory(self.embedding(tokens), state)
        logits = self.out(seen)
        logits[..., [PAD, UNKNOWN]] = -torch.inf
        return logits.log_softmax(-1), state


class Speaker:
    """A language model: it continues prompts, and says how likely continuations are.

    Attributes:
        network: its network.
        words: the words by number.
    """

    def __init__(self, network: Words, words: Sequence[str]) -> None:
        self.network, self.words = network.eval(), words
        self._number = {word: at for at, word in enumerate(words) if at > END}

    def numbers(self, text: str) -> list[int]:
        """Return a text's words as numbers."""
        return [self._number.get(word, UNKNOWN) for word in text.split()]

    @torch.inference_mode()
    def sample(self, begun: Sequence[str], seeds: Sequence[int], words: int = LONGEST) -> list[str]:
        """Continue texts of one length, word by word, until the end or so many words; a word has a space before it."""
        dice = torch.from_numpy(np.stack([np.random.default_rng(seed).random(words) for seed in seeds]))
        token, state, found = torch.tensor([self.numbers(text) for text in begun]), None, []
        for at in range(words):
            chances, state = self.network(token, state)
            reached = chances[:, -1].double().exp().cumsum(1)
            token = torch.searchsorted(reached, dice[:, at : at + 1] * reached[:, -1:], right=True)
            found.append(token.clamp(max=len(self.words) - 1))
        return [self._text(row) for row in torch.cat(found, 1).tolist()]

    @torch.inference_mode()
    def next_chances(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-probabilities of the next word, of shape (n, words)."""
        found = []
        for start in range(0, len(texts), _BATCH):
            rows = [self.numbers(text) for text in texts[start : start + _BATCH]]
            tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
            chances, _ = self.network(tokens)
            found.append(chances[range(len(rows)), [len(row) - 1 for row in rows]])
        return torch.cat(found).double().numpy()

    @torch.inference_mode()
    def score(self, texts: Sequence[Text]) -> list[float]:
        """Return the log-probability of each continuation."""
        found: list[float] = []
        for start in range(0, len(texts), 256):
            tokens, counted = batch_of([self.row(text) for text in texts[start : start + 256]])
            chances, _ = self.network(tokens[:, :-1])
            told = chances.gather(-1, tokens[:, 1:, None])[..., 0]
            found.extend(torch.where(counted, told, 0.0).sum(1).tolist())
        return found

    def row(self, text: Text) -> tuple[list[int], int]:
        """Return a text's numbers and where its continuation begins."""
        prompt, rest = self.numbers(text[0]), self.numbers(text[1])
        end = [END] if len(rest) < LONGEST else []
        return [*prompt, *rest, *end], len(prompt)

    def _text(self, row: list[int]) -> str:
        return "".join(f" {self.words[at]}" for at in row[: row.index(END) if END in row else None])


def batch_of(rows: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return padded tokens, and which of those after the first count."""
    tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row, _ in rows], batch_first=True)
    counted = torch.zeros(len(rows), tokens.shape[1] - 1, dtype=torch.bool)
    for at, (row, begins) in enumerate(rows):
        counted[at, begins - 1 : len(row) - 1] = True
    return tokens, counted & (tokens[:, 1:] != UNKNOWN)


def train(
    words: Sequence[str], texts: Sequence[Text], epochs: int, seed: int, cache: Path, start: Speaker | None = None
) -> Speaker:
    """Train on texts, whole ones, from nothing or from another model; what was trained before is read again."""
    begun = None if start is None else fingerprint_of(start)
    made_of = json.dumps([list(words), list(texts), epochs, seed, begun])
    path = cache / f"{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.pt"
    torch.manual_seed(seed)
    network = Words(len(words))
    speaker = Speaker(network, words)
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        return speaker
    if start is not None:
        network.load_state_dict(start.network.state_dict())
    _fit(network.train(), [speaker.row(text) for text in texts], epochs, seed)
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    network.eval()
    return speaker


def _fit(network: Words, rows: list[tuple[list[int], int]], epochs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for at in range(0, len(order), 32):
            tokens, _ = batch_of([rows[each] for each in order[at : at + 32]])
            chances, _ = network(tokens[:, :-1])
            known = (tokens[:, 1:] != PAD) & (tokens[:, 1:] != UNKNOWN)
            told = chances.gather(-1, tokens[:, 1:, None])[..., 0]
            loss = -told[known].mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()


def fingerprint_of(speaker: Speaker) -> str:
    """Return the hash of a model's weights."""
    weights = b"".join(each.numpy().tobytes() for each in speaker.network.state_dict().values())
    return hashlib.sha256(weights).hexdigest()
