"""What is asked of both video GANs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.errors import UserError
from core.frame_cache import FrameCache
from core.runtime import seed_everything
from core.training import CHECKPOINT_NAME
from generator.base import ClipShape
from generator.video_gan.losses import Duel
from generator.video_gan.sampling import GANSampler
from generator.video_gan.settings import GANOptimisation, GANSettings
from generator.video_gan.training import GANTraining
from tests.generator.tiny import SHAPE, CaptionedClips, common


def gan_training(kind: type[GANTraining], network: Any, root: Path, **fields: Any) -> GANTraining:
    frames = FrameCache(
        clips=CaptionedClips(num_clips=4, **common(root)), **SHAPE.model_dump(), **common(root)
    )
    optimisation = GANOptimisation(
        steps=3, batch_size=2, lr=2e-3, ema_decay=0.5, checkpoint_every=1
    )
    settings = {"optimisation": optimisation, "gan": GANSettings(r1_every=2), **fields}
    return kind(frames=frames, network=network, **settings, **common(root))


def moves_every_weight(stage: GANTraining) -> None:
    """From its start, by three steps, R1 and augmentation among them."""
    result = stage.run()
    assert result["steps"] == 3 and result["samples"] == 6 and result["skipped_steps"] == 0
    kept = load_file(next((stage.weights() / "generator").glob("*.safetensors")))
    seed_everything(stage.optimisation.seed)
    start = stage.generator().state_dict()
    assert kept.keys() == start.keys()
    assert [name for name, value in start.items() if torch.equal(value, kept[name])] == []
    assert result["parameters"] == sum(value.numel() for value in start.values())


def stops_where_it_diverges(stage: GANTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its third step; what it had saved before stays."""
    of_discriminator, calls = Duel._of_discriminator, 0

    def broken(self: Duel, *arguments: Any, **more: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return of_discriminator(self, *arguments, **more) * (float("inf") if calls > 2 else 1)

    with monkeypatch.context() as patched:
        patched.setattr(Duel, "_of_discriminator", broken)
        with pytest.raises(UserError, match=r"diverged: its losses add up to inf at step 2; ") as e:
            stage.run()
    assert "\n" not in str(e.value) and str(stage.folder / CHECKPOINT_NAME) in str(e.value)
    state = torch.load(stage.folder / CHECKPOINT_NAME, weights_only=True)
    assert state["step"] == 2 and not state["diverged"]
    assert not (stage.folder / "weights").exists() and not stage.is_done()


def draws_sheets(stage: GANTraining, plain: GANTraining) -> None:
    """A preview, which is not part of what the training is."""
    assert stage.infra.uid() == plain.infra.uid()
    stage.run()
    sheets = sorted(path.name for path in stage.folder.glob("samples-*.png"))
    assert sheets == ["samples-000002.png", "samples-000003.png"]


def refuses_other_shapes(stage: GANTraining) -> None:
    other = ClipShape(num_frames=8, width=32, height=32)
    with pytest.raises(UserError, match="made for clips of 9 frames of 32x32, not of 8 frames"):
        GANSampler.load(stage.makes, stage.weights(), other, torch.device("cpu"), "fp32")
