"""The one training loop: order, resuming, averaging, bad losses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.batch import Batch, batch_at
from core.errors import UserError
from core.fitting import fit
from core.optimisation import Optimisation
from core.training import CHECKPOINT_NAME

DEVICE = torch.device("cpu")
SETTINGS = Optimisation(
    steps=40, batch_size=8, lr=0.05, checkpoint_every=10, weight_decay=0.0, ema_decay=0.5
)


def line_fit(folder: Path, settings: Optimisation, stop_at: int | None = None) -> nn.Linear:
    """Fit y = 2x + 1 from 20 points; optionally die at a step."""
    points = torch.linspace(-1, 1, 20)[:, None]
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    calls = 0

    def loss(batch: Batch) -> Tensor:
        nonlocal calls
        if stop_at is not None and calls == stop_at:
            raise KeyboardInterrupt
        calls += 1
        x = points[batch.index]
        noise = 0.01 * batch.normal((1,))
        return (model(x) - (2 * x + 1 + noise)).square().mean(1)

    fit(model, loss, 20, settings, folder, description="line", device=DEVICE)
    return model


def test_fit_finds_the_line(tmp_path: Path) -> None:
    model = line_fit(tmp_path, SETTINGS.model_copy(update={"steps": 300}))
    assert model.weight.item() == pytest.approx(2, abs=0.05)
    assert model.bias.item() == pytest.approx(1, abs=0.05)


def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = line_fit(tmp_path / "whole", SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        line_fit(tmp_path / "killed", SETTINGS, stop_at=27)
    assert (tmp_path / "killed" / CHECKPOINT_NAME).is_file()
    resumed = line_fit(tmp_path / "killed", SETTINGS)
    assert torch.equal(whole.weight, resumed.weight) and torch.equal(whole.bias, resumed.bias)


def test_the_average_is_the_closed_form(tmp_path: Path) -> None:
    """A constant gradient moves a weight by lr a step (Adam); its average follows by hand.

    The share of the old average grows as (1 + n) / (10 + n) up to `ema_decay`, as diffusers has it.
    """
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    settings = Optimisation(
        steps=30, batch_size=1, lr=0.01, lr_schedule="constant_with_warmup", warmup_steps=0,
        weight_decay=0.0, ema_decay=0.6
    )  # fmt: skip
    fit(
        model, lambda batch: -model.weight.sum() * torch.ones(1), 1, settings, tmp_path,
        description="slope", device=DEVICE
    )  # fmt: skip
    average = 0.0
    for step in range(1, 31):
        share = min(0.6, step / (9 + step)) if step > 1 else 0.0
        average = share * average + (1 - share) * 0.01 * step
    assert model.weight.item() == pytest.approx(average, rel=1e-4)


def test_epochs_are_permutations_laid_end_to_end() -> None:
    batches = [batch_at(step, 4, 10, seed=3) for step in range(5)]
    seen = [index for batch in batches for index in batch.index]
    assert sorted(seen[:10]) == list(range(10)) == sorted(seen[10:])
    assert seen[:10] != seen[10:]
    assert [number for batch in batches for number in batch.number] == list(range(20))


def test_noise_follows_the_sample_number_and_not_the_batch() -> None:
    together = Batch([5, 6], [0, 1], seed=1).normal((3,))
    assert torch.equal(together[1], Batch([6], [9], seed=1).normal((3,))[0])
    assert not torch.equal(together[0], together[1])


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)

    def loss(batch: Batch) -> Tensor:
        value = model(torch.ones(1, 1)).sum()
        return value * float("nan") if batch.number[0] >= 24 * 8 else value.square()

    with pytest.raises(UserError, match=r"nan at step 24; the last good checkpoint"):
        fit(model, loss, 20, SETTINGS, tmp_path, description="line", device=DEVICE)
    state = torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)
    assert state["step"] == 20


def test_no_samples_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training samples"):
        fit(nn.Linear(1, 1), lambda b: torch.ones(1), 0, SETTINGS, tmp_path,
            description="x", device=DEVICE)  # fmt: skip


def test_a_checkpoint_of_an_earlier_version_is_one_line(tmp_path: Path) -> None:
    torch.save({"epochs_done": 1, "model": {}}, tmp_path / CHECKPOINT_NAME)
    with pytest.raises(UserError, match=r"checkpoint\.pt: of an earlier version; delete it"):
        line_fit(tmp_path, SETTINGS)
