"""The contract of every generator: shape, dtype, seeds, training, saving, loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.batch import Batch
from core.errors import UserError
from core.optimisation import Optimisation
from generator.base import (
    CARD_NAME,
    TRAINING_RECORD,
    ClipShape,
    Weights,
    load_denoiser,
)
from generator.bora.pipeline import BoraAssembly
from generator.bora.training import BoraTraining, GivenBora
from generator.denoising import DiffusionSettings, Example, batch_loss, held_out_loss
from generator.diffusion import DenoiserTraining
from generator.encoding import Encoding
from generator.endora.pipeline import EndoraAssembly
from generator.endora.training import EndoraTraining, GivenEndora
from generator.ophora.pipeline import OphoraAssembly, load_pipeline
from generator.ophora.training import GivenOphora, OphoraTraining, placed
from generator.sampling import Sampling
from tests.generator.tiny import (
    CAPTIONS,
    SHAPE,
    TEXT_TOKENS,
    CaptionedClips,
    bora_base,
    class_endora_base,
    common,
    endora_base,
    ophora_base,
    weights,
)

SAMPLING = Sampling(steps=2, guidance_scale=3.0)
OPTIMISATION = Optimisation(steps=3, batch_size=4, lr=1e-2, checkpoint_every=1)

KINDS: dict[type[Weights], tuple[Any, str]] = {
    OphoraAssembly: (OphoraTraining, "TPT"),
    BoraAssembly: (BoraTraining, "fine-tuned"),
    EndoraAssembly: (EndoraTraining, "fine-tuned"),
}
GIVEN = {OphoraTraining: GivenOphora, BoraTraining: GivenBora, EndoraTraining: GivenEndora}


def trained(
    base: Weights,
    root: Path,
    shape: ClipShape = SHAPE,
    tokens: int = TEXT_TOKENS,
    **diffusion: bool,
) -> DenoiserTraining:
    """A generator of `base`'s kind after three real steps."""
    kind, name = KINDS[type(base)]
    encoding = Encoding(
        clips=CaptionedClips(**common(root)),
        # Endora reads no text; its clips are encoded with Bora's parts, whose autoencoder it has.
        parts=bora_base(root) if kind is EndoraTraining else base,
        shape=shape,
        max_text_tokens=tokens,
        mask_padding=kind is BoraTraining,
        **common(root),
    )
    return kind(
        name=name,
        init=base,
        encoding=encoding,
        held_out=encoding,
        diffusion=DiffusionSettings(**diffusion),
        optimisation=OPTIMISATION,
        **common(root),
    )


@pytest.fixture(
    params=[ophora_base, bora_base, endora_base, class_endora_base],
    ids=["ophora", "bora", "endora", "endora-classes"],
)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Weights:
    make: Callable[[Path], Weights] = request.param
    return make(tmp_path)


def test_contract(base: Weights, tmp_path: Path) -> None:
    generator = trained(base, tmp_path)
    result = generator.run()
    before, after = result["held_out_loss"]["before"], result["held_out_loss"]["after"]
    assert np.isfinite([before, after]).all() and before != after
    assert result["steps"] == 3 and result["samples"] == 12 and np.isfinite(result["last_loss"])
    sampler = generator.sampler(SAMPLING)
    clips = sampler(CAPTIONS[:2], [1, 2], SAMPLING)
    assert clips.shape == (2, *(SHAPE.num_frames, SHAPE.height, SHAPE.width, 3))
    assert clips.dtype == np.uint8
    assert np.array_equal(clips, sampler(CAPTIONS[:2], [1, 2], SAMPLING))
    other = sampler(CAPTIONS[:2], [1, 3], SAMPLING)
    assert np.array_equal(clips[0], other[0]) and not np.array_equal(clips[1], other[1])
    same_prompt = sampler([CAPTIONS[0]] * 2, [1, 2], SAMPLING)
    assert not np.array_equal(same_prompt[0], same_prompt[1])


def test_half_precision_samples_nearly_the_same(base: Weights, tmp_path: Path) -> None:
    generator = trained(base, tmp_path)
    halved = SAMPLING.model_copy(update={"precision": "bf16"})
    exact, half = (
        generator.sampler(sampling)(CAPTIONS[:2], [1, 2], sampling).astype(float)
        for sampling in (SAMPLING, halved)
    )
    assert 0 < np.abs(half - exact).mean() < 6  # of 255 levels


