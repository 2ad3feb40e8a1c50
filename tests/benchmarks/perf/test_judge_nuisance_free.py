"""The judge of clips without nuisance: rendered clips through the suite's own training."""

from __future__ import annotations

import numpy as np

from benchmarks.datasets.taxonomy import PHASES
from benchmarks.perf.judge_nuisance_free import confusions, judge


def test_it_trains_on_some_clips_and_counts_what_it_takes_for_another() -> None:
    found = judge(train=64, test=20, epochs=1)
    assert (found["train"], found["test"], found["epochs"]) == (64, 20, 1)
    wrong = sum(count for _, _, count in found["confusions"])
    assert found["top1"] == round(100 * (20 - wrong) / 20, 2)


def test_confusions_are_named_and_the_worst_come_first() -> None:
    truth, guess = np.array([0, 1, 1, 2]), np.array([0, 2, 2, 0])
    assert confusions(truth, guess) == [(PHASES[1], PHASES[2], 2), (PHASES[2], PHASES[0], 1)]
