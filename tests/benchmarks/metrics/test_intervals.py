"""Intervals of metrics cover what they should, for clips that are drawn anew."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics.frechet import frechet_distance, gaussian_of, transport
from benchmarks.metrics.intervals import frechet_interval, mean_interval

CLIPS, FRAMES, WIDTH = 60, 3, 4


def draw(seed: int, shift: float) -> np.ndarray:
    """(N, T, D) features whose frames are alike within a clip."""
    rng = np.random.default_rng(seed)
    return (
        shift + rng.normal(size=(CLIPS, 1, WIDTH)) + 0.1 * rng.normal(size=(CLIPS, FRAMES, WIDTH))
    )


def distance(real: np.ndarray, generated: np.ndarray) -> float:
    sides = (gaussian_of([side.reshape(-1, WIDTH)]) for side in (real, generated))
    return frechet_distance(*sides)


def test_a_frechet_interval_is_as_wide_as_the_distance_varies() -> None:
    draws = [(draw(2 * n, 0.0), draw(2 * n + 1, 1.0)) for n in range(40)]
    values = [distance(*sides) for sides in draws]
    intervals = [
        frechet_interval(*sides, value) for sides, value in zip(draws, values, strict=True)
    ]
    reach = np.mean([(high - low) / 2 for low, high in intervals])
    assert reach == pytest.approx(1.96 * np.std(values), rel=0.3)
    # Frames of a clip are no draws of their own: as such, they would make it far too narrow.
    real, generated = (side.reshape(-1, WIDTH) for side in draws[0])
    low, high = frechet_interval(real, generated, values[0])
    assert (high - low) / 2 < 0.75 * reach


def test_fewer_clips_than_features_widen_it_as_much_as_fresh_draws_differ() -> None:
    mix = np.random.default_rng(7).normal(size=(64, 64)) / 8
    pairs = [
        tuple(np.random.default_rng([n, side]).normal(size=(24, 64)) @ mix for side in range(2))
        for n in range(40)
    ]
    values = [frechet_distance(*(gaussian_of([side]) for side in pair)) for pair in pairs]
    intervals = [frechet_interval(*pair, value) for pair, value in zip(pairs, values, strict=True)]
    reach = np.mean([(high - low) / 2 for low, high in intervals])
    assert reach == pytest.approx(1.96 * np.std(values), rel=0.35)


def test_the_map_carries_one_covariance_to_the_other() -> None:
    rng = np.random.default_rng(0)
    one, other = (a @ a.T for a in rng.normal(size=(2, 6, 9)))
    carried = transport(one, other)
    assert np.allclose(carried @ one @ carried, other) and np.allclose(carried, carried.T)
    assert np.allclose(transport(one, one), np.eye(6))


def test_a_frechet_interval_does_not_reach_below_zero() -> None:
    real, generated = draw(0, 0.0), draw(1, 0.0)
    low, high = frechet_interval(real, generated, distance(real, generated))
    assert low == 0.0 < high


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    scores = np.random.default_rng(0).normal(30.0, 5.0, 400)
    low, high = mean_interval(scores, float(scores.mean()))
    assert (low + high) / 2 == pytest.approx(scores.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * scores.std(ddof=1) / 20, rel=0.15)
