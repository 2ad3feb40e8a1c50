"""The frozen text encoder at nano scale: a T5 with a word vocabulary and T5's own objective.

At paper scale T5 v1.1 XXL is loaded instead; both are `T5EncoderModel` with a `T5Tokenizer`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration, T5Tokenizer

from core.batch import Batch
from core.fitting import fit
from core.optimisation import Optimisation
from core.runtime import seed_everything
from core.stage import ClipStage
from generator.backbone.lessons import SENTINELS, Lessons, TextEncoderSettings
from generator.base import Weights


class TextEncoderTraining(Weights):
    """Train a T5 by span corruption on the captions of `clips` and keep its encoder.

    paraphrases: groups of sentences that say the same; part of the training asks for one given
    another, as T5's own mixture has paraphrases in it, and `contrast` draws their vectors together.
    init: goes on from its encoder, with its tokenizer. extra_words: texts whose words must be in
    the vocabulary although no caption has them (they get an embedding, no training). `weights/`
    holds `tokenizer/` and `text_encoder/`.
    Raises: UserError: if paraphrases are asked for and a group has fewer than two sentences.
    """

    version: ClassVar[str] = "3"  # pairs of paraphrases are drawn otherwise

    clips: tuple[ClipStage, ...]
    paraphrases: tuple[tuple[str, ...], ...] = ()
    extra_words: tuple[str, ...] = ()
    init: Weights | None = None
    settings: TextEncoderSettings = TextEncoderSettings()
    optimisation: Optimisation

    def execute(self, folder: Path) -> dict[str, Any]:
        captions = captions_of(self.clips)
        sentences = [sentence for group in self.paraphrases for sentence in group]
        tokenizer, model = self._begin([*captions, *sentences, *self.extra_words])
        lessons = Lessons(tokenizer, captions, self.paraphrases, self.settings)
        device = self.runtime.torch_device()
        result = fit(
            model,
            partial(self._loss, model, lessons, device),
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

    def _loss(
        self,
        model: T5ForConditionalGeneration,
        lessons: Lessons,
        device: torch.device,
        batch: Batch,
    ) -> Tensor:
        """T5's own objective, and what is asked of its vectors."""
        settings = self.settings
        drawn = [
            lessons.draw(index, rng)
            for index, rng in zip(batch.index, batch.rngs("spans"), strict=True)
        ]
        inputs = _pad([lesson.source for lesson in drawn], 0).to(device)
        labels = _pad([lesson.target for lesson in drawn], -100).to(device)
        found: Tensor = model(
            input_ids=inputs, attention_mask=inputs.ne(0).long(), labels=labels
        ).loss

        def read(rows: Sequence[list[int]]) -> Tensor:
            """(N, max_tokens, D): as Ophora reads captions, padding included."""
            length = settings.max_tokens
            whole = [[*row, 1][:length] for row in rows]
            padded = _pad([[*row, *[0] * (length - len(row))] for row in whole], 0)
            vectors: Tensor = model.encoder(padded.to(device)).last_hidden_state
            return vectors

        if settings.decorrelation:
            vectors = read([lesson.sentence for lesson in drawn]).flatten(0, 1)
            found = found + settings.decorrelation * correlation(vectors)
        if settings.contrast:
            numbers, one, other = zip(*map(lessons.pair, batch.rngs("pairs")), strict=True)
            groups = torch.tensor(numbers, device=device)
            near = contrast(read(one).mean(1), read(other).mean(1), groups, settings.temperature)
            found = found + settings.contrast * near
        return found

    def _begin(self, texts: Sequence[str]) -> tuple[Any, T5ForConditionalGeneration]:
        """The tokenizer, made of `texts` unless `init` has one, and the T5."""
        start = None if self.init is None else self.init.weights()
        if start is None:
            tokenizer = word_tokenizer(texts)
        else:
            tokenizer = T5Tokenizer.from_pretrained(start / "tokenizer")
        seed_everything(self.optimisation.seed)
        model = T5ForConditionalGeneration(_config(self.settings, len(tokenizer)))
        if start is not None:
            encoder = T5EncoderModel.from_pretrained(start / "text_encoder")
            model.load_state_dict(encoder.state_dict(), strict=False)
        return tokenizer, model


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


def correlation(vectors: Tensor) -> Tensor:
    """How far vectors (N, D) are from zero mean and unit covariance, a mean over dimensions.

    A small T5 left alone puts out nearly one constant vector, and generators do not come to read
    their captions from that (docs/log.md).  Source: in the spirit of VICReg (arXiv 2105.04906).
    """
    mean = vectors.mean(0)
    covariance = torch.cov(vectors.T)
    identity = torch.eye(len(mean), device=vectors.device)
    return (mean.square().sum() + (covariance - identity).square().sum()) / len(mean)


def contrast(one: Tensor, other: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of telling a sentence's other wording among those of other groups.

    Without it the vectors of two wordings are hardly nearer than those of strangers, and a
    generator learns every wording by itself (docs/log.md). Of a large T5 the first is not true.

    Args: one, other: (N, D) float, mean vectors of two wordings of group `groups` (N,) int64.
    Source: InfoNCE as in SimCSE (arXiv 2104.08821), Eq. 5 without hard negatives; T5's encoder with
    mean vectors as in Sentence-T5 (arXiv 2108.08877).
    """
    similar = normalize(one, dim=1) @ normalize(other, dim=1).T / temperature
    same = (groups[:, None] == groups).fill_diagonal_(False)
    similar = similar.masked_fill(same, float("-inf"))
    own = torch.arange(len(groups), device=groups.device)
    return (cross_entropy(similar, own) + cross_entropy(similar.T, own)) / 2


def captions_of(sources: Iterable[ClipStage]) -> list[str]:
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
