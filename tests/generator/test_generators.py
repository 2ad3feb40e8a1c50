"""The contract of every generator: shape, dtype, seeds, training, saving, loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline
from safetensors.torch import save_file
from torch import Tensor

from core.batch import Batch
from core.errors import UserError
from core.files import read_json
from core.optimisation import Optimisation
from core.runtime import Precision
from generator.base import (
    CARD_NAME,
    TRAINING_RECORD,
    ClipShape,
    GivenWeights,
    Sampling,
    Weights,
    load_denoiser,
    weights_named,
)
from generator.bora.pipeline import BoraAssembly
from generator.bora.training import BoraTraining, GivenBora
from generator.denoising import DiffusionSettings, Example, batch_loss, held_out_loss
from generator.diffusion import DenoiserTraining
from generator.encoding import Encoding
from generator.endora.pipeline import EndoraAssembly
from generator.endora.training import EndoraTraining, GivenEndora
from generator.opening import COGVIDEOX, LORA_NAME, Wanted
from generator.ophora.adapters import LORA_FOLDER, AdaptedWeights
from generator.ophora.pipeline import OphoraAssembly, guidance_at, load_pipeline, reading
from generator.ophora.training import GivenOphora, OphoraTraining, placed
from tests.generator.tiny import (
    CAPTIONS,
    SHAPE,
    TEXT_TOKENS,
    TRANSFORMER,
    VIDEO_VAE,
    CaptionedClips,
    autoencoder_folder,
    bora_base,
    class_endora_base,
    common,
    endora_base,
    ophora_base,
    text_folder,
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


def test_low_rank_updates_end_in_a_plain_pipeline(tmp_path: Path) -> None:
    whole = trained(ophora_base(tmp_path), tmp_path)
    assert isinstance(whole, OphoraTraining)
    fields = {name: getattr(whole, name) for name in ("name", "init", "encoding", "optimisation")}
    low = OphoraTraining(**fields, lora_rank=2, **common(tmp_path))
    assert low.run()["parameters"] < whole.run()["parameters"] / 4
    before, after = (
        CogVideoXPipeline.from_pretrained(stage.weights()).transformer.state_dict()
        for stage in (low.init, low)
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        f"transformer_blocks.0.attn1.{part}.weight" for part in ("to_q", "to_k", "to_v", "to_out.0")
    }


def test_adapters_are_read_by_diffusers_and_make_the_same_clips(tmp_path: Path) -> None:
    whole = trained(ophora_base(tmp_path), tmp_path)
    assert isinstance(whole, OphoraTraining)
    fields = {name: getattr(whole, name) for name in ("name", "init", "encoding", "optimisation")}
    low = OphoraTraining(**fields, lora_rank=2, **common(tmp_path))
    adapter, fused = low.weights() / LORA_FOLDER, low.weights()

    pipeline = CogVideoXPipeline.from_pretrained(low.init.weights())
    pipeline.load_lora_weights(adapter)  # as a user of diffusers does
    assert pipeline.get_active_adapters()
    pipeline.fuse_lora(components=["transformer"])
    pipeline.unload_lora_weights()
    expected = CogVideoXPipeline.from_pretrained(fused).transformer.state_dict()
    for name, tensor in pipeline.transformer.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)

    named = weights_named(
        str(adapter), field="ophora.lora", root=tmp_path,
        wanted=Wanted(COGVIDEOX, adapter=True), **common(tmp_path),
    )  # fmt: skip
    given = AdaptedWeights(base=low.init, adapter=named, **common(tmp_path))
    ours = CogVideoXPipeline.from_pretrained(given.weights()).transformer.state_dict()
    assert ours.keys() == expected.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


def test_adapters_of_another_network_are_one_line(tmp_path: Path) -> None:
    base, folder = ophora_base(tmp_path), tmp_path / "adapter"
    folder.mkdir()
    for state, words in [
        ({"text_encoder.to_q.lora_A.weight": torch.zeros(2, 4)}, "holds no update"),
        ({"transformer.other.lora_A.weight": torch.zeros(2, 4),
          "transformer.other.lora_B.weight": torch.zeros(4, 2)}, "no adapter for"),
    ]:  # fmt: skip
        save_file(state, folder / LORA_NAME)
        adapter = GivenWeights.at(
            folder, wanted=Wanted(COGVIDEOX, adapter=True), **common(tmp_path)
        )
        with pytest.raises(UserError, match=words):
            AdaptedWeights(base=base, adapter=adapter, **common(tmp_path)).run()
    (folder / LORA_NAME).unlink()
    with pytest.raises(UserError, match="save_lora_weights of diffusers wrote"):
        GivenWeights.at(folder, wanted=Wanted(COGVIDEOX, adapter=True), **common(tmp_path))


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


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_ophora_folder_is_a_plain_cogvideox_pipeline(
    precision: Precision, dtype: torch.dtype, tmp_path: Path
) -> None:
    generator = trained(ophora_base(tmp_path), tmp_path)
    sampling = SAMPLING.model_copy(update={"precision": precision})
    ours = generator.sampler(sampling)(CAPTIONS[:1], [7], sampling)
    pipeline = CogVideoXPipeline.from_pretrained(generator.weights(), dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    video = pipeline(
        prompt=CAPTIONS[0],
        num_frames=SHAPE.num_frames,
        width=SHAPE.width,
        height=SHAPE.height,
        num_inference_steps=SAMPLING.steps,
        guidance_scale=SAMPLING.guidance_scale,
        max_sequence_length=TEXT_TOKENS,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
    ).frames
    assert np.array_equal(np.round(video * 255).astype(np.uint8), ours)


def test_captions_of_another_length_are_read_by_the_same_weights(tmp_path: Path) -> None:
    base = ophora_base(tmp_path)
    model = load_pipeline(base.weights(), text=False).transformer
    longer = reading(model, TEXT_TOKENS + 5)
    assert reading(model, TEXT_TOKENS) is model
    config = model.config
    video = torch.randn(1, 9, config.in_channels, config.sample_height, config.sample_width)
    text = torch.randn(1, TEXT_TOKENS + 5, config.text_embed_dim)
    out = longer(video, text, torch.tensor([500])).sample
    assert out.shape == video.shape
    plain = reading(longer, TEXT_TOKENS)
    step = (video, text[:, :TEXT_TOKENS], torch.tensor([500]))
    assert torch.equal(model(*step).sample, plain(*step).sample)

    clips = CaptionedClips(num_clips=4, **common(tmp_path))
    fields = {"shape": SHAPE, "max_text_tokens": TEXT_TOKENS + 5, **common(tmp_path)}
    training = OphoraTraining(
        name="OphVL",
        init=base,
        encoding=Encoding(clips=clips, parts=base, **fields),
        max_text_tokens=TEXT_TOKENS + 5,
        optimisation=Optimisation(steps=1, batch_size=2, lr=1e-3),
        **common(tmp_path),
    )
    assert training.sampler(SAMPLING)(CAPTIONS[:1], [1], SAMPLING).shape[0] == 1
    config = read_json(training.weights() / "transformer" / "config.json")
    assert config["max_text_seq_length"] == TEXT_TOKENS + 5


@pytest.mark.parametrize("compression", [1, 2])
def test_an_ophora_without_full_temporal_compression(compression: int, tmp_path: Path) -> None:
    settings = VIDEO_VAE.model_copy(update={"temporal_compression": compression})
    base = OphoraAssembly(
        autoencoder=weights(autoencoder_folder(tmp_path, settings), tmp_path),
        text=weights(text_folder(tmp_path), tmp_path),
        shape=SHAPE,
        transformer=TRANSFORMER,
        **common(tmp_path),
    )
    generator = trained(base, tmp_path)
    assert isinstance(generator, OphoraTraining)
    assert generator.encoding.load().latent_shape == (1 + 8 // compression, 4, 4, 4)
    clips = generator.sampler(SAMPLING)(CAPTIONS[:2], [1, 2], SAMPLING)
    assert clips.shape == (2, 9, 32, 32, 3)


def test_guidance_by_step_index_falls_from_all_to_none() -> None:
    sampling = Sampling(steps=50, guidance_scale=6.0, guidance_mode="step_index")
    scales = [guidance_at(step, sampling) for step in range(51)]
    assert scales[0] == 7.0 and scales[50] == 1.0
    assert scales == sorted(scales, reverse=True)


def test_guidance_modes_sample_differently(tmp_path: Path) -> None:
    sampler = trained(ophora_base(tmp_path), tmp_path).sampler(SAMPLING)
    modes = ("constant", "official", "step_index")
    clips = [
        sampler(CAPTIONS[:1], [7], Sampling(steps=3, guidance_scale=3.0, guidance_mode=mode))
        for mode in modes
    ]
    assert all(not np.array_equal(clips[i], clips[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


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
