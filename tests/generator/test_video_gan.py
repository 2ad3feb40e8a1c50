"""Parts that StyleGAN-V and MoStGAN-V share: resampling, modulation, motion codes, losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.batch import Batch
from generator.base import ClipShape
from generator.stylegan_v.network import StyleGANVGenerator
from generator.video_gan.augment import augmented
from generator.video_gan.layers import (
    Deviation,
    EqualConv,
    ModulatedConv,
    convolved,
    doubled,
    smoothed,
)
from generator.video_gan.losses import Duel, draw_times
from generator.video_gan.motion import MotionCodes, MotionSettings
from generator.video_gan.networks import VideoDiscriminator, resolutions
from generator.video_gan.settings import GANNetworkSettings, GANSettings
from tests.generator.tiny import SHAPE, moving_square

MOTION = MotionSettings(width=8, distance=4, kernel=2, frequencies=3, longest_period=32)
SIZES = GANNetworkSettings(width=8, channel_base=64, channel_limit=8, motion=MOTION)
BATCH = Batch([0, 1, 2, 3], [0, 1, 2, 0], seed=0)
CPU = torch.device("cpu")


def test_pictures_are_doubled_as_by_bilinear_interpolation() -> None:
    x = torch.randn(2, 3, 6, 5)
    larger = doubled(x)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert larger.shape == (2, 3, 12, 10)
    torch.testing.assert_close(larger[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])
    flat = smoothed(torch.ones(1, 1, 7, 7), padding=1)
    assert flat.shape == (1, 1, 6, 6) and torch.allclose(flat[..., 1:-1, 1:-1], torch.ones(()))


def test_halving_keeps_sizes_in_step() -> None:
    x = torch.randn(2, 3, 8, 12)
    for size in (1, 3):
        assert EqualConv(3, 5, size, down=True)(x).shape == (2, 5, 4, 6)
        assert EqualConv(3, 5, size)(x).shape == (2, 5, 8, 12)


@pytest.mark.parametrize("up", [False, True])
def test_each_clip_is_convolved_with_its_own_weights(up: bool) -> None:
    x, weights = torch.randn(6, 3, 4, 5), torch.randn(2, 7, 3, 3, 3)
    together = convolved(x, weights, up=up)
    alone = torch.cat([convolved(x[3 * n : 3 * n + 3], weights[n : n + 1], up=up) for n in (0, 1)])
    torch.testing.assert_close(together, alone)
    if not up:
        torch.testing.assert_close(together[:3], F.conv2d(x[:3], weights[0], padding=1))
    assert together.shape == ((6, 7, 8, 10) if up else (6, 7, 4, 5))


def test_demodulation_takes_a_style_s_length_away() -> None:
    torch.manual_seed(0)
    layer, x, style = ModulatedConv(4, 16, 16), torch.randn(2, 16, 16, 16), torch.randn(2, 4)
    with torch.no_grad():
        layer.affine.bias.zero_()
        once, far = layer(x, style), layer(x, 100 * style)
    torch.testing.assert_close(once, far, rtol=1e-3, atol=1e-4)
    assert once.square().mean().item() == pytest.approx(1, abs=0.3)


def codes_and_noise() -> tuple[MotionCodes, Tensor]:
    torch.manual_seed(0)
    return MotionCodes(MOTION), torch.randn(1, MOTION.noise_length(9), MOTION.width)


def test_a_code_passes_through_what_its_noise_asks_for() -> None:
    codes, noise = codes_and_noise()
    asked = codes.through(codes._trajectory(noise))
    at = codes(torch.tensor([[0.0, 4.0, 8.0]]), noise)
    torch.testing.assert_close(at, asked[:, :3], rtol=1e-4, atol=1e-4)


def test_codes_are_continuous_and_between_them_waves() -> None:
    codes, noise = codes_and_noise()
    before, after = codes(torch.tensor([[3.9999, 4.0001]]), noise)[0]
    assert (before - after).abs().max() < 0.05 * codes(torch.tensor([[0.0, 4.0]]), noise).std()
    first, middle, last = codes(torch.tensor([[0.0, 2.0, 4.0]]), noise)[0]
    assert not torch.allclose(middle, (first + last) / 2, atol=1e-3)


def test_a_code_depends_on_the_noise_around_it() -> None:
    codes, noise = codes_and_noise()
    changed = noise.clone()
    changed[:, 4] += 1  # seen by u at 8 frames and after
    times = torch.tensor([[1.0, 8.0]])
    here, there = codes(times, noise)[0], codes(times, changed)[0]
    assert torch.equal(here[0], there[0]) and not torch.equal(here[1], there[1])


@pytest.mark.parametrize(("frames", "count"), [(9, 3), (16, 3), (9, 1), (2, 2), (4, 4)])
def test_times_rise_within_the_clip(frames: int, count: int) -> None:
    batch = Batch(list(range(40)), [0] * 40, seed=1)
    whole = draw_times(batch, frames, count, whole=True)
    part = draw_times(batch, frames, count, whole=False)
    for times in (whole, part):
        assert times.shape == (40, count) and (times.diff(dim=1) > 0).all()
        assert times.min() >= 0 and times.max() <= frames - 1
    assert torch.equal(whole, whole.round())
    if count == 3:
        assert {2.0, 4.0, 8.0} == {*(whole[:, -1] - whole[:, 0]).tolist()}
        assert not torch.equal(part, part.round())


def test_sizes_begin_at_four_pixels() -> None:
    sides = ClipShape(num_frames=9, width=96, height=64)
    assert resolutions(sides) == [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]
    assert resolutions(ClipShape(num_frames=16, width=128, height=128))[0] == (4, 4)


def duel(discriminator: nn.Module | None = None, **settings: Any) -> Duel:
    torch.manual_seed(0)
    generator = StyleGANVGenerator(shape=SHAPE.model_dump(), settings=SIZES.model_dump())
    other = discriminator or VideoDiscriminator(SHAPE, 3, 64, 8)
    clips = np.stack([moving_square(colour, 9) for colour in range(3)])
    return Duel(generator, other, GANSettings(**settings), clips, [0, 1, 2], CPU)


def test_each_loss_moves_its_own_network_alone() -> None:
    found = duel()
    of_generator, of_discriminator = found.losses(BATCH, regular=True)
    of_generator().backward()
    assert all(p.grad is None for p in found.discriminator.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in found.generator.parameters())
    found.generator.zero_grad(set_to_none=True)
    of_discriminator().backward()
    assert all(p.grad is None for p in found.generator.parameters())
    assert all(p.grad is not None for p in found.discriminator.parameters())


class Slope(nn.Module):
    """A discriminator whose slope is known."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, clips: Tensor, times: Tensor) -> Tensor:
        return (self.slope * clips).flatten(1).sum(1)


