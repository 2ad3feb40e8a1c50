"""The 95% interval holds the truth in 95% of simulated studies; the test cries wolf in 5%."""

import numpy as np
import pytest

from benchmarks.audits.coverage import CASES, SEEDS, Rates, markdown, measure, simulate


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("cases", [40, 80])
def test_intervals_cover_and_tests_keep_their_level(cases: int, seeds: int) -> None:
    """2,000 repeats: the standard error of both shares is half a point."""
    found = measure(cases, seeds, repeats=2000, seed=1)
    assert 92.5 <= found.coverage <= 97.5
    assert 3.5 <= found.false_positives <= 6.5


def test_simulated_arms_differ_by_the_gain_and_cluster_by_case() -> None:
    rng = np.random.default_rng(0)
    treated, control = simulate(rng, 4000, 3, 0.04)
    assert treated.rates.mean() - control.rates.mean() == pytest.approx(0.04, abs=0.03)
    assert 15 < treated.clips.mean() < 23 and treated.clips.std() > 10
    rates = control.hits.mean(axis=0) / control.clips
    independent = (control.clips > 20) & (control.clips < 30)
    assert rates[independent].std() > 1.3 * (0.25 / 25 / 3) ** 0.5
    means = [simulate(rng, 2000, 2, 0.0)[0].rates for _ in range(60)]
    assert np.std(np.diff(means)) == pytest.approx(0.02 * 2**0.5, rel=0.35)  # trainings differ


def test_the_table_has_a_row_for_each_number_of_cases() -> None:
    found = {(cases, seeds): Rates(95.0, seeds) for cases in CASES for seeds in SEEDS}
    lines = markdown(found).splitlines()
    assert len(lines) == 2 + len(CASES)
    assert [cell.strip() for cell in lines[2].split("|")][1:8] == [
        "5", "95.0", "95.0", "95.0", "1.0", "3.0", "5.0",
    ]  # fmt: skip
