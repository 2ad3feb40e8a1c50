"""How networks are fitted: the settings of a training, and Muon beside torch's AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from core.distributed import rank, sum_over_ranks, world_size
from core.runtime import Precision

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Optimisation(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How a network is fitted.

    Defaults follow Ophora's released training (AdamW betas .9 / .95, weight decay 1e-3, gradient
    norm 1.0); `steps`, `batch_size` and `lr` differ by stage and scale.
    """

    steps: int = pydantic.Field(ge=1)
    """Optimiser steps, warm-up included."""
    batch_size: int = pydantic.Field(ge=1)
    """Samples a step, on all ranks together."""
    lr: float = pydantic.Field(gt=0)
    """The peak of the learning rate."""
    lr_schedule: Literal["constant_with_warmup", "cosine", "cosine_with_restarts"] = "cosine"
    """From the peak on: no change, or half a cosine to 0; "with_restarts" has one cycle and is the
    same curve."""
    warmup_steps: int = pydantic.Field(default=0, ge=0)
    """The learning rate rises linearly to the peak for so many steps."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Of AdamW's averages of gradients and of their squares."""
    weight_decay: float = pydantic.Field(default=1e-3, ge=0)
    """Decoupled from the gradient; applied to all trained parameters."""
    grad_clip: float = pydantic.Field(default=1.0, gt=0)
    """Largest 2-norm of all gradients together."""
    ema_decay: float | None = pydantic.Field(default=None, gt=0, lt=1)
    """Of the average of the weights, which is kept; None keeps the raw ones, as the paper does."""
    precision: Precision = "fp32"
    """The autocast type."""
    checkpoint_every: int = pydantic.Field(default=200, ge=1)
    """Steps from one checkpoint to the next; a killed training goes on from the last."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Of the order of samples, of noise and of new weights."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """Muon learns as much as AdamW from about half the samples (docs/log.md); it has the blocks'
    weight matrices, AdamW the other parameters."""

    @property
    def samples(self) -> int:
        """Training samples seen, repeats counted."""
        return self.steps * self.batch_size

    def lr_at(self, step: int) -> float:
        """The learning rate of step 0, 1, ...: linear warm-up, then constant or half a cosine to 0.

        "cosine_with_restarts" has one cycle, as diffusers' schedule of that name by default, and is
        the same curve.
        """
        if step < self.warmup_steps:
            return self.lr * (step / self.warmup_steps)
        if self.lr_schedule == "constant_with_warmup":
            return self.lr
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr * (0.5 * (1 + math.cos(math.pi * progress)))


def build_optimisers(model: nn.Module, settings: Optimisation) -> list[torch.optim.Optimizer]:
    """AdamW for the trained parameters of `model`; with "muon", Muon for those that it is for."""
    matrices = matrices_of(model) if settings.optimiser == "muon" else []
    theirs = {id(matrix) for matrix in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in theirs]
    adamw = torch.optim.AdamW(
        others, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay
    )
    return [adamw, Muon(matrices, settings.lr, settings.weight_decay)] if matrices else [adamw]


class Muon(torch.optim.Optimizer):
    """Updates of (rows, columns) matrices by momentum (Nesterov's) with all singular values made
    about equal, as long as AdamW's updates are (root mean square 0.2), so that `lr` means the same.

    torch.optim.Muon computes in bfloat16, four times slower than float32 on CPUs without it. In
    ranks (each holding whole matrices) it shares the work (docs/log.md).
    Source: K. Jordan et al., "Muon" (2024); length: arXiv 2502.16982, Eq. 4.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            ahead = []
            for matrix in matrices:
                average = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix.grad))
                average.lerp_(matrix.grad, 1 - group["momentum"])
                ahead.append(matrix.grad.lerp(average, group["momentum"]))
            # Ranks have the same gradients: each does its share of the work.
            updates = [torch.zeros_like(step) for step in ahead]
            own = range(rank(), len(ahead), world_size())
            for number, step in zip(own, orthogonalised([ahead[n] for n in own]), strict=True):
                updates[number] = step
            sum_over_ranks(updates)
            for matrix, update in zip(matrices, updates, strict=True):
                length = 0.2 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.sub_(update, alpha=group["lr"] * length)


def orthogonalised(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Each (rows, columns) -> the same with singular values between about 0.7 and 1.2, in float32.

    Five steps of a quintic Newton-Schulz iteration, which needs no decomposition; those of one size
    together, 1.3 to 1.8 times as fast on two cores as one by one.
    """
    sizes: dict[tuple[int, ...], list[int]] = {}
    for number, matrix in enumerate(matrices):
        sizes.setdefault(tuple(sorted(matrix.shape)), []).append(number)
    found: dict[int, Tensor] = {}
    for (rows, _), numbers in sizes.items():
        turned = [matrices[n].shape[0] != rows for n in numbers]
        wide = torch.stack(
            [
                matrices[n].T if turn else matrices[n]
                for n, turn in zip(numbers, turned, strict=True)
            ]
        )
        wide = _iterated(wide.float())
        for number, turn, whole in zip(numbers, turned, wide, strict=True):
            # Contiguous, as an exchange between ranks wants it.
            found[number] = (whole.T if turn else whole).to(matrices[number].dtype).contiguous()
    return [found[number] for number in range(len(matrices))]


def _iterated(wide: Tensor) -> Tensor:
    """(N, rows, columns) with no more rows than columns."""
    a, b, c = _COEFFICIENTS
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide


def matrices_of(model: nn.Module) -> list[Tensor]:
    """The trained weights that Muon is made for: linear layers in the model's lists of blocks,
    without those that make scales and shifts of a time step."""
    found = {
        id(layer.weight): layer.weight
        for blocks in model.modules()
        if isinstance(blocks, nn.ModuleList)
        for name, layer in blocks.named_modules()
        if isinstance(layer, nn.Linear)
        and not ("norm" in name or "adaLN" in name)
        and layer.weight.requires_grad
    }
    return list(found.values())
