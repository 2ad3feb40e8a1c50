"""MoStGAN-V: its attention to motion styles, and its training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from generator.base import ClipShape
from generator.mostgan_v.network import AttendingConv, MoStGANVGenerator, MoStNetworkSettings
from generator.mostgan_v.training import GivenMoStGANV, MoStGANVTraining
from generator.video_gan.layers import ModulatedConv
from generator.video_gan.sampling import GANSampler
from tests.generator.gans import (
    gan_training,
    moves_every_weight,
    refuses_other_shapes,
)
from tests.generator.rivals import draws_what_its_seeds_say, goes_on_after_a_kill
from tests.generator.test_stylegan_v import training as stylegan_v
from tests.generator.test_video_gan import SIZES

NETWORK = MoStNetworkSettings(
    **SIZES.model_dump(), motion_styles=3, motion_style_width=4, attend_from=8, attend_to=16
)


def training(root: Path) -> MoStGANVTraining:
    stage = gan_training(MoStGANVTraining, NETWORK, root)
    assert isinstance(stage, MoStGANVTraining)
    return stage


def test_it_learns_and_draws(tmp_path: Path) -> None:
    stage = training(tmp_path)
    moves_every_weight(stage)
    draws_what_its_seeds_say(stage, GivenMoStGANV, tmp_path)
    refuses_other_shapes(stage)


def test_a_killed_training_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on_after_a_kill(training, tmp_path, monkeypatch)


def test_a_stylegan_v_is_no_mostgan_v(tmp_path: Path) -> None:
    stage, device = stylegan_v(tmp_path), torch.device("cpu")
    with pytest.raises(UserError, match="is not in it"):
        GANSampler.load(MoStGANVGenerator, stage.weights(), stage.shape, device, "fp32")


def test_layers_of_some_sizes_attend() -> None:
    with torch.device("meta"):
        published = MoStGANVGenerator(
            shape=ClipShape(num_frames=16, width=128, height=128).model_dump(),
            settings=MoStNetworkSettings().model_dump(),
        )
    kinds = [type(block.refine) for block in published.synthesis.blocks]
    assert kinds == [ModulatedConv] * 2 + [AttendingConv] * 4


def test_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    layer = AttendingConv(4, 3, 5, up=False, motion_style=6)
    style, motion = torch.randn(1, 4), torch.randn(2, 7, 6)  # a clip of two frames, seven styles
    with torch.no_grad():
        found, plain = layer.weights(style, motion), ModulatedConv.weights(layer, style, None)[0]
    frame, output = 1, 2
    parts = layer.kernel(motion[frame]).detach()
    kernels = [
        (p[:3, None, None] * p[None, 3:6, None] * p[None, None, 6:]).flatten() for p in parts
    ]
    mixtures = []
    for row in plain.flatten(1):
        scores = torch.stack([(row * kernel).sum() / math.sqrt(27) for kernel in kernels])
        attention = scores.exp() / scores.exp().sum()
        mixtures.append(sum(a * kernel for a, kernel in zip(attention, kernels, strict=True)))
    largest = torch.stack(mixtures).abs().max()
    bent = mixtures[output] / largest
    bent = torch.where(bent < 0, 0.2 * bent, bent)
    expected = plain[output].flatten() * (1 + bent)
    torch.testing.assert_close(found[frame, output].flatten(), expected, rtol=1e-4, atol=1e-5)


def test_motion_styles_change_frames_alone() -> None:
    torch.manual_seed(0)
    layer, style = AttendingConv(4, 3, 5, up=False, motion_style=6), torch.randn(2, 4)
    x, motion = torch.randn(4, 3, 8, 8), torch.randn(4, 7, 6)  # two clips of two frames
    changed = motion.clone()
    changed[1] += 1
    with torch.no_grad():
        before, after = layer(x, style, motion), layer(x, style, changed)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [
        True, False, True, True
    ]  # fmt: skip
