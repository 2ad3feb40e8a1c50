"""LVDM: trained from nothing on the latents of an image or a video autoencoder."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode

from core.errors import UserError
from core.files import write_json
from core.optimisation import Optimisation
from generator.backbone.autoencoder import AutoencoderSettings
from generator.base import ClipShape
from generator.encoding import Encoding
from generator.lvdm.family import LVDM_SHORT, PUBLISHED_CLIP
from generator.lvdm.pipeline import (
    CLIP_NAME,
    CONDITION,
    LVDMAssembly,
    LVDMSampler,
    UNetSettings,
    lvdm_scheduler,
    predict_noise,
)
from generator.lvdm.training import GivenLVDM, LVDMTraining
from tests.generator.rivals import (
    SAMPLING,
    draws_what_its_seeds_say,
    goes_on_after_a_kill,
    makes_videos,
)
from tests.generator.tiny import (
    IMAGE_VAE,
    SHAPE,
    VIDEO_VAE,
    CaptionedClips,
    autoencoder_folder,
    common,
    weights,
)

UNET = UNetSettings(channels=(8, 16), layers_per_block=1, head_size=8, norm_groups=4)
DENOISER = Path("transformer") / "diffusion_pytorch_model.safetensors"


def training(
    root: Path, vae: AutoencoderSettings = IMAGE_VAE, steps: int = 3, shape: ClipShape = SHAPE
) -> LVDMTraining:
    base = LVDMAssembly(
        autoencoder=weights(autoencoder_folder(root, vae), root),
        shape=SHAPE,
        unet=UNET,
        **common(root),
    )
    clips = CaptionedClips(**common(root))
    read = Encoding(clips=clips, parts=base, shape=shape, max_text_tokens=0, **common(root))
    optimisation = Optimisation(
        steps=steps, batch_size=4, lr=1e-2, ema_decay=0.5, checkpoint_every=1
    )
    return LVDMTraining(
        init=base, encoding=read, held_out=read, optimisation=optimisation, **common(root)
    )


def test_it_learns_draws_and_makes_videos(tmp_path: Path) -> None:
    stage = training(tmp_path, steps=6)
    found = stage.run()["held_out_loss"]
    assert found["after"] < found["before"]
    assert found["other_captions"] == found["after"]  # it reads none
    draws_what_its_seeds_say(stage, GivenLVDM, tmp_path)
    makes_videos(stage, tmp_path)


def test_latents_of_whole_clips_are_learned_too(tmp_path: Path) -> None:
    stage = training(tmp_path, VIDEO_VAE, steps=2)
    assert stage.encoding.load().latent_shape == (3, 4, 4, 4)
    assert stage.sampler(SAMPLING)([""], [1], SAMPLING).shape == (1, 9, 32, 32, 3)


def test_a_killed_training_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on_after_a_kill(training, tmp_path, monkeypatch)


def test_frames_meet_along_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = UNET.build((3, 4, 4, 4))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    clip, step = torch.randn(1, 3, 4, 4, 4), torch.tensor([100])
    changed = clip.clone()
    changed[:, 2] += 1
    with torch.no_grad():
        whole, other = predict_noise(model, clip, step), predict_noise(model, changed, step)
    assert whole.shape == clip.shape and not torch.allclose(whole[:, 0], other[:, 0])


def test_the_noise_is_as_released() -> None:
    betas = lvdm_scheduler().betas
    assert betas[0].item() == pytest.approx(0.0015) and betas[-1].item() == pytest.approx(0.0155)
    middle = ((0.0015**0.5 + 0.0155**0.5) / 2) ** 2
    assert betas[499:501].mean().item() == pytest.approx(middle, rel=1e-4)


@pytest.mark.slow
def test_the_published_size_is_what_is_priced() -> None:
    with torch.device("meta"):
        model = UNetSettings().build((16, 4, 16, 16))
        clip, step = torch.zeros(1, 4, 16, 16, 16), torch.zeros(1, dtype=torch.long)
        with FlopCounterMode(display=False) as counted:
            model(clip, step, torch.zeros(1, 1, CONDITION))
    assert sum(p.numel() for p in model.parameters()) == LVDM_SHORT.parameters
    flops = LVDM_SHORT.forward_flops(PUBLISHED_CLIP)
    assert flops == pytest.approx(counted.get_total_flops(), rel=0.01)
    twice = PUBLISHED_CLIP.model_copy(update={"num_frames": 32})
    assert LVDM_SHORT.forward_flops(twice) == 2 * flops


def test_widths_that_groups_do_not_divide_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="channels 12: a multiple of norm_groups 8"):
        UNetSettings(channels=(8, 12), head_size=4, norm_groups=8)


def test_clips_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use weights made for this clip shape"):
        training(tmp_path, shape=ClipShape(num_frames=9, width=48, height=32)).run()
    base = training(tmp_path).init.weights()
    other, device = ClipShape(num_frames=8, width=32, height=32), torch.device("cpu")
    with pytest.raises(UserError, match="made for clips of 9 frames of 32x32, not of 8 frames"):
        LVDMSampler.load(base, other, device)


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    base, device = training(tmp_path).init.weights(), torch.device("cpu")
    kept = load_file(base / DENOISER)
    (base / DENOISER).unlink()
    save_file({name: value for name, value in kept.items() if name != "conv_in.bias"},
              base / DENOISER, {"format": "pt"})  # fmt: skip
    with pytest.raises(UserError, match=r"'conv_in\.bias' is not in it"):
        LVDMSampler.load(base, SHAPE, device)
    write_json(base / CLIP_NAME, {"frames": 9})
    with pytest.raises(UserError, match="not the frames and size of a clip"):
        LVDMSampler.load(base, SHAPE, device)
    (base / CLIP_NAME).unlink()
    with pytest.raises(UserError, match=r"no clip\.json in it"):
        LVDMSampler.load(base, SHAPE, device)
