"""Spread over seeds, intervals clustered by case and seed, paired tests against Source.

Clips of one case (video) look alike, so cases, not clips, are the unit of resampling. Every
function is a pure function of its arguments (the random draws included).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UserError

REPLICATES = 4000  # Source: our choice, the bounds move by less than 0.1 points between draws
EXACT_CASES = 14  # all 2^14 sign patterns are enumerated up to here
RANDOM_FLIPS = 9999
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hits:
    """Right answers per seed and case.

    hits: (S, K) counts for S seeds and K cases; clips: (K,) clips of each case, the same in every
    seed. A constant number of hits below or above one is fine: top-k only has to be a count.
    """

    hits: Array
    clips: Array

    def __post_init__(self) -> None:
        if self.hits.ndim != 2 or self.clips.shape != self.hits.shape[1:] or not self.hits.size:
            raise ValueError(f"hits {self.hits.shape} and clips {self.clips.shape} do not fit")

    @property
    def rates(self) -> Array:
        """(S,) the fraction right of each seed."""
        return self.hits.sum(axis=1) / self.clips.sum()


@dataclass(frozen=True)
class Difference:
    """A paired difference of rates: its mean, its 95% interval, its two-sided p value."""

    mean: float
    ci95: tuple[float, float]
    p_value: float


def spread(rates: ArrayLike) -> tuple[float, float | None]:
    """Mean and sample standard deviation over seeds; None with one seed (a single run)."""
    values = np.asarray(rates, dtype=np.float64)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def seeds_label(num_seeds: int) -> str:
    """How the tables name the number of runs behind a number."""
    return "single run" if num_seeds == 1 else f"{num_seeds} seeds"


def bootstrap_interval(
    scores: Hits, *, replicates: int = REPLICATES, seed: int = 0
) -> tuple[float, float]:
    """95% percentile interval of the rate, resampling cases and, where there are several, seeds.

    Cases and seeds are resampled independently of each other, as the two crossed factors they are.
    With one seed the interval knows nothing of the spread between trainings.
    Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2).
    """
    return _percentiles(scores.hits, scores.clips, replicates, seed)


def paired_difference(
    treated: Hits, control: Hits, *, replicates: int = REPLICATES, seed: int = 0
) -> Difference:
    """`treated` minus `control` on the same cases, seed by seed.

    The p value is that of a sign-flip permutation test over cases: under no difference a case's
    summed difference is as likely to be negative. It is exact up to `EXACT_CASES` cases that
    differ and drawn beyond. With unequal numbers of seeds, arms are compared by their means.
    Raises: UserError: if the two were not scored on the same cases.
    """
    if not np.array_equal(treated.clips, control.clips):
        raise UserError("the two arms were scored on different cases: evaluate both on one split")
    if len(treated.hits) == len(control.hits):
        difference = treated.hits - control.hits
    else:
        difference = (treated.hits.mean(axis=0) - control.hits.mean(axis=0))[np.newaxis]
    return Difference(
        mean=float(difference.sum(axis=1).mean() / treated.clips.sum()),
        ci95=_percentiles(difference, treated.clips, replicates, seed),
        p_value=sign_flip_p_value(difference.sum(axis=0), seed=seed),
    )


def sign_flip_p_value(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p value of a sum of (K,) differences against sign flips of each of them.

    Random flips count the observed pattern too, so that p is never 0 and the test is valid.
    Source: Phipson & Smyth 2010, "Permutation p-values should never be zero", SAGMB 9(1).
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0.0]
    observed = abs(values.sum()) - 1e-9  # ties must survive rounding
    if len(values) <= EXACT_CASES:
        patterns = np.arange(2 ** len(values))[:, np.newaxis] >> np.arange(len(values)) & 1
        return float((np.abs((1 - 2 * patterns) @ values) >= observed).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (RANDOM_FLIPS, len(values))) * 2 - 1
    return float((1 + (np.abs(signs @ values) >= observed).sum()) / (RANDOM_FLIPS + 1))


def _percentiles(values: Array, clips: Array, replicates: int, seed: int) -> tuple[float, float]:
    # Resampling with replacement = multinomial weights, so all replicates are two matrix products.
    generator = np.random.default_rng(seed)
    seeds, cases = values.shape
    case_weights = generator.multinomial(cases, np.full(cases, 1 / cases), replicates)  # (R, K)
    seed_weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), replicates)  # (R, S)
    totals = ((case_weights @ values.T) * seed_weights).sum(axis=1) / seeds
    low, high = np.percentile(totals / (case_weights @ clips), [2.5, 97.5])
    return float(low), float(high)


def minimum_detectable_difference(per_case: ArrayLike, clips: ArrayLike) -> float:
    """The smallest true difference that 80% of such comparisons would find at the 5% level.

    Args: per_case: (K,) paired differences in hits; clips: (K,) clips of each case.
    Source: normal approximation with the variance of a ratio of sums, (1.960 + 0.842) errors.
    """
    values, sizes = np.asarray(per_case, np.float64), np.asarray(clips, np.float64)
    residual = values - values.sum() / sizes.sum() * sizes
    cases = len(values)
    error = math.sqrt(cases / max(cases - 1, 1) * float((residual**2).sum())) / sizes.sum()
    return (1.960 + 0.842) * float(error)
