"""A small DINO of our own for nano Endora's prior: a ViT that learns from frames without labels.

two crops of a frame -> teacher on one, student on the other -> cross-entropy of their outputs;
the teacher is a slow average of the student, its outputs are centred and sharpened.
Source: DINO (arXiv 2104.14294), Sec. 3; temperatures, momentum and centring as there, two global
crops and no local ones.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pydantic
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from core.batch import Batch
from core.errors import UserError
from core.fitting import fit
from core.frame_cache import FrameCache, FrameTable
from core.optimisation import Optimisation
from core.runtime import seed_everything
from core.stage import ClipStage
from generator.base import ClipShape, Weights
from generator.endora.prior import normalised, save_vit

STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04
TEACHER_MOMENTUM, CENTRE_MOMENTUM = 0.996, 0.9
LEAST_CROP = 0.4  # of a frame's sides
JITTER = 0.3  # of brightness and contrast


class VitSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Size of the ViT. Defaults: DINO's ViT-S/8."""

    patch_size: int = pydantic.Field(default=8, ge=1)
    """Side of a token's square in pixels."""
    embed_dim: int = pydantic.Field(default=384, ge=8)
    """Width of the tokens."""
    depth: int = pydantic.Field(default=12, ge=1)
    """Transformer blocks."""
    num_heads: int = pydantic.Field(default=6, ge=1)
    """Of its attention; they divide `embed_dim`."""
    outputs: int = pydantic.Field(default=1024, ge=2)
    """What the training's head tells apart; the ViT itself has no head."""

    def arguments(self, shape: ClipShape) -> dict[str, Any]:
        """What builds it with timm for frames of `shape`."""
        sizes = self.model_dump(exclude={"outputs"})
        return {"img_size": (shape.height, shape.width), "num_classes": 0, **sizes}


class DinoTraining(Weights):
    """Train the ViT on single frames of `clips`; `weights/` is what `load_vit` reads.

    In one process and without micro-batches: the teacher moves once a loss.
    """

    clips: tuple[ClipStage, ...]
    shape: ClipShape
    settings: VitSettings = VitSettings()
    optimisation: Optimisation

    def execute(self, folder: Path) -> dict[str, Any]:
        tables = [self._frames(clips) for clips in self.clips]
        places = [(table, row) for table in tables for row in sorted(table.rows.values())]
        if not places:
            raise UserError("clips: none can be read to train a DINO on")
        device = self.runtime.torch_device()
        seed_everything(self.optimisation.seed)
        arguments = self.settings.arguments(self.shape)
        model = SelfDistillation(VisionTransformer(**arguments), self.settings.outputs)

        def loss(batch: Batch) -> Tensor:
            chosen = (batch.uniform("frame") * self.shape.num_frames).long().tolist()
            frames = [
                torch.from_numpy(places[index][0].frames[places[index][1], frame].copy())
                for index, frame in zip(batch.index, chosen, strict=True)
            ]
            images = torch.stack(frames).to(device).permute(0, 3, 1, 2) / 255
            views = (view(images, batch, name) for name in ("first", "second"))
            return model(*views)

        result = fit(
            model,
            loss,
            len(places),
            self.optimisation,
            folder,
            description="DINO",
            device=device,
        )
        save_vit(folder / "weights", model.teacher[0], arguments)
        return {**result, "frames": len(places) * self.shape.num_frames, "spread": model.spread()}

    def _frames(self, clips: ClipStage) -> FrameTable:
        return FrameCache(
            clips=clips,
            num_frames=self.shape.num_frames,
            width=self.shape.width,
            height=self.shape.height,
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        ).table()


class SelfDistillation(nn.Module):
    """Student and teacher, each a ViT and a head, and the teacher's centre."""

    teacher: nn.Sequential
    centre: Tensor
    last: Tensor

    def __init__(self, vit: Any, outputs: int) -> None:
        super().__init__()
        self.student = nn.Sequential(vit, _Head(vit.embed_dim, outputs))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(outputs))
        self.register_buffer("last", torch.zeros(outputs))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two views (B, 3, H, W) of the same frames -> loss (B,). Moves teacher and centre."""
        self._follow()
        views = torch.cat([first, second])
        with torch.no_grad():
            targets = self.teacher(views)
            wanted = ((targets - self.centre) / TEACHER_TEMPERATURE).softmax(1)
            self.centre.lerp_(targets.mean(0), 1 - CENTRE_MOMENTUM)
            self.last.copy_(wanted.mean(0))
        found = (self.student(views) / STUDENT_TEMPERATURE).log_softmax(1)
        other = wanted.roll(len(first), 0)  # each view is to say what the teacher says of the other
        return -(other * found).sum(1).view(2, -1).mean(0)

    @torch.no_grad()
    def _follow(self) -> None:
        pairs = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1 - TEACHER_MOMENTUM)

    def spread(self) -> float:
        """Entropy of the teacher's last mean output over its greatest, 0..1; 0: all alike."""
        share = self.last.double().clamp(min=1e-12)
        return round(float(-(share * share.log()).sum() / torch.tensor(len(share)).log()), 4)


class _Head(nn.Module):
    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.prototypes = nn.Parameter(torch.randn(outputs, dim) / dim**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.mlp(x)) @ functional.normalize(self.prototypes).T


def view(images: Tensor, batch: Batch, name: str) -> Tensor:
    """A random crop of each image at the same size, half of them mirrored, brightness and contrast
    changed, normalised: (B, 3, H, W) in 0..1 -> the same shape."""

    def draw(what: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        return (low + (high - low) * batch.uniform(f"{name} {what}")).to(images.device)

    side = draw("side", LEAST_CROP, 1.0)
    mirrored = torch.where(draw("mirror") < 0.5, -1.0, 1.0)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = side * mirrored, side
    theta[:, 0, 2], theta[:, 1, 2] = ((1 - side) * draw(axis, -1.0, 1.0) for axis in ("x", "y"))
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    crops = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = (
        draw(what, 1 - JITTER, 1 + JITTER).view(-1, 1, 1, 1) for what in ("contrast", "brightness")
    )
    middle = crops.mean((1, 2, 3), keepdim=True)
    changed = ((crops - middle) * contrast + middle * brightness).clamp(0, 1)
    return normalised(changed)