def test_r1_is_its_closed_form() -> None:
    found = duel(Slope(0.01), r1_weight=2.0, r1_every=4, augmentation_target=None)
    of_generator, regular = found.losses(BATCH, regular=True)
    of_generator()
    steep = regular()
    of_generator, plain = found.losses(BATCH, regular=False)
    of_generator()
    of_frame = 3 * 32 * 32 * 0.01**2
    assert found.seen["r1"] == pytest.approx(of_frame, rel=1e-4)
    assert (steep - plain()).item() == pytest.approx(4 * 2.0 / 2 * of_frame, rel=1e-3)


def test_augmentation_follows_the_signs_of_real_clips() -> None:
    found = duel(augmentation_target=0.6, augmentation_clips=40)
    found._adapt(torch.ones(4))
    assert found.augmentation == pytest.approx(0.1)
    found._adapt(torch.tensor([1.0, 1.0, -1.0, -1.0]))
    found._adapt(-torch.ones(4))
    assert found.augmentation == 0.0


def test_all_frames_of_a_clip_are_changed_alike() -> None:
    torch.manual_seed(0)
    still = torch.rand(4, 1, 3, 16, 24).expand(-1, 3, -1, -1, -1).clone().requires_grad_()
    assert augmented(still, 0.0) is still
    seen = augmented(still, 1.0)
    assert seen.shape == still.shape and not torch.equal(seen, still)
    assert torch.equal(seen[:, 0], seen[:, 1]) and torch.equal(seen[:, 0], seen[:, 2])
    seen.sum().backward()
    assert still.grad is not None and torch.isfinite(still.grad).all()


def test_the_discriminator_sees_distances_and_differences() -> None:
    torch.manual_seed(0)
    clips, times = torch.randn(2, 3, 3, 32, 32), torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    other = torch.tensor([[0.0, 1.0, 2.0], [0.0, 3.0, 8.0]])
    for differences in (False, True):
        network = VideoDiscriminator(SHAPE, 3, 64, 8, differences=differences)
        logits, moved = network(clips, times), network(clips, other)
        assert logits.shape == (2,) and not torch.equal(logits[1], moved[1])
        assert not torch.allclose(logits, network(clips.flip(1), times))


def test_deviation_is_that_of_a_group() -> None:
    same = Deviation()(torch.ones(4, 2, 3, 3))
    assert same.shape == (4, 3, 3, 3) and same[:, 2].max() < 1e-3
    spread = Deviation()(torch.tensor([0.0, 2.0])[:, None, None, None].expand(-1, 2, 3, 3))
    assert torch.allclose(spread[:, 2], torch.ones(()), atol=1e-4)
