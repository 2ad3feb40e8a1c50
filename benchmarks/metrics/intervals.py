"""Intervals of metrics over clips: how far a value would move with other clips of the same kind.

Each clip's influence on the value is its first derivative by the clip's weight; the variance of the
value is that of the influences over their number (the infinitesimal jackknife: Jaeckel 1972; Efron
& Stein 1981, Annals of Statistics 9(3)). One pass over the features, where a bootstrap takes
hundreds of covariances, and nearer to what fresh draws show where clips are few (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet import Gaussian, gaussian_of, transport

Z95 = 1.959964  # 97.5% quantile of the standard normal
ROWS = 4096  # of features at a time
Array = NDArray[np.floating]
Interval = tuple[float, float]


def frechet_interval(real: Array, generated: Array, value: float) -> Interval:
    """95% interval of a Frechet distance.

    Args: features of clips (N, D), or of their frames (N, T, D): clips are drawn, with all their
    frames. value: the distance itself.
    """
    sides = [side.reshape(len(side), -1, side.shape[-1]) for side in (real, generated)]
    ours, theirs = (gaussian_of([side.reshape(-1, side.shape[-1])]) for side in sides)
    variance = _variance(_influences(sides[0], ours, theirs))
    variance += _variance(_influences(sides[1], theirs, ours))
    reach = Z95 * float(np.sqrt(variance))
    return max(0.0, value - reach), value + reach


def mean_interval(scores: Array, value: float) -> Interval:
    """95% interval of a mean over clips (N,)."""
    reach = Z95 * float(np.sqrt(_variance(scores)))
    return value - reach, value + reach


def _influences(clips: Array, own: Gaussian, other: Gaussian) -> Array:
    """(N, T, D) -> (N,): of each clip on the Frechet distance of its set to the other one.

    By the mean: 2 (m - m'); by the covariance: 1 - the linear map that carries the one normal
    distribution to the other (Dowson & Landau 1982; derivative of the Bures metric).
    """
    slope = np.eye(len(own.mean)) - transport(own.covariance, other.covariance)
    shift = 2.0 * (own.mean - other.mean)

    def by_frame() -> Iterator[Array]:
        rows = clips.reshape(-1, clips.shape[-1])
        for start in range(0, len(rows), ROWS):
            centred = rows[start : start + ROWS].astype(np.float64) - own.mean
            yield ((centred @ slope) * centred).sum(axis=1) + centred @ shift

    return np.concatenate(list(by_frame())).reshape(clips.shape[:2]).mean(axis=1)


def _variance(influences: Array) -> float:
    """Of a value whose derivatives by its N clips these are."""
    return float(np.var(influences.astype(np.float64), ddof=1)) / len(influences)


def entry_of(interval: Interval, digits: int) -> dict[str, Any]:
    """The interval as a metric's record holds it."""
    return {"ci95": [round(end, digits) for end in interval]}
