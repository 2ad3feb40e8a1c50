"""The nano T5: a real training, and vectors from which a generator can read captions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import T5Tokenizer

from core.errors import UserError
from core.optimisation import Optimisation
from generator.backbone.lessons import Lessons, TextEncoderSettings
from generator.backbone.text import (
    TextEncoderTraining,
    contrast,
    correlation,
    encode_text,
    word_tokenizer,
)
from generator.encoding import load_text_encoder
from tests.generator.tiny import CAPTIONS, TEXT_TOKENS, CaptionedClips, common

DIM = 8


def test_correlation_is_the_distance_from_white_noise() -> None:
    white = torch.randn(200_000, DIM, generator=torch.Generator().manual_seed(0))
    assert correlation(white) < 1e-3
    assert torch.isclose(correlation(torch.full((10, DIM), 3.0)), torch.tensor(9.0 + 1.0))
    # One direction with variance 4 instead of 1: its squared error, over the dimensions.
    stretched = white * torch.tensor([2.0] + [1.0] * (DIM - 1))
    assert torch.isclose(correlation(stretched), torch.tensor(9.0 / DIM), atol=0.02)


def trained(root: Path, decorrelation: float) -> torch.Tensor:
    """Vectors (N, D) of all captions' tokens after a training."""
    stage = TextEncoderTraining(
        clips=(CaptionedClips(**common(root)),),
        settings=TextEncoderSettings(
            d_model=DIM, d_ff=16, num_layers=1, num_heads=2,
            decorrelation=decorrelation, max_tokens=TEXT_TOKENS,
        ),
        optimisation=Optimisation(steps=80, batch_size=8, lr=2e-2, warmup_steps=5),
        **common(root),
    )  # fmt: skip
    folder = stage.weights()
    tokenizer = T5Tokenizer.from_pretrained(folder / "tokenizer")
    encoder = load_text_encoder(folder / "text_encoder")
    vectors, mask = encode_text(tokenizer, encoder, CAPTIONS, TEXT_TOKENS, mask_padding=False)
    assert vectors.shape == (len(CAPTIONS), TEXT_TOKENS, DIM) and mask.any(1).all()
    return vectors.flatten(0, 1)


def test_decorrelation_spreads_the_vectors_of_captions(tmp_path: Path) -> None:
    alone, spread = (correlation(trained(tmp_path, weight)) for weight in (0.0, 1.0))
    assert spread < alone / 2


def token_ids(tokenizer: T5Tokenizer, text: str) -> list[int]:
    return list(tokenizer(text).input_ids[:-1])


def test_a_paraphrase_asks_for_another_wording_of_the_same() -> None:
    groups = (("a blade cuts", "the knife opens"), ("gel flows in", "gel fills it", "more gel"))
    tokenizer = word_tokenizer([*CAPTIONS, *(text for group in groups for text in group)])
    settings = TextEncoderSettings(paraphrase_share=1.0, word_dropout=0.3)
    lessons = Lessons(tokenizer, CAPTIONS, groups, settings)
    wordings = [[token_ids(tokenizer, text) for text in group] for group in groups]
    kept = total = 0
    for number in range(400):
        lesson = lessons.draw(0, torch.Generator().manual_seed(number))
        (group,) = (group for group in wordings if lesson.sentence in group)
        assert lesson.target[:-1] in group and lesson.target[:-1] != lesson.sentence
        assert set(lesson.source[:-1]) <= set(lesson.sentence)
        kept, total = kept + len(lesson.source) - 1, total + len(lesson.sentence)
    assert abs(kept / total - 0.7) < 0.05


def test_only_the_first_wordings_are_asked_for() -> None:
    group = ("a blade cuts", "the knife opens", "a cut", "an incision", "the wound is made")
    tokenizer = word_tokenizer([*CAPTIONS, *group])
    settings = TextEncoderSettings(paraphrase_share=1.0, asked_wordings=2)
    lessons = Lessons(tokenizer, CAPTIONS, (group,), settings)
    drawn = [lessons.draw(0, torch.Generator().manual_seed(number)) for number in range(200)]
    asked = {tuple(lesson.target[:-1]) for lesson in drawn}
    given = {tuple(lesson.sentence) for lesson in drawn}
    assert asked == {tuple(token_ids(tokenizer, text)) for text in group[:2]}
    assert given == {tuple(token_ids(tokenizer, text)) for text in group}
    assert all(lesson.target[:-1] != lesson.sentence for lesson in drawn)


