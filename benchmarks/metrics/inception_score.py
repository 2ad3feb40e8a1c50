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


def score_influences(probabilities: NDArray[np.floating], splits: int = 10) -> Array:
    """(N,): the derivative of the mean score over splits by each clip's weight.

    The logarithm of a score is a mean over clips of KL(p(y|x) || p(y)); p(y) moves with the clips
    too, but to first order that cancels out, as p(y) is the best one for its clips.
    Args: as of `inception_scores`; splits of equal size.
    """
    parts = np.array_split(np.asarray(probabilities, np.float64), splits)
    found = [(_score(part), _divergences(part)) for part in parts]
    return np.concatenate([score * (each - each.mean()) for score, each in found])


def split_count(count: int) -> int:
    """Ten splits, fewer where one would have under 200 clips: its size limits its score.

    Source: ten are Salimans' choice; the limit is ours, so that 2,048 clips keep ten.
    """
    return max(1, min(10, count // 200))


def _score(rows: Array) -> float:
    return float(np.exp(_divergences(rows).mean()))


def _divergences(rows: Array) -> Array:
    """KL(p(y|x) || p(y)) of each row, in nats; p(y) is their mean."""
    marginal = rows.mean(axis=0)
    logs = np.log(np.where(marginal > 0, marginal, 1.0))  # where it is 0, so is every row
    found: Array = (_x_log_x(rows) - rows * logs).sum(axis=1)
    return found


def _x_log_x(values: Array) -> Array:
    # 0 log 0 = 0
    logs: Array = np.log(np.where(values > 0, values, 1.0))
    return values * logs