def test_training_moves_the_denoiser_and_nothing_else(base: Weights, tmp_path: Path) -> None:
    before = base.weights()
    for about in (CARD_NAME, TRAINING_RECORD):
        (before / about).write_text("{}")  # what is said of these weights, not of trained ones
    after = trained(base, tmp_path).weights()
    changed = {
        file.relative_to(before).parts[0]
        for file in before.rglob("*.safetensors")
        if file.read_bytes() != (after / file.relative_to(before)).read_bytes()
    }
    assert changed == {"transformer"}
    assert not (after / CARD_NAME).exists() and not (after / TRAINING_RECORD).exists()


def test_single_frames_train_a_generator_of_clips(base: Weights, tmp_path: Path) -> None:
    generator = trained(base, tmp_path, frames=1)
    stills, clips = generator.run(), trained(base, tmp_path).run()
    assert stills["held_out_loss"]["before"] == clips["held_out_loss"]["before"]  # whole clips
    assert stills["last_loss"] != clips["last_loss"]
    assert generator.sampler(SAMPLING)(CAPTIONS[:1], [1], SAMPLING).shape[1] == SHAPE.num_frames

    data = generator.encoding.load()
    seen = []

    def sample_loss(given: Example) -> Tensor:
        seen.append((tuple(given.latents.shape), tuple(given.noise.shape)))
        assert given.rows == [0, 1] and given.captions == data.captions[:2]
        return given.latents.flatten(1).mean(1)

    loss = batch_loss(sample_loss, data, generator.diffusion, 1000, torch.device("cpu"))
    loss(Batch([0, 1], [0, 1], seed=0))
    assert seen == [((2, 1, *data.latent_shape[1:]),) * 2]


def test_other_captions_are_those_of_other_clips(tmp_path: Path) -> None:
    clips = CaptionedClips(num_clips=4, **common(tmp_path))
    fields = {"shape": SHAPE, "max_text_tokens": TEXT_TOKENS, **common(tmp_path)}
    data = Encoding(clips=clips, parts=ophora_base(tmp_path), **fields).load()
    latents, text, _ = data.rows([0, 1, 2, 3])

    seen: list[list[str]] = []

    def fit(latents: Tensor, text: Tensor) -> Tensor:
        return latents.flatten(1).mean(1) * text.flatten(1).std(1)

    def sample_loss(given: Example) -> Tensor:
        seen.append(given.captions)
        return fit(given.latents, given.text)

    arguments = (torch.nn.Identity(), sample_loss, data, 1000, torch.device("cpu"))
    whole = held_out_loss(*arguments)
    assert held_out_loss(*arguments, at_once=3) == pytest.approx(whole, abs=1e-6)
    assert [len(captions) for captions in seen] == [4, 3, 1]
    seen.clear()
    right, wrong = (held_out_loss(*arguments, other_captions=other) for other in (False, True))
    assert right == pytest.approx(fit(latents, text).mean().item(), abs=1e-6)
    others = fit(latents, text[[2, 3, 0, 1]]).mean().item()
    assert wrong == pytest.approx(others, abs=1e-6) and abs(right - wrong) > 1e-5
    assert seen == [data.captions, [data.captions[row] for row in (2, 3, 0, 1)]]


def test_given_weights_sample_as_the_training_does(base: Weights, tmp_path: Path) -> None:
    generator = trained(base, tmp_path)
    given = GIVEN[type(generator)](
        given=weights(generator.weights(), tmp_path), shape=SHAPE, **common(tmp_path)
    )
    expected = generator.sampler(SAMPLING)(CAPTIONS[:1], [5], SAMPLING)
    assert np.array_equal(given.sampler(SAMPLING)(CAPTIONS[:1], [5], SAMPLING), expected)


def test_latents_of_another_shape_are_refused(base: Weights, tmp_path: Path) -> None:
    generator = trained(base, tmp_path, ClipShape(num_frames=9, width=48, height=32))
    with pytest.raises(UserError, match="use weights made for this clip shape"):
        generator.run()


