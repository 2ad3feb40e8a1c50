"""Kernel distances between two sets of features: KID on frames, KVD and JEDi's on clips.

KID and KVD are unbiased at any number of clips, unlike the Frechet distance, so they are the
companions for small sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUBSETS = 100  # Source: torchmetrics' KernelInceptionDistance, as is the size below
SUBSET_SIZE = 1000


def polynomial_mmd(
    real: NDArray[np.floating],
    generated: NDArray[np.floating],
    *,
    degree: int = 3,
    coef0: float = 1.0,
    unbiased: bool = True,
) -> float:
    """Squared maximum mean discrepancy with the kernel (x.y / D + coef0)^degree.

    Args: real: (N, D); generated: (M, D); unbiased: leave out the pairs of a feature with itself.
    Returns: unbiased: a value around 0 (also below) for equal distributions; else at least 0.
    Raises: ValueError: if a side has fewer than two features.
    Source: Binkowski et al. 2018 (arXiv 1801.01401), Sec. 4 and Eq. 4; the biased form is Gretton
    et al. 2012 ("A kernel two-sample test").
    """
    x, y = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    if len(x) < 2 or len(y) < 2:
        raise ValueError(f"the estimate needs two features a side: {len(x)}, {len(y)}")

    def kernel(one: Array, other: Array) -> Array:
        values: Array = (one @ other.T / x.shape[1] + coef0) ** degree
        return values

    def within(one: Array) -> float:
        values = kernel(one, one)
        if not unbiased:
            return float(values.mean())
        return float((values.sum() - np.trace(values)) / (len(one) * (len(one) - 1)))

    return within(x) + within(y) - 2.0 * float(kernel(x, y).mean())


def jedi_mmd(real: NDArray[np.floating], generated: NDArray[np.floating]) -> float:
    """JEDi's distance: 100 times the biased discrepancy with the kernel (x.y / D)^2.

    Arguments and errors as above.  Returns: a value of at least 0, which falls with the number of
    features: compare only equal numbers.
    Source: Luo et al. 2024 (arXiv 2410.05203); the constant term, the estimator and the factor
    are those of its code (oooolga/JEDi, `mmd_polynomial.py` and `JEDi.py`).
    """
    return 100.0 * polynomial_mmd(real, generated, degree=2, coef0=0.0, unbiased=False)


def subset_size(count: int) -> int:
    """How many of `count` features each subset of `subset_mmd` takes, 1,000 where `count` allows.

    At most half of them: larger subsets would share so many features that their spread says little.
    """
    return max(2, min(SUBSET_SIZE, count // 2))


def subset_mmd(
    real: NDArray[np.floating],
    generated: NDArray[np.floating],
    *,
    size: int,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> Array:
    """`polynomial_mmd` of random subsets, whose mean and deviation are what papers report as KID.

    Args: real: (N, D); generated: (M, D); size: features of each side, drawn without repetition.
    Returns: (subsets,), equal for equal seeds.
    Raises: ValueError: if a side has fewer than `size` features, or `size` is below two.
    Source: Binkowski et al. 2018 (arXiv 1801.01401), Sec. 4.
    """
    if size > min(len(real), len(generated)):
        raise ValueError(f"subsets of {size}: there are {len(real)} and {len(generated)} features")
    rng = np.random.default_rng(seed)
    values = [
        polynomial_mmd(
            real[rng.choice(len(real), size, replace=False)],
            generated[rng.choice(len(generated), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return np.array(values)
