"""A classifier trained in several ranks: real gloo processes against one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers.fitting import LOG_NAME
from classifiers.mvit_v2 import MViTv2
from classifiers.networks import Network
from classifiers.recipe import Recipe
from classifiers.slowfast import SlowFast
from classifiers.training import ClassifierTraining
from core.errors import UserError
from core.runtime import Runtime
from tests.classifiers.toy import CLASSES, ToyClips, ToyMixture

STEPS = 20
# Dropout draws a mask a process; BatchNorm's statistics of a whole batch need a GPU to be shared.
PLAIN_MVIT = MViTv2(
    embed_dims=8,
    num_layers=2,
    downscale_indices=(1,),
    patch_stride=(2, 8, 8),
    drop_path=0.0,
    dropout=0.0,
)
PLAIN_SLOWFAST = SlowFast(depth=18, stem_dim_outs=(8, 1), dropout=0.0, freeze_norm=True)


def training(
    root: Path, network: Network, batch_size: int = 8, **runtime: Any
) -> ClassifierTraining:
    """Twenty epochs of one step each: 8 training clips."""
    common = {"infra": {"folder": str(root)}, "runtime": Runtime(workers=1, **runtime)}
    clips = ToyClips(videos=6, **common)
    return ClassifierTraining(
        task="phase",
        num_classes=CLASSES,
        network=network,
        recipe=Recipe(
            optimiser="sgd",
            lr=0.01,
            weight_decay=0.0,
            epochs=STEPS,
            batch_size=batch_size,
        ),
        mixture=ToyMixture(sources=(clips,), **common),
        evaluation=clips,
        size=32,
        **common,
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", [PLAIN_MVIT, PLAIN_SLOWFAST], ids=["MViTv2", "SlowFast"])
def test_ranks_train_as_one_process_does(network: Network, tmp_path: Path) -> None:
    alone = training(tmp_path / "one", network)
    together = training(tmp_path / "two", network, classifier_processes=2)
    one, two = alone.run(), together.run()
    losses = [
        np.array([json.loads(line)["train_loss"] for line in (stage.folder / LOG_NAME).open()])
        for stage in (alone, together)
    ]
    assert len(losses[0]) == STEPS and losses[0][-1] < losses[0][0] - 1e-3
    assert np.abs(losses[0] - losses[1]).max() < 1e-5
    assert {**one, "val_top1": 0, "best_epoch": 0} == {**two, "val_top1": 0, "best_epoch": 0}
    logits = [np.load(stage.folder / "logits_test.npy") for stage in (alone, together)]
    if one["best_epoch"] == two["best_epoch"]:
        assert np.abs(logits[0] - logits[1]).max() < 1e-4


def test_a_batch_that_ranks_cannot_share_is_one_line(tmp_path: Path) -> None:
    stage = training(tmp_path, PLAIN_MVIT, batch_size=7, classifier_processes=2)
    with pytest.raises(UserError, match=r"^batch_size 7: not a multiple of 2 ranks$"):
        stage.run()
