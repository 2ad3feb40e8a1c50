"""Inception Score: how sure a classifier is of each generated clip, and how varied they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def inception_scores(probabilities: NDArray[np.floating], splits: int = 10) -> Array:
    """exp(E KL(p(y|x) || p(y))) of each split; mean and deviation over splits are reported.

    Args: probabilities: (N, C), rows sum to 1; splits: parts of (almost) equal size, in order.
    Returns: (splits,), each in [1, min(C, size of a split)].
    Raises: ValueError: if rows do not sum to 1, or there are fewer rows than splits.
    Source: Salimans et al. 2016 (arXiv 1606.03498), Sec. 4.
    """
    rows = np.asarray(probabilities, np.float64)
    if not 1 <= splits <= len(rows):
        raise ValueError(f"{splits} splits of {len(rows)} clips")
    if np.abs(rows.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("rows must be probabilities that sum to 1")
    return np.array([_score(part) for part in np.array_split(rows, splits)])


def split_count(count: int) -> int:
    """Ten splits, fewer where one would have under 200 clips: its size limits its score.

    Source: ten are Salimans' choice; the limit is ours, so that 2,048 clips keep ten.
    """
    return max(1, min(10, count // 200))


def _score(rows: Array) -> float:
    entropies = -_x_log_x(rows).sum(axis=1)
    marginal = rows.mean(axis=0)
    return float(np.exp(-_x_log_x(marginal).sum() - entropies.mean()))


def _x_log_x(values: Array) -> Array:
    # 0 log 0 = 0
    logs: Array = np.log(np.where(values > 0, values, 1.0))
    return values * logs
