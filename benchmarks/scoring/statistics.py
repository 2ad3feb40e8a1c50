"""Spread over seeds, intervals clustered by case and seed, paired tests against Source.

Clips of one case (video) look alike, so cases, not clips, are the unit of resampling; seeds
(trainings) are a second one where there are several. Every function is a pure function of its
arguments (the random draws included). How well intervals cover: `benchmarks/audits/coverage.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core.errors import UserError

REPLICATES = 4000  # Source: our choice, the bounds move by less than 0.1 points between draws
EXACT_CASES = 14  # all 2^14 sign patterns are enumerated up to here
RANDOM_FLIPS = 9999
SMALLEST_P = 1 / (RANDOM_FLIPS + 1)
SIGNIFICANCE = 0.05
POWER = 0.8  # of a study: the share of such tests that find the difference
_CONSTANT = 1e-12  # a spread below this is rounding
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
        rates: Array = self.hits.sum(axis=1) / self.clips.sum()
        return rates


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


def bootstrap_interval(scores: Hits, *, seed: int = 0) -> tuple[float, float]:
    """95% interval of the rate, over cases and, where there are several, over seeds.

    With one seed the interval knows nothing of the spread between trainings. See `_interval`.
    """
    return _interval(scores.hits, scores.clips, seed, (0.0, 1.0))


def paired_difference(treated: Hits, control: Hits, *, seed: int = 0) -> Difference:
    """`treated` minus `control` on the same cases, seed by seed.

    With one seed the p value is that of a sign-flip permutation test over cases, and the question
    is whether these two trainings differ. With several it is that of a t test whose error holds
    the spread between trainings: flipping cases alone would take two lucky trainings for a gain.
    Raises: UserError: if the two were not scored on the same cases with as many seeds.
    """
    difference = difference_of(treated, control)
    values, clips = difference.hits, difference.clips
    single = len(values) == 1
    return Difference(
        mean=float(difference.rates.mean()),
        ci95=_interval(values, clips, seed, (-1.0, 1.0)),
        p_value=sign_flip_p_value(values[0], seed=seed) if single else _t_p_value(values, clips),
    )


def difference_of(treated: Hits, control: Hits) -> Hits:
    """The hits of one minus those of the other, by seed and case.

    Raises: UserError: as `paired_difference`.
    """
    if not np.array_equal(treated.clips, control.clips):
        raise UserError("the two arms were scored on different cases: evaluate both on one split")
    if len(treated.hits) != len(control.hits):
        counts = f"{len(treated.hits)} and {len(control.hits)}"
        raise UserError(f"the two arms have {counts} seeds: run both with the same --seeds")
    return Hits(treated.hits - control.hits, treated.clips)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number: below a level, the family-wise error rate is, too.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6(2).
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    stepwise = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepwise, 1.0)
    return [float(value) for value in corrected]


def sign_flip_p_value(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p value of a sum of (K,) differences against sign flips of each of them.

    Under no difference a case's difference is as likely to be negative. Exact up to `EXACT_CASES`
    cases that differ; beyond, random flips count the observed pattern too, so that p is never 0
    and the test is valid.
    Source: Phipson & Smyth 2010, "Permutation p-values should never be zero", SAGMB 9(1).
    """
    values = np.asarray(differences, dtype=np.float64)
    observed = abs(values.sum()) - 1e-9  # ties must survive rounding
    differing = values[values != 0.0]
    if len(differing) <= EXACT_CASES:
        patterns = np.arange(2 ** len(differing))[:, np.newaxis] >> np.arange(len(differing)) & 1
        return float((np.abs((1 - 2 * patterns) @ differing) >= observed).mean())
    flipped = np.abs(_signs(len(values), seed) @ values)
    return float((1 + (flipped >= observed).sum()) * SMALLEST_P)


def _t_p_value(values: Array, clips: Array) -> float:
    """Two-sided; not below `SMALLEST_P`, as the far tails hang on the errors being normal."""
    if len(clips) < 2:
        return 1.0
    rate = values.sum() / (len(values) * clips.sum())
    error, dof = _standard_error(values, clips)
    p_value = 2 * float(stats.t.sf(abs(rate) / max(error, _CONSTANT), dof))
    return max(p_value, SMALLEST_P)