@pytest.mark.parametrize("make", [ophora_base, bora_base])
def test_captions_of_another_length_are_refused(
    make: Callable[[Path], Weights], tmp_path: Path
) -> None:
    generator = trained(make(tmp_path), tmp_path, tokens=TEXT_TOKENS + 2)
    with pytest.raises(UserError, match=rf"got 10 x 16: set max_text_tokens {TEXT_TOKENS} "):
        generator.run()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    wrong = {"ophora": bora_base(tmp_path).weights(), "bora": ophora_base(tmp_path).weights()}
    ophora = GivenOphora(given=weights(wrong["ophora"], tmp_path), shape=SHAPE, **common(tmp_path))
    with pytest.raises(UserError, match="no CogVideoX pipeline can be read"):
        ophora.sampler(SAMPLING)
    bora = GivenBora(given=weights(wrong["bora"], tmp_path), shape=SHAPE, **common(tmp_path))
    with pytest.raises(UserError, match="no STDiT can be read"):
        bora.sampler(SAMPLING)
    given = weights(wrong["ophora"], tmp_path)
    with pytest.raises(UserError, match="no EndoraTransformer can be read"):
        GivenEndora(given=given, shape=SHAPE, **common(tmp_path)).sampler(SAMPLING)


def test_bora_learns_variance_and_starts_at_zero(tmp_path: Path) -> None:
    from generator.bora.stdit import STDiT

    model = load_denoiser(STDiT, bora_base(tmp_path).weights())
    latents = torch.randn(2, 9, 4, 4, 4)
    text, mask = torch.randn(2, TEXT_TOKENS, 16), torch.ones(2, TEXT_TOKENS, dtype=torch.bool)
    dropped = torch.tensor([False, True])
    output = model(latents, torch.tensor([10, 900]), text, mask, dropped)
    assert output.shape == (2, 9, 8, 4, 4)
    assert output.abs().max() == 0  # zero-initialised final projection


def test_a_few_frames_keep_their_places_in_time(tmp_path: Path) -> None:
    """Frames 0 to 8 given apart have the positions that they have in the whole clip."""
    pipeline = load_pipeline(ophora_base(tmp_path).weights(), text=False)
    patches = pipeline.transformer.patch_embed
    size = pipeline.transformer.config
    frames = torch.randn(
        1, SHAPE.num_frames, size.in_channels, size.sample_height, size.sample_width
    )
    text = torch.randn(1, size.max_text_seq_length, size.text_embed_dim)
    whole = patches(text, frames)[:, size.max_text_seq_length :].unflatten(
        1, (SHAPE.num_frames, -1)
    )
    chosen = torch.tensor([[0, 2]])
    with placed(patches, chosen):
        few = patches(text, frames[:, chosen[0]])[:, size.max_text_seq_length :]
    assert torch.equal(few.unflatten(1, (2, -1)), whole[:, chosen[0]])
    assert torch.equal(
        patches(text, frames)[:, size.max_text_seq_length :].flatten(), whole.flatten()
    )


def test_a_dropped_caption_keeps_its_mask(tmp_path: Path) -> None:
    """Guidance samples with the prompt's mask on both sides (Bora's released sampling)."""
    clips = CaptionedClips(num_clips=4, **common(tmp_path))
    fields = {"shape": SHAPE, "max_text_tokens": TEXT_TOKENS, **common(tmp_path)}
    data = Encoding(clips=clips, parts=bora_base(tmp_path), mask_padding=True, **fields).load()
    _, text, mask = data.rows([0, 1, 2, 3])
    assert mask.sum(1).min() > 1 and not mask.all()
    seen: list[Example] = []

    def sample_loss(given: Example) -> Tensor:
        seen.append(given)
        return given.latents.flatten(1).mean(1)

    settings = DiffusionSettings(caption_dropout=0.5)
    loss = batch_loss(sample_loss, data, settings, 1000, torch.device("cpu"))
    loss(Batch([0, 1, 2, 3], list(range(4)), seed=0))
    dropped = seen[0].dropped
    assert dropped.any() and not dropped.all()
    assert torch.equal(seen[0].mask, mask)
    assert torch.equal(seen[0].text[~dropped], text[~dropped])
    assert (seen[0].text[dropped] == data.empty_text).all()
