"""The training loop of the metric encoders: AdamW, warm-up, cosine, resumed from checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.files import atomic_path
from core.progress import Progress
from core.runtime import derive_seed, seed_everything

CHECKPOINT_NAME = "checkpoint.pt"
WARMUP_FRACTION = 0.1
LossOf = Callable[[NDArray[np.int64], torch.Generator], Tensor]


class FitSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Recipe of an encoder's training.  Source: our choice, minutes on one CPU thread."""

    steps: int = pydantic.Field(default=1000, ge=1)
    batch_size: int = pydantic.Field(default=64, ge=2)
    learning_rate: float = pydantic.Field(default=2e-3, gt=0, lt=1)
    weight_decay: float = pydantic.Field(default=0.05, ge=0)
    seed: int = pydantic.Field(default=0, ge=0)
    checkpoint_every_steps: int = pydantic.Field(default=100, ge=1)


def fit(
    model: nn.Module,
    loss_of: LossOf,
    num_items: int,
    settings: FitSettings,
    folder: Path,
    description: str,
) -> list[float]:
    """Train `model` in place and return the loss of every step.

    Args: loss_of: from (B,) item indices and a generator for augmentation to a scalar loss.
    Every draw of a step depends on (seed, step) alone, so a resumed training repeats the
    uninterrupted one exactly. A checkpoint in `folder` is continued, and removed at the end.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    path = folder / CHECKPOINT_NAME
    losses: list[float] = []
    if path.is_file():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
    model.train()
    with Progress(description, settings.steps, "steps", done=len(losses)) as progress:
        for step in range(len(losses), settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, settings)
            seed = derive_seed(settings.seed, "step", step)
            seed_everything(seed)  # dropout draws from the global generator
            loss = loss_of(batch_indices(step, num_items, settings), _generator(seed))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            if len(losses) % settings.checkpoint_every_steps == 0:
                with atomic_path(path) as temporary:
                    torch.save(_state(model, optimizer, losses), temporary)
            progress.advance(note=f"loss {losses[-1]:.3f}")
    model.eval()
    path.unlink(missing_ok=True)
    return losses


def learning_rate(step: int, settings: FitSettings) -> float:
    """Linear warm-up over the first tenth of the steps, then half a cosine to zero."""
    warmup = max(1, round(WARMUP_FRACTION * settings.steps))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, settings.steps - warmup)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))


def batch_indices(step: int, num_items: int, settings: FitSettings) -> NDArray[np.int64]:
    """The (B,) items of a step: each epoch is a fresh permutation, its short rest left out."""
    size = min(settings.batch_size, num_items)
    epoch, position = divmod(step, num_items // size)
    order = np.random.default_rng(derive_seed(settings.seed, "epoch", epoch)).permutation(num_items)
    return order[position * size : (position + 1) * size]


def _generator(seed: int) -> torch.Generator:
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator


def _state(
    model: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]
) -> dict[str, object]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