def _interval(
    values: Array, clips: Array, seed: int, bounds: tuple[float, float]
) -> tuple[float, float]:
    """95% interval of the rate, inside `bounds`: the percentile bootstrap, made as wide as needed.

    Cases and seeds are resampled independently of each other, as the two crossed factors they are
    (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2)). Percentiles of few
    resampled units lie too close together, so their distances from the rate are multiplied by
    t * standard error / (1.96 * the replicates' standard deviation): the expansion of Hesterberg
    2015 ("What Teachers Should Know About the Bootstrap", The American Statistician 69(4)), which
    takes the t quantile and sqrt(n / (n - 1)) for one sample, with the error of both factors in
    place of the latter. One case says nothing: the interval is then all of `bounds`.
    """
    if len(clips) < 2:
        return bounds
    weights = _weights(len(clips), seed)  # (R, K)
    totals = ((weights @ values.T) * _weights(len(values), seed + 1)).mean(axis=1)
    replicates = totals / (weights @ clips)
    rate = values.sum() / (len(values) * clips.sum())
    deviation = replicates.std()
    if deviation < _CONSTANT:
        return float(rate), float(rate)
    error, dof = _standard_error(values, clips)
    wider = stats.t.ppf(0.975, dof) * error / (stats.norm.ppf(0.975) * deviation)
    low, high = rate + (np.percentile(replicates, [2.5, 97.5]) - rate) * wider
    return max(float(low), bounds[0]), min(float(high), bounds[1])


class MeanSquares(NamedTuple):
    """Of each seed's and case's part in a rate's error: see `standard_error`. Numbers, or arrays
    that broadcast. With one seed `seeds` and `rest` are 0."""

    cases: Any
    seeds: Any
    rest: Any


def mean_squares(values: Array, clips: Array) -> MeanSquares:
    """The analysis of variance of the rate's parts (the ratio of sums, linearised).

    Args: values: (S, K) for 2 cases at least; clips: (K,).
    """
    seeds, cases = values.shape
    rate = values.sum() / (seeds * clips.sum())
    parts = (values - rate * clips) * cases / clips.sum()  # (S, K), mean 0
    by_case, by_seed = parts.mean(axis=0), parts.mean(axis=1)
    of_cases = seeds * float((by_case**2).sum()) / (cases - 1)
    if seeds == 1:
        return MeanSquares(of_cases, 0.0, 0.0)
    of_seeds = cases * float((by_seed**2).sum()) / (seeds - 1)
    residual = parts - by_case - by_seed[:, np.newaxis]
    of_residual = float((residual**2).sum()) / ((seeds - 1) * (cases - 1))
    return MeanSquares(of_cases, of_seeds, of_residual)


def standard_error(squares: MeanSquares, seeds: int, cases: Any) -> tuple[Any, Any]:
    """Error of the rate over random cases and seeds, and its degrees of freedom.

    Seeds are what readers are in studies of several readers and cases. Seeds enter by their mean
    square, cases by what theirs has above the residual's.
    Source: Hillis 2007, "A comparison of denominator degrees of freedom methods for multiple
    observer ROC analysis", Statistics in Medicine 26(3); degrees of freedom of Satterthwaite 1946,
    which unlike Hillis's also count the cases as few. They are not fewer than the fewer of seeds
    and cases have: where the residual is nearly all there is, his formula goes to 0 and t with it
    to infinity.
    """
    if seeds == 1:
        return np.sqrt(squares.cases / cases), cases - 1
    above = np.maximum(squares.cases - squares.rest, 0.0)
    of_two = (squares.cases**2 + squares.rest**2 / (seeds - 1)) / (cases - 1)
    variance = squares.seeds + above
    fourth = squares.seeds**2 / (seeds - 1) + np.where(above > 0, of_two, 0.0)
    dof = np.where(fourth > 0, variance**2 / np.where(fourth > 0, fourth, 1.0), cases - 1)
    least = np.minimum(seeds, cases) - 1
    return np.sqrt(variance / (seeds * cases)), np.maximum(dof, least)


def _standard_error(values: Array, clips: Array) -> tuple[float, float]:
    seeds, cases = values.shape
    error, dof = standard_error(mean_squares(values, clips), seeds, cases)
    return float(error), float(dof)


def minimum_detectable_difference(treated: Hits, control: Hits) -> float:
    """The smallest true difference that 80% of such comparisons would find at the 5% level.

    Before any correction for several tests; infinite with one case.
    Source: the usual approximation, the t quantiles of 97.5% and 80% times the standard error.
    """
    difference = difference_of(treated, control)
    if len(difference.clips) < 2:
        return math.inf
    error, dof = _standard_error(difference.hits, difference.clips)
    return float(detectable(error, dof))


def detectable(error: Any, dof: Any, level: float = SIGNIFICANCE) -> Any:
    """The true difference that 80% of two-sided t tests with such an error find."""
    return (stats.t.ppf(1 - level / 2, dof) + stats.t.ppf(POWER, dof)) * error


# Draws depend on the number of units alone: rows of a table share them, and so do simulations.


@functools.lru_cache(maxsize=8)
def _weights(units: int, seed: int) -> Array:
    """(R, units) how often each unit is drawn. Resampling = multinomial weights, so that all
    replicates are two matrix products."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), REPLICATES).astype(np.float64)


@functools.lru_cache(maxsize=8)
def _signs(units: int, seed: int) -> Array:
    """(RANDOM_FLIPS, units) of -1 and 1."""
    generator = np.random.default_rng(seed)
    return generator.choice(np.array([-1.0, 1.0]), (RANDOM_FLIPS, units))
