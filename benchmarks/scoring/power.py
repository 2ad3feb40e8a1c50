"""How large a study has to be: what varies in a pilot's paired difference, and the smallest true
difference that a study of other numbers of cases, clips and seeds finds.

hits of two arms -> mean squares -> variance components -> mean squares that another study expects
-> its standard error -> the smallest difference
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.scoring.statistics import (
    SIGNIFICANCE,
    Hits,
    MeanSquares,
    detectable,
    difference_of,
    mean_squares,
    standard_error,
)
from core.errors import UserError

FEWEST_CASES, MOST_CASES = 2, 2000  # Source: our choice, OphNet2024 has 1,969 videos in all
# Source: our choice, on the safe side: of the 16 differences from Source in the reference tables of
# 5 seeds, 12 have less than 2.3 points, the largest 4.2.
ASSUMED_SEED_SD = 0.025


@dataclass(frozen=True)
class Components:
    """Variances of a paired difference of rates, as fractions squared.

    cases: of what a case adds to the difference in every training; seeds: of what a training adds
    in every case; rest: of what is a case's in one training alone; of_clips: the part of `rest`
    that would be halved by twice the clips a case, at best. num_cases, num_seeds, clips_per_case,
    difference: of the pilot.
    """

    cases: float
    seeds: float
    rest: float
    of_clips: float
    num_cases: int
    num_seeds: int
    clips_per_case: float
    difference: float

    @classmethod
    def of(cls, treated: Hits, control: Hits, seed_sd: float = ASSUMED_SEED_SD) -> Components:
        """By the expected mean squares of two crossed random factors; none is below 0.

        With one seed nothing tells `rest` from `cases`, so all of it is taken for the cases', which
        more seeds do not make smaller, and the seeds' standard deviation is `seed_sd`. A clip's
        luck cannot be more than that of independent clips.
        Raises: UserError: with one case; if the two were not scored on the same cases and seeds.
        """
        hits = difference_of(treated, control)
        seeds, cases = hits.hits.shape
        if cases < FEWEST_CASES:
            raise UserError("one case says nothing of how cases differ: give a pilot with more")
        found, total = mean_squares(hits.hits, hits.clips), hits.clips.sum()
        luck = sum((arm.hits * (1 - arm.hits / arm.clips)).sum() for arm in (treated, control))
        independent = luck / (seeds * total) / (total / cases)
        return cls(
            cases=max((found.cases - found.rest) / seeds, 0.0),
            seeds=max((found.seeds - found.rest) / cases, 0.0) if seeds > 1 else seed_sd**2,
            rest=found.rest,
            of_clips=min(found.rest, float(independent)),
            num_cases=cases,
            num_seeds=seeds,
            clips_per_case=float(total / cases),
            difference=float(hits.rates.mean()),
        )

    @property
    def vary(self) -> bool:
        """Whether cases differ at all: where they do not, there is nothing to plan from."""
        return self.cases + self.rest > 0

    def smallest_difference(
        self, seeds: int, cases: Any, *, more_clips: float = 1.0, tests: int = 1
    ) -> Any:
        """The true difference that 80% of such studies find, a fraction.

        With one seed it is the difference of two trainings, as in the tables.
        Args: cases: a number or an array, from 2; more_clips: clips a case, in those of the pilot;
        tests: how many the significance level is shared by.
        """
        rest = self.rest - self.of_clips * (1 - 1 / more_clips)
        expected = MeanSquares(
            cases=rest + seeds * self.cases, seeds=rest + cases * self.seeds, rest=rest
        )
        error, dof = standard_error(expected, seeds, cases)
        return detectable(error, dof, SIGNIFICANCE / tests)

    def cases_needed(
        self, difference: float, seeds: int, *, more_clips: float = 1.0, tests: int = 1
    ) -> int | None:
        """The fewest cases with which a study finds such a difference; None for over `MOST_CASES`.

        Every number is tried: more cases leave fewer degrees of freedom to the seeds' share.
        """
        numbers = np.arange(FEWEST_CASES, MOST_CASES + 1)
        found = self.smallest_difference(seeds, numbers, more_clips=more_clips, tests=tests)
        enough = numbers[found <= difference]
        return int(enough[0]) if len(enough) else None
