"""Muon: against torch's own, and resumed in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.optimization import get_scheduler
from torch import Tensor, nn

from core.batch import Batch
from core.errors import UserError
from core.fitting import fit
from core.optimisation import Muon, Optimisation, orthogonalised
from core.runtime import Runtime

SETTINGS = Optimisation(steps=12, batch_size=4, lr=1e-2, optimiser="muon", checkpoint_every=1)


class Blocks(nn.Module):
    """Two blocks with an inner matrix each, between an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Linear(3, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inside(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.head(x)


def fitted(folder: Path, stop_at: int | None = None) -> Blocks:
    model = Blocks()

    def loss(batch: Batch) -> Tensor:
        if stop_at is not None and batch.number[0] >= stop_at * 4:
            raise KeyboardInterrupt
        x = batch.normal((3,))
        return (model(x) - x.prod(1, keepdim=True)).square().mean(1)

    fit(model, loss, 20, SETTINGS, folder, description="x", device=torch.device("cpu"))
    return model


@pytest.mark.parametrize("shape", [(24, 24), (16, 64), (64, 16)])
def test_an_update_is_the_library_s_in_float32(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    mine = Muon([ours], lr=0.1, weight_decay=0.01)
    reference = torch.optim.Muon(
        [theirs], lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(3):
        before = theirs.detach().clone()
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
        step = (theirs - before).norm()
        assert (ours - theirs).norm() < 0.05 * step  # the library's is in bfloat16
        ours.data.copy_(theirs.data)


def test_singular_values_become_about_equal() -> None:
    torch.manual_seed(0)
    drawn = [torch.randn(32, 48) @ torch.diag(torch.logspace(0, -2, 48)) for _ in range(2)]
    # Of one size together: wide, wide, tall, and one of another size.
    matrices = [drawn[0], 3.0 * drawn[1], drawn[0].T, drawn[1][:, 8:]]
    steps = orthogonalised(matrices)
    for matrix, step in zip(matrices, steps, strict=True):
        before, after = torch.linalg.svdvals(matrix), torch.linalg.svdvals(step)
        assert before[0] / before[-1] > 20
        assert after.min() > 0.5 and after.max() < 1.3
        # Singular vectors stay: the step times the matrix is symmetric and not negative.
        product = step @ matrix.T
        assert torch.allclose(product, product.T, atol=1e-4)
        assert torch.linalg.eigvalsh(product).min() > -1e-5
    assert torch.allclose(steps[2], steps[0].T, atol=1e-5)


def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "killed", stop_at=7)
    resumed = fitted(tmp_path / "killed")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)
    )


def test_sharded_matrices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="optimiser 'muon': it needs whole matrices"):
        fit(
            Blocks(),
            lambda batch: torch.ones(1),
            20,
            SETTINGS,
            tmp_path,
            description="x",
            device=torch.device("cpu"),
            runtime=Runtime(sharding="shard"),
        )


@pytest.mark.parametrize(
    "schedule", ["constant_with_warmup", "cosine", "cosine_with_restarts"]
)  # fmt: skip
def test_the_learning_rate_is_diffusers_schedule(schedule: Any) -> None:
    settings = SETTINGS.model_copy(
        update={"steps": 20, "warmup_steps": 3, "lr": 7e-4, "lr_schedule": schedule}
    )
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=settings.lr)
    reference = get_scheduler(schedule, optimiser, num_warmup_steps=3, num_training_steps=20)
    for step in range(20):
        assert settings.lr_at(step) == reference.get_last_lr()[0]
        optimiser.step()
        reference.step()
