"""The size of a study: components against closed forms, and the power that is promised."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scoring.power import MOST_CASES, Components
from benchmarks.scoring.statistics import (
    Hits,
    minimum_detectable_difference,
    paired_difference,
)
from core.errors import UserError


def study(
    rng: np.random.Generator, seeds: int, cases: int, gain: float, *, of_seeds: float = 0.03
) -> tuple[Hits, Hits]:
    """Two arms whose difference varies by 0.06 over cases and 0.08 over both, as fractions."""
    parts = (
        gain
        + rng.normal(0, 0.06, cases)
        + rng.normal(0, of_seeds, (seeds, 1))
        + rng.normal(0, 0.08, (seeds, cases))
    )
    clips = np.full(cases, 20.0)
    control = Hits(np.full((seeds, cases), 8.0), clips)
    return Hits(control.hits + 20 * parts, clips), control


def test_the_components_are_found_again() -> None:
    pilot = Components.of(*study(np.random.default_rng(0), 60, 400, 0.05))
    assert pilot.cases**0.5 == pytest.approx(0.06, rel=0.1)
    assert pilot.seeds**0.5 == pytest.approx(0.03, rel=0.2)
    assert pilot.rest**0.5 == pytest.approx(0.08, rel=0.05)
    assert (pilot.num_cases, pilot.num_seeds, pilot.clips_per_case) == (400, 60, 20)
    assert pilot.difference == pytest.approx(0.05, abs=0.02)


def test_a_study_of_the_pilots_size_finds_what_the_pilot_finds() -> None:
    for seeds in (1, 4):
        arms = study(np.random.default_rng(1), seeds, 40, 0.0)
        pilot = Components.of(*arms)
        assert seeds == 1 or min(pilot.cases, pilot.seeds) > 0
        expected = minimum_detectable_difference(*arms)
        assert pilot.smallest_difference(seeds, 40) == pytest.approx(expected)


def test_the_promised_share_of_studies_finds_the_difference() -> None:
    rng = np.random.default_rng(2)
    pilot = Components(0.06**2, 0.03**2, 0.08**2, 0.0, 40, 3, 20.0, 0.0)
    gain = float(pilot.smallest_difference(4, 40))
    found = [paired_difference(*study(rng, 4, 40, gain)).p_value <= 0.05 for _ in range(300)]
    assert 0.7 <= np.mean(found) <= 0.86


def test_the_cases_needed_are_the_fewest_that_do() -> None:
    pilot = Components(0.06**2, 0.01**2, 0.08**2, 0.07**2, 40, 3, 20.0, 0.0)
    needed = pilot.cases_needed(0.02, 5)
    assert needed is not None
    at, below = pilot.smallest_difference(5, np.array([needed, needed - 1]))
    assert at <= 0.02 < below
    fewer = [
        pilot.cases_needed(0.03, 5),
        pilot.cases_needed(0.02, 9),
        pilot.cases_needed(0.02, 5, more_clips=2),
    ]
    assert all(count is not None and count < needed for count in fewer)
    several = pilot.cases_needed(0.02, 5, tests=2)
    assert several is not None and several > needed
    wild = Components(0.06**2, 0.2**2, 0.08**2, 0.0, 40, 3, 20.0, 0.0)
    assert wild.smallest_difference(5, MOST_CASES) > 0.2  # the seeds' part alone
    assert wild.cases_needed(0.02, 5) is None


def test_more_clips_help_no_more_than_if_they_were_independent() -> None:
    rng, clips = np.random.default_rng(3), np.full(50, 20.0)
    for spread in (0.0, 0.3):  # of a case in one training, beyond its clips' luck

        def arm(spread: float = spread) -> Hits:
            rate = np.clip(0.5 + rng.normal(0, spread, (8, 50)), 0, 1)
            return Hits(rng.binomial(20, rate).astype(float), clips)

        pilot = Components.of(arm(), arm())
        if spread:
            assert pilot.of_clips < 0.5 * pilot.rest
        else:
            assert pilot.of_clips == pytest.approx(2 * 0.25 / 20, rel=0.15)
        left = pilot.rest - pilot.of_clips * 0.75
        expected = Components(**{**vars(pilot), "rest": left}).smallest_difference(3, 50)
        assert pilot.smallest_difference(3, 50, more_clips=4) == pytest.approx(expected)


def test_a_pilot_of_one_seed_takes_the_seeds_share_as_told_and_one_case_is_refused() -> None:
    arms = study(np.random.default_rng(4), 1, 40, 0.0)
    calm, wild = Components.of(*arms, 0.0), Components.of(*arms, 0.05)
    assert (calm.seeds, wild.seeds, calm.of_clips) == (0.0, 0.05**2, 0.0)
    assert calm.smallest_difference(1, 40) == wild.smallest_difference(1, 40)
    assert calm.smallest_difference(3, 40) < wild.smallest_difference(3, 40)
    with pytest.raises(UserError, match="one case"):
        Components.of(*(Hits(arm.hits[:, :1], arm.clips[:1]) for arm in arms))
