"""StyleGAN-V: trained from nothing on the pixels of real clips."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
import torch

from core.errors import UserError
from generator.base import ClipShape
from generator.preview import Preview
from generator.sampling import Sampling
from generator.stylegan_v.family import StyleGANVSection
from generator.stylegan_v.network import StyleGANVGenerator
from generator.stylegan_v.training import GivenStyleGANV, StyleGANVTraining
from generator.video_gan.networks import VideoDiscriminator
from generator.video_gan.settings import ONE_PASS, GANNetworkSettings, GANSettings
from tests.generator.gans import (
    draws_sheets,
    gan_training,
    moves_every_weight,
    refuses_other_shapes,
    stops_where_it_diverges,
)
from tests.generator.rivals import draws_what_its_seeds_say, goes_on_after_a_kill, makes_videos
from tests.generator.test_video_gan import SIZES


def training(root: Path) -> StyleGANVTraining:
    stage = gan_training(StyleGANVTraining, SIZES, root)
    assert isinstance(stage, StyleGANVTraining)
    return stage


def test_it_learns_draws_and_makes_videos(tmp_path: Path) -> None:
    stage = training(tmp_path)
    preview = Preview(every=2, clips=2, sampling=ONE_PASS)
    draws_sheets(gan_training(StyleGANVTraining, SIZES, tmp_path, preview=preview), stage)
    moves_every_weight(stage)
    draws_what_its_seeds_say(stage, GivenStyleGANV, tmp_path)
    makes_videos(stage, tmp_path)
    refuses_other_shapes(stage)


def test_a_killed_training_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on_after_a_kill(training, tmp_path, monkeypatch)


def test_it_stops_where_it_diverges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stops_where_it_diverges(training(tmp_path), monkeypatch)


def test_more_frames_than_a_clip_has_are_refused(tmp_path: Path) -> None:
    stage = gan_training(StyleGANVTraining, SIZES, tmp_path, gan=GANSettings(frames=10))
    with pytest.raises(UserError, match=r"gan\.frames 10: the clips have 9 frames"):
        stage.run()


def test_a_gan_has_neither_steps_nor_latents() -> None:
    asked = {"training": {"optimisation": {"steps": 1, "batch_size": 2, "lr": 1e-3}}}
    with pytest.raises(pydantic.ValidationError, match="a GAN draws in one pass"):
        StyleGANVSection(**asked, sampling=Sampling(steps=2, guidance_scale=1.0))
    with pytest.raises(pydantic.ValidationError, match="a GAN is trained on pixels"):
        StyleGANVSection(**asked, encoding={"precision": "fp16"})


def test_frames_of_any_time_are_of_one_clip() -> None:
    torch.manual_seed(0)
    shape = ClipShape(num_frames=9, width=32, height=32)
    model = StyleGANVGenerator(shape=shape.model_dump(), settings=SIZES.model_dump())
    z, noise = model.starts([torch.Generator().manual_seed(1)])
    with torch.no_grad():
        few = model(z, torch.tensor([[0.5, 8.0]]), noise)
        many = model(z, torch.tensor([[0.0, 0.5, 3.0, 8.0]]), noise)
    torch.testing.assert_close(few[0], many[0, [1, 3]], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(many[0, 0], many[0, 2], atol=1e-3)


def test_the_published_sizes() -> None:
    shape = ClipShape(num_frames=16, width=128, height=128)
    sizes = GANNetworkSettings()
    with torch.device("meta"):
        model = StyleGANVGenerator(shape=shape.model_dump(), settings=sizes.model_dump())
        other = VideoDiscriminator(shape, 3, sizes.channel_base, sizes.channel_limit)
    assert [block.refine.weight.shape[0] for block in model.synthesis.blocks] == [
        512, 512, 512, 512, 256, 128
    ]  # fmt: skip
    # Constant 512 channels beside 256 sines and cosines.
    assert model.synthesis.blocks[0].refine.weight.shape[1] == 512 + 2 * 256
    # Three frames of half the channels side by side at 16 pixels.
    assert other.blocks[3].first.weight.shape[1] == 3 * 256