def test_without_paraphrases_spans_are_hidden() -> None:
    tokenizer = word_tokenizer(CAPTIONS)
    lessons = Lessons(tokenizer, CAPTIONS, (), TextEncoderSettings())
    lesson = lessons.draw(1, torch.Generator().manual_seed(0))
    assert lesson.sentence == token_ids(tokenizer, CAPTIONS[1])
    assert lesson.target[0] == lessons.sentinels[0] and lesson.target[0] in lesson.source


def test_a_lone_sentence_is_no_paraphrase() -> None:
    settings = TextEncoderSettings(paraphrase_share=0.5)
    for groups in ((), (("alone",),)):
        with pytest.raises(UserError, match="two sentences"):
            Lessons(word_tokenizer(CAPTIONS), CAPTIONS, groups, settings)


def test_contrast_is_low_where_each_sentence_is_nearest_to_its_other_wording() -> None:
    own = torch.eye(DIM)
    groups = torch.arange(DIM)
    # By hand: the own wording has similarity 1 over 0.5, the seven others 0.
    told = -torch.log(torch.exp(torch.tensor(2.0)) / (torch.exp(torch.tensor(2.0)) + DIM - 1))
    assert torch.isclose(contrast(own, 3.0 * own, groups, 0.5), told)
    strangers = contrast(own, own.roll(1, 0), groups, 0.5)
    assert strangers > told + 1
    # Another sample of the same group is no wrong answer.
    twice = torch.cat([own[:2], own[:1]])
    others = torch.tensor([1.0, 2.0, 1.0])
    found = contrast(twice, twice, torch.tensor([0, 1, 0]), 0.5)
    assert torch.isclose(found, torch.log1p(others * torch.tensor(-2.0).exp()).mean())


WORDINGS = (
    ("a blade cuts the edge", "the knife opens the rim", "an incision is made outside"),
    ("gel flows in slowly", "the chamber fills with fluid", "more of it is injected"),
    ("the lens is folded out", "an implant unrolls in the bag", "optics are put inside"),
)


def means(folder: Path, texts: list[str]) -> torch.Tensor:
    """(N, D) mean vectors, of length 1."""
    tokenizer = T5Tokenizer.from_pretrained(folder / "tokenizer")
    encoder = load_text_encoder(folder / "text_encoder")
    vectors, _ = encode_text(tokenizer, encoder, texts, TEXT_TOKENS, mask_padding=False)
    return torch.nn.functional.normalize(vectors.mean(1), dim=1)


def test_wordings_come_near_each_other_in_a_training_that_goes_on(tmp_path: Path) -> None:
    size = {"d_model": DIM, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    shared = {"clips": (CaptionedClips(**common(tmp_path)),), "paraphrases": WORDINGS}
    settings = TextEncoderSettings(max_tokens=TEXT_TOKENS, decorrelation=0.3, **size)
    steps = Optimisation(steps=40, batch_size=8, lr=2e-2, warmup_steps=5)
    first = TextEncoderTraining(settings=settings, optimisation=steps, **shared, **common(tmp_path))
    closer = settings.model_copy(update={"contrast": 1.0})
    after = TextEncoderTraining(
        settings=closer, optimisation=steps, init=first, **shared, **common(tmp_path)
    )
    texts = [text for group in WORDINGS for text in group]
    same = torch.block_diag(*[torch.ones(3, 3)] * 3).bool()
    gaps = []
    for stage in (first, after):
        near = (found := means(stage.weights(), texts)) @ found.T
        own = near[same & ~torch.eye(9, dtype=torch.bool)]
        gaps.append(float(own.mean() - near[~same].mean()))
    assert gaps[1] > gaps[0] + 0.2
    files = [stage.weights() / "tokenizer" / "tokenizer.json" for stage in (first, after)]
    assert files[0].read_text() == files[1].read_text()
