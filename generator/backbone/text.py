"""The frozen text encoder at nano scale: a T5 with a word vocabulary and T5's own objective.

At paper scale T5 v1.1 XXL is loaded instead; both are `T5EncoderModel` with a `T5Tokenizer`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pydantic
import torch
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration, T5Tokenizer

from core.batch import Batch
from core.errors import UserError
from core.fitting import fit
from core.optimisation import Optimisation
from core.runtime import seed_everything
from core.stage import ClipSource
from generator.base import Weights

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
    max_tokens: int = pydantic.Field(default=32, ge=2)
    """Of a caption under `decorrelation`."""


class TextEncoderTraining(Weights):
    """Train a T5 by span corruption on the captions of `clips` and keep its encoder.

    paraphrases: groups of sentences that say the same; part of the training asks for one given
    another, as T5's own mixture has paraphrases in it. extra_words: texts whose words must be in
    the vocabulary although no caption has them (they get an embedding, no training). `weights/`
    holds `tokenizer/` and `text_encoder/`.
    Raises: UserError: if paraphrases are asked for and a group has fewer than two sentences.
    """

    version: ClassVar[str] = "3"  # pairs of paraphrases are drawn otherwise

    clips: tuple[ClipSource, ...]
    paraphrases: tuple[tuple[str, ...], ...] = ()
    extra_words: tuple[str, ...] = ()
    settings: TextEncoderSettings = TextEncoderSettings()
    optimisation: Optimisation

    def execute(self, folder: Path) -> dict[str, Any]:
        captions = captions_of(self.clips)
        sentences = [sentence for group in self.paraphrases for sentence in group]
        tokenizer = word_tokenizer([*captions, *sentences, *self.extra_words])
        seed_everything(self.optimisation.seed)
        model = T5ForConditionalGeneration(_config(self.settings, len(tokenizer)))
        lessons = Lessons(tokenizer, captions, self.paraphrases, self.settings)
        device = self.runtime.torch_device()

        def loss(batch: Batch) -> Tensor:
            drawn = [
                lessons.draw(index, rng)
                for index, rng in zip(batch.index, batch.rngs("spans"), strict=True)
            ]
            inputs = _pad([lesson.source for lesson in drawn], 0).to(device)
            labels = _pad([lesson.target for lesson in drawn], -100).to(device)
            found = model(input_ids=inputs, attention_mask=inputs.ne(0).long(), labels=labels).loss
            if self.settings.decorrelation == 0:
                return found
            length = self.settings.max_tokens
            whole = [[*lesson.sentence, 1][:length] for lesson in drawn]
            read = _pad([[*row, *[0] * (length - len(row))] for row in whole], 0).to(device)
            vectors = model.encoder(read).last_hidden_state.flatten(0, 1)
            return found + self.settings.decorrelation * correlation(vectors)

        result = fit(
            model,
            loss,
            len(captions),
            self.optimisation,
            folder,
            description="text encoder",
            device=device,
        )
        encoder = T5EncoderModel(model.config)
        encoder.load_state_dict(model.state_dict(), strict=False)
        encoder.save_pretrained(folder / "weights" / "text_encoder")
        tokenizer.save_pretrained(folder / "weights" / "tokenizer")
        counts = {"captions": len(captions), "paraphrases": len(sentences)}
        return {**result, **counts, "words": len(tokenizer)}


def _config(settings: TextEncoderSettings, words: int) -> T5Config:
    return T5Config(
        vocab_size=words,
        d_model=settings.d_model,
        d_kv=settings.d_model // settings.num_heads,
        d_ff=settings.d_ff,
        num_layers=settings.num_layers,
        num_decoder_layers=1,
        num_heads=settings.num_heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )


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
        group = self.groups[int(torch.randint(len(self.groups), (1,), generator=rng))]
        asked = int(torch.randint(len(group[: self.settings.asked_wordings]), (1,), generator=rng))
        given = (asked + int(torch.randint(1, len(group), (1,), generator=rng))) % len(group)
        kept = torch.rand(len(group[given]), generator=rng) >= self.settings.word_dropout
        source = [token for token, keep in zip(group[given], kept, strict=True) if keep]
        return Lesson([*source, 1], [*group[asked], 1], group[given])


def correlation(vectors: Tensor) -> Tensor:
    """How far vectors (N, D) are from zero mean and unit covariance, a mean over dimensions.

    A small T5 left alone puts out nearly one constant vector, and generators do not come to read
    their captions from that (docs/log.md).  Source: in the spirit of VICReg (arXiv 2105.04906).
    """
    mean = vectors.mean(0)
    covariance = torch.cov(vectors.T)
    identity = torch.eye(len(mean), device=vectors.device)
    return (mean.square().sum() + (covariance - identity).square().sum()) / len(mean)


def captions_of(sources: Iterable[ClipSource]) -> list[str]:
    """All different captions, sorted."""
    manifests = (source.manifest() for source in sources)
    return sorted({clip.caption for found in manifests for clip in found.clips if clip.caption})


def word_tokenizer(texts: Iterable[str]) -> T5Tokenizer:
    """A T5 tokenizer with one token a word of `texts` (as written and in lower case).

    Other words and punctuation fall back to characters. Ids 0, 1, 2 are pad, end and unknown, as in
    T5. No normaliser: T5Tokenizer.from_pretrained would lose it.
    """
    written = {word for text in texts for word in words_of(text)}
    words = sorted(written | {word.lower() for word in written})
    characters = string.ascii_letters + string.digits + string.punctuation
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [("▁" + word, -1.0) for word in words]
    vocabulary += [("▁", -6.0)] + [(letter, -8.0) for letter in characters]
    return T5Tokenizer(vocab=vocabulary, extra_ids=SENTINELS)


def words_of(text: str) -> list[str]:
    """The words of a text as the tokenizer separates them: letters and digits between spaces."""
    return re.findall(r"[A-Za-z0-9]+", text)


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


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows], batch_first=True, padding_value=value
    )


def encode_text(
    tokenizer: Any, encoder: Any, texts: Sequence[str], max_tokens: int, *, mask_padding: bool
) -> tuple[Tensor, Tensor]:
    """T5 embeddings (N, max_tokens, D) float and validity mask (N, max_tokens) bool.

    mask_padding: CogVideoX lets T5 and the transformer attend to padding (its pipeline passes no
    mask); Bora masks it. Source: diffusers' CogVideoXPipeline; Bora's released T5 embedder.
    """
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        max_length=max_tokens,
        truncation=True,
        return_tensors="pt",
    ).to(encoder.device)
    mask = tokens.attention_mask if mask_padding else None
    with torch.inference_mode():
        embedding = encoder(tokens.input_ids, attention_mask=mask)[0]
    return embedding, tokens.attention_mask.bool()
