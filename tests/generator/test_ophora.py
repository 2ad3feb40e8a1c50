"""What Ophora alone has: adapters, a plain pipeline's folder, lengths of captions, guidance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline
from safetensors.torch import save_file

from core.errors import UserError
from core.files import read_json
from core.optimisation import Optimisation
from core.runtime import Precision
from generator.base import (
    GivenWeights,
    weights_named,
)
from generator.encoding import Encoding
from generator.opening import COGVIDEOX, LORA_NAME, Wanted
from generator.ophora.adapters import LORA_FOLDER, AdaptedWeights
from generator.ophora.pipeline import OphoraAssembly, guidance_at, load_pipeline, reading
from generator.ophora.training import OphoraTraining
from generator.sampling import Sampling
from tests.generator.test_generators import SAMPLING, trained
from tests.generator.tiny import (
    CAPTIONS,
    SHAPE,
    TEXT_TOKENS,
    TRANSFORMER,
    VIDEO_VAE,
    CaptionedClips,
    autoencoder_folder,
    common,
    ophora_base,
    text_folder,
    weights,
)


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
