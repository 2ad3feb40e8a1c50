"""What the nano T5 is asked: hidden spans of captions, other wordings of what a caption says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pydantic
import torch

from core.errors import UserError

SENTINELS = 8  # masked spans a caption can have; captions are about 10 to 30 words
MASKED_SHARE = 0.15  # Source: T5 (arXiv 1910.10683), Sec. 3.3
MEAN_SPAN = 3.0


class TextEncoderSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Size of the nano T5 (T5Config's names) and its objective."""

    d_model: int = pydantic.Field(default=128, ge=8)
    """Width of the embeddings."""
    d_ff: int = pydantic.Field(default=256, ge=8)
    """Width inside the feed-forward layers."""
    num_layers: int = pydantic.Field(default=2, ge=1)
    """Of the encoder; the decoder, which is thrown away, has one."""
    num_heads: int = pydantic.Field(default=4, ge=1)
    """Of attention; they divide `d_model`."""
    decorrelation: float = pydantic.Field(default=0.0, ge=0)
    """Weight of `correlation`, over captions of `max_tokens` tokens, padding included, as Ophora
    reads them."""
    paraphrase_share: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Share of samples that ask for another wording instead of hidden spans."""
    word_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of words left out of the wording that it is given, so that no word alone tells the
    others."""
    asked_wordings: int | None = pydantic.Field(default=None, ge=1)
    """Only the first so many of a group are asked for, so that all others come to mean the same as
    they; null asks for any."""
    contrast: float = pydantic.Field(default=0.0, ge=0)
    """Weight of `contrast` between two wordings of a group, each with `word_dropout`."""
    temperature: float = pydantic.Field(default=0.1, gt=0)
    """Of `contrast`."""
    max_tokens: int = pydantic.Field(default=32, ge=2)
    """Of a caption under `decorrelation` and `contrast`."""


class Lesson(NamedTuple):
    """Token ids: what the encoder is given, what the decoder is asked for, and the whole sentence
    (without an end)."""

    source: list[int]
    target: list[int]
    sentence: list[int]


class Lessons:
    """Draws what T5 is asked; see `TextEncoderTraining`."""

    def __init__(
        self,
        tokenizer: Any,
        captions: Sequence[str],
        paraphrases: Sequence[Sequence[str]],
        settings: TextEncoderSettings,
    ) -> None:
        if settings.paraphrase_share and (not paraphrases or min(map(len, paraphrases)) < 2):
            raise UserError(
                f"paraphrase_share {settings.paraphrase_share}: every group of paraphrases needs "
                "two sentences or more"
            )
        self.settings = settings
        self.captions = [tokenizer(caption).input_ids[:-1] for caption in captions]
        self.groups = [[tokenizer(text).input_ids[:-1] for text in group] for group in paraphrases]
        names = [f"<extra_id_{n}>" for n in range(SENTINELS)]
        self.sentinels = tokenizer.convert_tokens_to_ids(names)

    def draw(self, index: int, rng: torch.Generator) -> Lesson:
        """Hidden spans of caption `index`, or one wording asked for given another."""
        if torch.rand(1, generator=rng) >= self.settings.paraphrase_share:
            caption = self.captions[index]
            return Lesson(*corrupt_spans(caption, self.sentinels, rng), caption)
        number, asked = self._wording(rng, self.settings.asked_wordings)
        group = self.groups[number]
        given = self._another(asked, len(group), rng)
        source = self._drop_words(group[given], rng)
        return Lesson([*source, 1], [*group[asked], 1], group[given])

    def pair(self, rng: torch.Generator) -> tuple[int, list[int], list[int]]:
        """A group's number and two of its wordings, some words of either left out."""
        number, one = self._wording(rng, None)
        group = self.groups[number]
        other = self._another(one, len(group), rng)
        return number, self._drop_words(group[one], rng), self._drop_words(group[other], rng)

    def _wording(self, rng: torch.Generator, first: int | None) -> tuple[int, int]:
        """Of one group one wording, of its `first` ones: their numbers."""
        number = int(torch.randint(len(self.groups), (1,), generator=rng))
        count = len(self.groups[number][:first])
        return number, int(torch.randint(count, (1,), generator=rng))

    @staticmethod
    def _another(one: int, count: int, rng: torch.Generator) -> int:
        return (one + int(torch.randint(1, count, (1,), generator=rng))) % count

    def _drop_words(self, sentence: list[int], rng: torch.Generator) -> list[int]:
        kept = torch.rand(len(sentence), generator=rng) >= self.settings.word_dropout
        return [token for token, keep in zip(sentence, kept, strict=True) if keep]


def corrupt_spans(
    ids: Sequence[int], sentinels: Sequence[int], rng: torch.Generator
) -> tuple[list[int], list[int]]:
    """Replace spans by sentinels; the target lists each sentinel and what it hides, then the end.

    Source: T5 (arXiv 1910.10683), Sec. 3.1.4; about 15% of the tokens in spans of mean length 3.
    """
    spans = max(1, min(len(sentinels), round(len(ids) * MASKED_SHARE / MEAN_SPAN)))
    length = max(1, round(len(ids) * MASKED_SHARE / spans))
    room = max(1, len(ids) - spans * length + 1)
    starts = sorted(torch.randint(room, (spans,), generator=rng).tolist())
    source: list[int] = []
    target: list[int] = []
    position = 0
    for number, offset in enumerate(starts):
        start = offset + number * length
        source += [*ids[position:start], sentinels[number]]
        target += [sentinels[number], *ids[start : start + length]]
        position = start + length
    return [*source, *ids[position:], 1], [*target, 1]
