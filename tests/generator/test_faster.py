"""Faster ways to draw CogVideoX's clips: what each leaves as it was, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXPipeline

from augment.synthesis import check_shape
from core.errors import UserError
from core.video import Frames
from generator.base import ClipShape, Faster, Sampling
from generator.ophora.faster import check_installed, prepare
from generator.ophora.pipeline import load_pipeline
from generator.ophora.training import GivenOphora
from tests.generator.tiny import (
    CAPTIONS,
    SHAPE,
    TEXT_TOKENS,
    TRANSFORMER,
    common,
    ophora_base,
    weights,
)

SAMPLING = Sampling(steps=6, guidance_scale=3.0, batch_size=1)
HAS_TORCHAO = importlib.util.find_spec("torchao") is not None


def draw(folder: Path, root: Path, shape: ClipShape = SHAPE, **settings: Any) -> Frames:
    sampling = SAMPLING.model_copy(update=settings)
    given = GivenOphora(given=weights(folder, root), shape=shape, **common(root))
    return given.sampler(sampling)(CAPTIONS[:1], [7], sampling)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    deeper = TRANSFORMER.model_copy(update={"num_layers": 2})  # a first block and others
    return ophora_base(tmp_path, transformer=deeper).weights()


@pytest.mark.parametrize("cache", ["first_block", "faster", "pyramid"])
def test_caches_draw_nearly_the_same_clip_every_time(
    cache: str, folder: Path, tmp_path: Path
) -> None:
    eager = draw(folder, tmp_path)
    sampling = SAMPLING.model_copy(update={"faster": Faster(cache=cache)})
    given = GivenOphora(given=weights(folder, tmp_path), shape=SHAPE, **common(tmp_path))
    sampler = given.sampler(sampling)
    first, again = (sampler(CAPTIONS[:1], [7], sampling) for _ in range(2))
    assert np.array_equal(first, again)  # nothing of the clip before is left in the cache
    assert np.abs(first.astype(int) - eager).mean() < 12  # of 255 levels


@pytest.mark.skipif(not HAS_TORCHAO, reason="torchao is not installed")
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_weights_of_8_bits_draw_nearly_the_same_clip(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    changed = draw(folder, tmp_path, faster=Faster(weights=kind)).astype(int)
    assert 0 < np.abs(changed - draw(folder, tmp_path)).mean() < 12


def test_the_transformer_alone_is_compiled(folder: Path) -> None:
    # What it draws then is measured by benchmarks.perf.generator_sampling: compiling takes minutes.
    sampling = SAMPLING.model_copy(update={"faster": Faster(compiled=True)})
    pipeline = prepare(load_pipeline(folder), sampling, torch.device("cpu"))
    parts = (pipeline.transformer, pipeline.vae, pipeline.text_encoder)
    assert [part._compiled_call_impl is not None for part in parts] == [True, False, False]


def test_without_torchao_8_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_installed(Faster())
    with pytest.raises(UserError, match=r"^sampling\.faster\.weights fp8: torchao is not instal"):
        check_installed(Faster(weights="fp8"))


def test_our_folders_are_decoded_whole_with_tiles_switched_on(folder: Path, tmp_path: Path) -> None:
    faster = Faster(tiled=True, offload=True)  # without a GPU there is nothing to take away
    assert np.array_equal(draw(folder, tmp_path, faster=faster), draw(folder, tmp_path))
    vae = AutoencoderKLCogVideoX.from_pretrained(folder / "vae")
    vae.enable_tiling()
    latents = torch.zeros(1, vae.config.latent_channels, 3, SHAPE.height // 8, SHAPE.width // 8)
    with torch.no_grad():
        assert vae.decode(latents).sample.shape[-2:] == (SHAPE.height, SHAPE.width)


def test_tiles_that_do_not_meet_give_a_clip_that_is_refused(folder: Path, tmp_path: Path) -> None:
    vae = AutoencoderKLCogVideoX.from_pretrained(folder / "vae")
    vae.register_to_config(sample_height=SHAPE.height, sample_width=SHAPE.width)
    vae.save_pretrained(folder / "vae")
    clips = draw(folder, tmp_path, faster=Faster(tiled=True))
    assert clips.shape[2:4] != (SHAPE.height, SHAPE.width)
    with pytest.raises(UserError, match=r"none is written; give weights made for that size, or"):
        check_shape(clips, 1, SHAPE)
    check_shape(draw(folder, tmp_path), 1, SHAPE)


def test_clips_are_sampled_by_dpm_unless_the_folders_scheduler_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    expected = draw(folder, tmp_path)
    pipeline = CogVideoXPipeline.from_pretrained(folder)
    config = pipeline.scheduler.config
    pipeline.scheduler = CogVideoXDDIMScheduler.from_config(config, timestep_spacing="linspace")
    pipeline.scheduler.save_pretrained(folder / "scheduler")
    assert np.array_equal(draw(folder, tmp_path), expected)
    assert not np.array_equal(draw(folder, tmp_path, scheduler="folder"), expected)


def test_the_folder_says_which_argument_diffusers_own_call_needs(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert f"max_sequence_length={TEXT_TOKENS}" in text
    code = text.partition("```python\n")[2].partition("```")[0].replace('"."', repr(str(folder)))
    made: dict[str, Any] = {}
    code = code.replace(f"={TEXT_TOKENS})", f"={TEXT_TOKENS}, num_inference_steps=1)")
    exec(code, made)
    assert len(made["video"]) == SHAPE.num_frames
    assert made["video"][0].size == (SHAPE.width, SHAPE.height)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 2, "guidance_scale": 3.0, "faster": {"cache": "first_block"}}, "size 1"),
        ({"guidance_scale": 1.0, "faster": {"cache": "faster"}}, "use 'pyramid'"),
        ({"guidance_scale": 1.0, "faster": {"weights": "int4"}}, "'int8' or 'fp8'"),
    ],
)
def test_ways_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        Sampling.model_validate({"steps": 2, **settings})
