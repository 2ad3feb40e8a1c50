"""Intervals cover, tests keep their level, closed forms hold."""

import itertools

import numpy as np
import pytest

from benchmarks.statistics import (
    Hits,
    bootstrap_interval,
    minimum_detectable_difference,
    paired_difference,
    seeds_label,
    sign_flip_p_value,
    spread,
)
from core.errors import UserError


def simulate(rng: np.random.Generator, cases: int, gain: float) -> tuple[Hits, Hits]:
    """Two arms on the same cases, whose difficulty and gain vary from case to case."""
    clips = rng.integers(5, 30, cases)
    ease = rng.normal(0.4, 0.15, cases)
    gains = rng.normal(gain, 0.05, cases)
    arms = [rng.binomial(clips, np.clip(p, 0, 1))[None] for p in (ease + gains, ease)]
    treated, control = (Hits(arm.astype(float), clips.astype(float)) for arm in arms)
    return treated, control


def test_spread_of_one_run_and_of_several() -> None:
    assert spread([0.5]) == (0.5, None)
    mean, std = spread([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2) and std == pytest.approx(0.1)
    assert (seeds_label(1), seeds_label(3)) == ("single run", "3 seeds")


def test_intervals_cover_a_known_difference_and_the_test_keeps_its_level() -> None:
    """300 repeats with 60 cases: three standard errors around 95% and 5%."""
    rng = np.random.default_rng(0)
    covered = false_alarms = 0
    for repeat in range(300):
        found = paired_difference(*simulate(rng, 60, 0.05), replicates=400, seed=repeat)
        covered += found.ci95[0] <= 0.05 <= found.ci95[1]
        null = paired_difference(*simulate(rng, 60, 0.0), replicates=10, seed=repeat)
        false_alarms += null.p_value <= 0.05
    assert 0.91 <= covered / 300 <= 0.985
    assert 0.012 <= false_alarms / 300 <= 0.088


def test_clustering_by_case_widens_the_interval() -> None:
    """Cases that are all right or all wrong: each counts once, however many clips it has."""
    hits = np.tile([0.0, 20.0], 20)[None]
    low, high = bootstrap_interval(Hits(hits, np.full(40, 20.0)))
    as_clips = 1.96 * (0.25 / 800) ** 0.5
    assert (high - low) / 2 == pytest.approx(1.96 * (0.25 / 40) ** 0.5, rel=0.15)
    assert (high - low) / 2 > 4 * as_clips


def test_spread_between_seeds_enters_the_interval() -> None:
    clips = np.full(50, 10.0)
    calm = Hits(np.full((4, 50), 5.0), clips)
    wild = Hits(np.full((4, 50), 5.0) + np.array([[-2], [-1], [1], [2]]), clips)
    assert bootstrap_interval(calm) == (0.5, 0.5)
    low, high = bootstrap_interval(wild)
    assert low < 0.45 and high > 0.55


def test_exact_p_value_equals_enumeration() -> None:
    values = np.array([3.0, -1.0, 2.0, 4.0, 1.0, 0.0])
    sums = [abs(np.dot(signs, values)) for signs in itertools.product((1, -1), repeat=6)]
    expected = np.mean([value >= abs(values.sum()) for value in sums])
    assert sign_flip_p_value(values) == pytest.approx(expected)
    assert sign_flip_p_value([5.0] * 10) == pytest.approx(2 / 2**10)
    assert sign_flip_p_value([0.0, 0.0]) == 1.0


def test_drawn_p_value_is_near_the_exact_one_and_never_zero() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0.6, 1.0, 14)
    drawn = np.concatenate([values, [1e-12]])  # one case more than is enumerated
    assert sign_flip_p_value(drawn) == pytest.approx(sign_flip_p_value(values), abs=0.02)
    assert sign_flip_p_value([1.0] * 60) == pytest.approx(1e-4)


def test_differences_have_a_direction_and_are_paired() -> None:
    """A gain of one clip in every case is certain, though cases differ by much more."""
    clips = np.full(30, 10.0)
    control = Hits(np.arange(30.0)[None] % 9, clips)
    treated = Hits(control.hits + 1, clips)
    gain = paired_difference(treated, control)
    assert gain.mean == pytest.approx(0.1) and gain.ci95 == pytest.approx((0.1, 0.1))
    loss = paired_difference(control, treated)
    assert loss.mean == pytest.approx(-0.1) and loss.p_value == gain.p_value < 0.001


def test_unequal_numbers_of_seeds_compare_means_and_other_cases_are_refused() -> None:
    clips = np.full(20, 10.0)
    one = Hits(np.full((1, 20), 4.0), clips)
    two = Hits(np.stack([np.full(20, 5.0), np.full(20, 7.0)]), clips)
    assert paired_difference(two, one).mean == pytest.approx(0.2)
    with pytest.raises(UserError, match="different cases"):
        paired_difference(one, Hits(np.full((1, 20), 4.0), np.full(20, 9.0)))


def test_results_repeat_and_depend_on_the_seed() -> None:
    arms = simulate(np.random.default_rng(1), 40, 0.05)
    assert paired_difference(*arms) == paired_difference(*arms)
    assert paired_difference(*arms).ci95 != paired_difference(*arms, seed=1).ci95


def test_minimum_detectable_difference_is_found_in_80_percent() -> None:
    """Closed form for equal cases, (1.96 + 0.84) s / sqrt(K); and the power it promises."""
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1.0, 50)
    expected = 2.802 * noise.std(ddof=1) / 50**0.5 / 10
    size = minimum_detectable_difference(noise, np.full(50, 10.0))
    assert size == pytest.approx(expected, rel=1e-3)
    true_gain = 2.802 / 50**0.5
    found = [sign_flip_p_value(rng.normal(true_gain, 1.0, 50), seed=i) <= 0.05 for i in range(200)]
    assert 0.70 <= np.mean(found) <= 0.90
