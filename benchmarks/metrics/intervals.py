"""Intervals of metrics over clips: how far a value would move with other clips of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet import frechet_distance, gaussian_of
from core.runtime import derive_seed

REPLICATES = 200
Z95 = 1.959964  # 97.5% quantile of the standard normal
Array = NDArray[np.floating]
Interval = tuple[float, float]


def frechet_interval(real: Array, generated: Array, value: float) -> Interval:
    """95% interval of a Frechet distance.

    Args: features of clips (N, D), or of their frames (N, T, D): clips are drawn, with all their
    frames. value: the distance itself.
    """

    def distance(ours: Array, theirs: Array) -> float:
        sides = (gaussian_of([side.reshape(-1, side.shape[-1])]) for side in (ours, theirs))
        return frechet_distance(*sides)

    low, high = bootstrap_interval(distance, (real, generated), value)
    return max(0.0, low), high


def mean_interval(scores: Array, value: float) -> Interval:
    """95% interval of a mean over clips (N,)."""
    return bootstrap_interval(lambda drawn: float(drawn.mean()), (scores,), value)


def bootstrap_interval(
    statistic: Callable[..., float], sets: tuple[Array, ...], value: float, seed: int = 0
) -> Interval:
    """value +- 1.96 standard deviations of the statistic over sets drawn with replacement.

    Not the replicates' own quantiles: a set with repeats spreads less than what it was drawn from,
    which shifts Frechet distances upwards.  Source: Efron & Tibshirani 1993, Sec. 13.3.
    """
    rng = np.random.default_rng(derive_seed("metric interval", seed))
    found = [
        statistic(*(rows[rng.integers(len(rows), size=len(rows))] for rows in sets))
        for _ in range(REPLICATES)
    ]
    reach = Z95 * float(np.std(found, ddof=1))
    return value - reach, value + reach


def entry_of(interval: Interval, digits: int) -> dict[str, Any]:
    """The interval as a metric's record holds it."""
    return {"ci95": [round(end, digits) for end in interval]}
