"""Fidelity and diversity apart: precision and recall, density and coverage.

features -> radius of each feature's neighbourhood -> who lies in whose neighbourhood -> values
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

NEIGHBOURS = 5  # Source: Naeem et al. 2020
CHUNK = 256  # features whose distances are held at a time; bounds memory, does not change a value


@dataclass(frozen=True)
class ManifoldScores:
    """All 1 at best; density alone may exceed 1, the others lie in [0, 1].

    precision: share of generated clips that lie in a real clip's neighbourhood; recall: share of
    real clips that lie in a generated clip's. density: in how many real neighbourhoods a generated
    clip lies, over k; coverage: share of real neighbourhoods that hold a generated clip.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_radii(features: NDArray[np.floating], k: int = NEIGHBOURS) -> Array:
    """Distance of each feature to its k-th nearest other one: (N, D) -> (N,).

    Raises: ValueError: if there are not more than `k` features.
    """
    if not 1 <= k < len(features):
        raise ValueError(f"k={k} needs 1 to {len(features) - 1} neighbours of {len(features)}")
    # The nearest of all is the feature itself, at place 0.
    parts = [np.partition(rows, k, axis=1)[:, k] for _, rows in _distances(features, features)]
    return np.concatenate(parts)


def manifold_scores(
    real: NDArray[np.floating], generated: NDArray[np.floating], k: int = NEIGHBOURS
) -> ManifoldScores:
    """Precision, recall, density and coverage in one pass over all pairs.

    Args: real: (N, D); generated: (M, D).  Memory is O((N + M) D), never O(N M).
    Raises: ValueError: if a side has not more than `k` features.
    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), Eq. 1 and 2 (improved precision, recall);
    Naeem et al. 2020 (arXiv 2002.09797; density, coverage).
    """
    real_radii, generated_radii = neighbour_radii(real, k), neighbour_radii(generated, k)
    holders = np.zeros(len(generated), np.int64)  # real neighbourhoods that hold each clip
    covered = recalled = 0
    for rows, distances in _distances(real, generated):
        inside = distances <= real_radii[rows, np.newaxis]
        holders += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((distances <= generated_radii).any(axis=1).sum())
    return ManifoldScores(
        precision=float((holders > 0).mean()),
        recall=recalled / len(real),
        density=float(holders.mean()) / k,
        coverage=covered / len(real),
    )


def _distances(
    rows: NDArray[np.floating], columns: NDArray[np.floating]
) -> Iterator[tuple[slice, Array]]:
    # Differences, not the expanded square: a copy of a feature is at exactly the same distance.
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        yield part, cdist(rows[part], columns)
