"""Frechet distance between two sets of features: FID on frames, FVD on clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SINGULAR = 1e-10  # of the largest eigenvalue: below it, rounding


@dataclass(frozen=True)
class Gaussian:
    """What the distance needs of a set of features. mean: (D,); covariance: (D, D), unbiased."""

    mean: Array
    covariance: Array
    count: int


def gaussian_of(batches: Iterable[NDArray[np.floating]]) -> Gaussian:
    """Mean and covariance of features that come in batches of (B, D); memory is O(D^2).

    Raises: ValueError: if there are fewer than two features.
    Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", Eq. 2.1.
    """
    count, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
    for raw in batches:
        batch = np.asarray(raw, dtype=np.float64)
        if not len(batch):
            continue
        batch_mean = batch.mean(axis=0)
        centred = batch - batch_mean
        if count == 0:
            count, mean, scatter = len(batch), batch_mean, centred.T @ centred
            continue
        shift = batch_mean - mean
        total = count + len(batch)
        scatter += centred.T @ centred + np.outer(shift, shift) * (count * len(batch) / total)
        mean = mean + shift * (len(batch) / total)
        count = total
    if count < 2:
        raise ValueError(f"a covariance needs at least two features, got {count}")
    return Gaussian(mean, scatter / (count - 1), count)


def frechet_distance(real: Gaussian, generated: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), symmetric in its arguments, never negative.

    With C1 = R R^T, tr (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of R^T C2 R.
    That is symmetric: no complex residue and no negative result, as `scipy.linalg.sqrtm` may give.
    Source: Heusel et al. 2017 (arXiv 1706.08500), Eq. 6.
    """
    root = _root(real.covariance)
    overlap = np.linalg.eigvalsh(root.T @ generated.covariance @ root).clip(min=0.0)
    shift = real.mean - generated.mean
    spread = np.trace(real.covariance) + np.trace(generated.covariance)
    return max(0.0, float(shift @ shift + spread - 2.0 * np.sqrt(overlap).sum()))


def transport(covariance: Array, other: Array) -> Array:
    """T with T C1 T = C2, symmetric: the linear map between normal distributions of covariances
    C1 and C2, which is also minus the derivative of -2 tr (C1 C2)^(1/2) by C1.

    Where C1 is singular (N <= D), T acts on the features' span alone.
    Source: Dowson & Landau 1982, "The Frechet distance between multivariate normal distributions".
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * SINGULAR
    spread = np.sqrt(values[kept])
    root, inverse = vectors[:, kept] * spread, vectors[:, kept] / spread
    overlap, axes = np.linalg.eigh(root.T @ other @ root)
    middle = (axes * np.sqrt(overlap.clip(min=0.0))) @ axes.T
    found: Array = inverse @ middle @ inverse.T
    return found


def _root(covariance: Array) -> Array:
    """R with R R^T = covariance: Cholesky's, or from eigenvalues where it is singular (N <= D)."""
    try:
        factor: Array = np.linalg.cholesky(covariance).astype(np.float64)
        return factor
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        root: Array = vectors * np.sqrt(values.clip(min=0.0))
        return root
