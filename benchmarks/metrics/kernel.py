"""Kernel distance between two sets of features (KID on frames, KVD on clips).

Unbiased at any number of clips, unlike the Frechet distance, so it is the companion for small sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def polynomial_mmd(real: NDArray[np.floating], generated: NDArray[np.floating]) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3.

    Args: real: (N, D); generated: (M, D).  Returns: a value around 0 (also below) for equal sets.
    Raises: ValueError: if a side has fewer than two features.
    Source: Binkowski et al. 2018 (arXiv 1801.01401), Sec. 4 and Eq. 4.
    """
    x, y = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    if len(x) < 2 or len(y) < 2:
        raise ValueError(f"the unbiased estimate needs two features a side: {len(x)}, {len(y)}")
    return _mean_off_diagonal(x) + _mean_off_diagonal(y) - 2.0 * float(_kernel(x, y).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1.0) ** 3
    return values


def _mean_off_diagonal(x: NDArray[np.float64]) -> float:
    values = _kernel(x, x)
    return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))
