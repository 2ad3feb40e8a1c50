"""Closed forms hold; that intervals cover and tests keep their level: `audits/test_coverage.py`."""

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks.audits.coverage import simulate
from benchmarks.scoring.statistics import (
    Hits,
    bootstrap_interval,
    holm,
    minimum_detectable_difference,
    paired_difference,
    seeds_label,
    sign_flip_p_value,
    spread,
)
from core.errors import UserError


def test_spread_of_one_run_and_of_several() -> None:
    assert spread([0.5]) == (0.5, None)
    mean, std = spread([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2) and std == pytest.approx(0.1)
    assert (seeds_label(1), seeds_label(3)) == ("single run", "3 seeds")


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


def test_other_cases_and_other_numbers_of_seeds_are_refused() -> None:
    one = Hits(np.full((1, 20), 4.0), np.full(20, 10.0))
    with pytest.raises(UserError, match="different cases"):
        paired_difference(one, Hits(np.full((1, 20), 4.0), np.full(20, 9.0)))
    with pytest.raises(UserError, match="2 and 1 seeds"):
        paired_difference(Hits(np.full((2, 20), 5.0), np.full(20, 10.0)), one)


def test_the_interval_of_equal_cases_is_student_s() -> None:
    """One seed, equal cases, many of them: the bootstrap's shape is normal, its width Student's."""
    hits = np.random.default_rng(1).binomial(20, 0.4, 200).astype(float)
    low, high = bootstrap_interval(Hits(hits[None], np.full(200, 20.0)))
    theirs = stats.ttest_1samp(hits / 20, 0).confidence_interval()
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=5e-4)


def test_few_cases_widen_the_interval_and_one_says_nothing() -> None:
    hits, clips = np.array([[4.0, 8.0, 6.0, 1.0]]), np.full(4, 10.0)
    low, high = bootstrap_interval(Hits(hits, clips))
    theirs = stats.ttest_1samp(hits[0] / 10, 0).confidence_interval()
    assert high - low == pytest.approx(theirs.high - theirs.low, rel=0.1)
    lone = Hits(np.array([[9.0], [7.0]]), np.array([10.0]))
    assert bootstrap_interval(lone) == (0.0, 1.0)
    found = paired_difference(lone, Hits(np.array([[1.0], [0.0]]), np.array([10.0])))
    assert (found.ci95, found.p_value) == ((-1.0, 1.0), 1.0)
    assert minimum_detectable_difference(lone, lone) == np.inf


def test_bounds_hold_a_rate_near_an_end() -> None:
    hits = np.zeros((1, 6))
    hits[0, 0] = 3.0
    low, high = bootstrap_interval(Hits(hits, np.full(6, 10.0)))
    assert low == 0.0 and 0.05 < high < 0.3


def test_two_seeds_that_agree_are_no_proof_where_seeds_differ_much() -> None:
    """All cases gain in both trainings, but one gains five times as much as the other."""
    clips = np.full(30, 10.0)
    control = Hits(np.tile(np.arange(30.0) % 4, (2, 1)), clips)
    treated = Hits(control.hits + np.array([[1.0], [5.0]]), clips)
    found = paired_difference(treated, control)
    # Seeds of 0.1 and 0.5: Student's t with one degree of freedom.
    assert found.p_value == pytest.approx(stats.ttest_1samp([0.1, 0.5], 0).pvalue)
    assert found.ci95[0] < 0 < found.ci95[1]
    assert (
        paired_difference(Hits(treated.hits[:1], clips), Hits(control.hits[:1], clips)).p_value
        < 0.001
    )


def test_the_error_of_several_seeds_is_that_of_the_analysis_of_variance() -> None:
    """Equal cases: variance components by their expected mean squares, written out."""
    rng = np.random.default_rng(8)
    seeds, cases = 4, 25
    values = (
        rng.normal(0, 2, (seeds, 1)) + rng.normal(0, 3, cases) + rng.normal(0, 1, (seeds, cases))
    )
    grand, rows, columns = values.mean(), values.mean(1), values.mean(0)
    ms_seed = cases * ((rows - grand) ** 2).sum() / 3
    ms_case = seeds * ((columns - grand) ** 2).sum() / 24
    ms_rest = ((values - rows[:, None] - columns + grand) ** 2).sum() / 72
    rest, seed_part, case_part = ms_rest, (ms_seed - ms_rest) / cases, (ms_case - ms_rest) / seeds
    variance = seed_part / seeds + case_part / cases + rest / (seeds * cases)
    total = ms_seed + ms_case - ms_rest
    dof = total**2 / (ms_seed**2 / 3 + ms_case**2 / 24 + ms_rest**2 / 72)
    none = Hits(np.zeros((seeds, cases)), np.ones(cases))
    found = paired_difference(Hits(values, np.ones(cases)), none)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(grand) / variance**0.5, dof))


def test_noise_has_no_fewer_degrees_of_freedom_than_its_seeds() -> None:
    """Differences without any effect of cases or seeds: Satterthwaite's formula can go to 0 there,
    and one in forty of such intervals used to be wider than 100 points."""
    rng = np.random.default_rng(3)
    clips = np.full(10, 20.0)
    none = Hits(np.zeros((3, 10)), clips)
    for _ in range(200):
        values = rng.integers(-3, 4, (3, 10)).astype(float)
        low, high = paired_difference(Hits(values, clips), none).ci95
        # Two degrees of freedom on an error that a flat analysis would put at 2 / 20 / 30**0.5.
        assert high - low < 5 * stats.t.ppf(0.975, 2) * 2 / 20 / 30**0.5


def test_holm_is_the_closed_test_with_bonferroni() -> None:
    """A hypothesis falls if every set of hypotheses that holds it falls; p by brute force."""
    rng = np.random.default_rng(7)
    for count in range(1, 7):
        values = np.round(rng.beta(0.3, 3, count), 3 if count % 2 else 1)  # some equal
        sets = [s for n in range(1, count + 1) for s in itertools.combinations(range(count), n)]
        closed = [
            max(min(1.0, len(s) * min(values[list(s)])) for s in sets if i in s)
            for i in range(count)
        ]
        assert holm(values.tolist()) == pytest.approx(closed)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # by hand
    assert holm([]) == []


def test_results_repeat_and_depend_on_the_seed() -> None:
    arms = simulate(np.random.default_rng(1), 40, 3, 0.05)
    assert paired_difference(*arms) == paired_difference(*arms)
    assert paired_difference(*arms).ci95 != paired_difference(*arms, seed=1).ci95


def test_minimum_detectable_difference_is_found_in_80_percent() -> None:
    """Closed form for equal cases, (t of 97.5% + t of 80%) s / sqrt(K); the power it promises."""
    rng = np.random.default_rng(2)
    noise, clips = rng.normal(0, 1.0, 50), np.full(50, 10.0)
    quantiles = stats.t.ppf(0.975, 49) + stats.t.ppf(0.8, 49)
    found = minimum_detectable_difference(Hits(noise[None], clips), Hits(np.zeros((1, 50)), clips))
    assert found == pytest.approx(quantiles * noise.std(ddof=1) / 50**0.5 / 10)
    gain = quantiles / 50**0.5
    power = [sign_flip_p_value(rng.normal(gain, 1.0, 50), seed=0) <= 0.05 for _ in range(1000)]
    assert 0.77 <= np.mean(power) <= 0.83
