"""Autoencoders: shapes, the head start, real training, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from core.batch import Batch
from core.errors import UserError
from core.optimisation import Optimisation
from generator.backbone.autoencoder import (
    AutoencoderSettings,
    AutoencoderTraining,
    decode,
    load_autoencoder,
    posterior_of,
    psnr_db,
    random_crops,
    to_frames,
    to_network,
)
from generator.backbone.autoencoder_init import inflate, initialise_as_resampler
from tests.generator.tiny import IMAGE_VAE, SHAPE, VIDEO_VAE, CaptionedClips, common


def coloured_clips() -> np.ndarray:
    """(3, 9, 32, 32, 3) uint8: a red, a green and a blue scene with a darker half."""
    clips = np.full((3, 9, 32, 32, 3), 30, np.uint8)
    for channel in range(3):
        clips[channel, :, :, :, channel] = 220
    clips[:, :, 16:] //= 2
    return clips


def reconstruct(model: object, clips: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return decode(model, posterior_of(model, to_network(clips)).mean).numpy()


@pytest.mark.parametrize("settings", [VIDEO_VAE, IMAGE_VAE], ids=["3D", "2D"])
def test_latents_and_pixels_have_the_promised_shapes(settings: AutoencoderSettings) -> None:
    model = settings.build(SHAPE)
    with torch.inference_mode():
        posterior = posterior_of(model, to_network(coloured_clips()))
        frames = 3 if settings.dimension == 3 else 9
        assert posterior.mean.shape == posterior.std.shape == (3, 4, frames, 4, 4)
        pixels = decode(model, posterior.mean)
    assert pixels.shape == (3, 3, 9, 32, 32)
    assert to_frames(pixels).shape == (3, 9, 32, 32, 3)


def test_pixels_survive_the_way_to_the_network_and_back() -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(to_frames(to_network(clips)), clips)


@pytest.mark.parametrize("dimension", [2, 3])
def test_head_start_reproduces_colours(dimension: Literal[2, 3]) -> None:
    settings = AutoencoderSettings(
        dimension=dimension, channels=(8, 8, 16, 16), latent_channels=4, norm_groups=2
    )
    torch.manual_seed(0)
    model = settings.build(SHAPE)
    clips = coloured_clips()
    wanted = to_network(clips).numpy().mean((2, 3, 4))
    before = reconstruct(model, clips).mean((2, 3, 4))
    initialise_as_resampler(model)
    after = reconstruct(model, clips).mean((2, 3, 4))
    agreement = [np.corrcoef(wanted.ravel(), found.ravel())[0, 1] for found in (before, after)]
    assert agreement[1] > 0.9 > agreement[0]
    with torch.inference_mode():
        assert posterior_of(model, to_network(clips)).std.max() < 0.1


def test_head_start_refuses_too_narrow_networks() -> None:
    with pytest.raises(ValueError, match="4 channels are too few"):
        initialise_as_resampler(VIDEO_VAE.build(SHAPE))


def test_training_lowers_the_loss_and_saves_a_diffusers_folder(tmp_path: Path) -> None:
    stage = AutoencoderTraining(
        clips=(CaptionedClips(**common(tmp_path)),),
        shape=SHAPE,
        settings=IMAGE_VAE,
        optimisation=Optimisation(steps=30, batch_size=4, lr=5e-3, weight_decay=0.0),
        **common(tmp_path),
    )
    result = stage.run()
    assert result["last_loss"] < 0.8 * result["first_loss"]
    model = load_autoencoder(stage.weights())
    assert model.config.scaling_factor == pytest.approx(result["scaling_factor"])
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_another_network_is_no_autoencoder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(UserError, match="'UNet2DModel' is no autoencoder"):
        load_autoencoder(tmp_path)


def test_crops_lie_inside_and_differ() -> None:
    clips = np.zeros((4, 2, 20, 30, 3), np.uint8)
    clips[:, :] = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30, 1) % 251
    crops = random_crops(clips, 16, Batch([0, 1, 2, 3], [0] * 4, seed=0))
    assert crops.shape == (4, 2, 16, 16, 3)
    assert len({crop.tobytes() for crop in crops}) > 1


def test_psnr_of_a_constant_error() -> None:
    clean = np.full((1, 4, 4, 3), 100, np.uint8)
    assert psnr_db(clean + 5, clean) == pytest.approx(20 * np.log10(255 / 5))


PLAIN = IMAGE_VAE.model_copy(update={"plain": True, "channels": (4, 4, 8, 8)})
WIDE = VIDEO_VAE.model_copy(update={"channels": (4, 4, 8, 8)})


def test_an_inflated_autoencoder_returns_a_still_clip_as_its_picture() -> None:
    image, video = PLAIN.build(SHAPE), WIDE.build(SHAPE)
    for parameter in image.parameters():
        if parameter.dim() == 1:  # norms and biases too, which start as ones and zeros
            torch.nn.init.normal_(parameter, 0.5, 0.5)
    inflate(image, video)
    still = to_network(coloured_clips())
    with torch.inference_mode():
        one, other = posterior_of(image, still), posterior_of(video, still)
        torch.testing.assert_close(one.mean[:, :, :3], other.mean)
        torch.testing.assert_close(one.std[:, :, :3], other.std)
        torch.testing.assert_close(decode(image, one.mean), decode(video, other.mean))


@pytest.mark.parametrize(("compression", "frames"), [(1, 9), (2, 5), (4, 3)])
def test_time_shrinks_as_much_as_is_set(compression: int, frames: int) -> None:
    settings = VIDEO_VAE.model_copy(update={"temporal_compression": compression})
    model = settings.build(SHAPE)
    video = torch.randn(1, 3, 9, 32, 32)
    with torch.inference_mode():
        latent = posterior_of(model, video).mean
        assert latent.shape == (1, 4, frames, 4, 4)
        assert decode(model, latent).shape == video.shape


def test_networks_of_other_sizes_do_not_inflate() -> None:
    with pytest.raises(ValueError, match="no such layer"):
        inflate(PLAIN.build(SHAPE), VIDEO_VAE.build(SHAPE))
    with pytest.raises(ValueError, match="the video autoencoder has no such layer"):
        inflate(IMAGE_VAE.build(SHAPE), VIDEO_VAE.build(SHAPE))  # with attention


def test_a_video_autoencoder_trains_on_from_an_image_autoencoder(tmp_path: Path) -> None:
    clips = (CaptionedClips(**common(tmp_path)),)
    step = Optimisation(steps=1, batch_size=2, lr=1e-9, weight_decay=0.0)
    image = AutoencoderTraining(
        clips=clips, shape=SHAPE, settings=PLAIN, optimisation=step, **common(tmp_path)
    )
    video = AutoencoderTraining(
        clips=clips, shape=SHAPE, settings=WIDE, optimisation=step, init=image, **common(tmp_path)
    )
    still = to_network(coloured_clips())
    one, other = load_autoencoder(image.weights()), load_autoencoder(video.weights())
    with torch.inference_mode():
        expected = posterior_of(one, still).mean[:, :, :3]
        torch.testing.assert_close(posterior_of(other, still).mean, expected, atol=1e-4, rtol=1e-3)
