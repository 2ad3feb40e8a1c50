"""Learning-rate curve, step counts and parameter groups against closed forms."""

from __future__ import annotations

import math

import pydantic
import pytest
import torch
from torch import nn

from classifiers.recipe import (
    Recipe,
)
from tests.presets import (
    MVITV2_AS_STATED,
    MVITV2_REFERENCE,
    SLOWFAST_AS_STATED,
    SLOWFAST_REFERENCE,
)


def _recipe(**fields: object) -> Recipe:
    base = {"optimiser": "sgd", "lr": 0.2, "weight_decay": 0.1}
    return Recipe.model_validate({**base, "epochs": 10, "batch_size": 8, **fields})


def test_learning_rate_warms_up_then_falls_as_half_a_cosine() -> None:
    recipe = _recipe(warmup_epochs=1.5)
    rates = [recipe.lr_at(step, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2 / 16) and rates[14] == pytest.approx(0.2 * 15 / 16)
    assert rates[15] == pytest.approx(0.2) == max(rates)
    middle = 0.1 * (1 + math.cos(math.pi * (57 - 15) / 85))
    assert rates[57] == pytest.approx(middle)
    assert rates == sorted(rates[:15]) + sorted(rates[15:], reverse=True)
    assert 0 < rates[-1] < 0.2 * 0.001


def test_constant_rate_stays() -> None:
    recipe = _recipe(decay="constant", warmup_epochs=1)
    assert {recipe.lr_at(step, 4) for step in range(4, 40)} == {0.2}


def test_matched_steps_count_the_first_source_alone() -> None:
    # 900 real and 830 synthetic clips in batches of 8: 112 and 216 steps a pass
    assert _recipe().steps_per_epoch(1730, 900) == 216
    assert _recipe(schedule="matched_steps").steps_per_epoch(1730, 900) == 112
    assert _recipe(schedule="matched_steps").steps_per_epoch(900, 900) == 112
    assert _recipe().steps_per_epoch(5, 5) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)],
)
def test_optimizer_decays_weights_but_not_biases_and_norms(kind: str, expected: type) -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.Linear(2, 2))
    optimiser = _recipe(optimiser=kind).build_optimiser(model)
    assert type(optimiser) is expected
    decayed, others = optimiser.param_groups
    assert decayed["weight_decay"] == 0.1 and others["weight_decay"] == 0.0
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert len(others["params"]) == 4
    assert kind != "sgd" or decayed["momentum"] == 0.9


def test_presets_hold_the_published_numbers() -> None:
    stated = SLOWFAST_AS_STATED
    assert (stated.optimiser, stated.lr, stated.epochs) == ("adam", 0.1, 35)
    assert (stated.batch_size, MVITV2_AS_STATED.batch_size) == (64, 32)
    assert MVITV2_REFERENCE.lr == pytest.approx(1.6e-3 * 32 / 512)
    assert SLOWFAST_REFERENCE.weight_decay == 1e-4 and MVITV2_REFERENCE.grad_clip == 1.0


def test_a_warmup_that_never_ends_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="warmup_epochs 10"):
        _recipe(warmup_epochs=10)
