"""Do the intervals of Table 2 cover, and do its tests keep their level? By simulation.

    python -m benchmarks.audits.coverage

prints the table of `docs/statistics.md`: for several numbers of cases and seeds, how often the 95%
interval of a paired difference holds the true one, and how often p <= 0.05 where there is none.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.scoring.statistics import SIGNIFICANCE, Hits, paired_difference
from benchmarks.tables.render import plain_table
from core.progress import Progress

CASES = (5, 10, 20, 40, 80)
SEEDS = (1, 3, 5)
REPEATS = 2000
GAIN = 0.04  # Source: the paper's Table 2, Source + Ophora gains about 4 points of top-1
# What varies, in fractions right; standard deviations are those of uniform draws of this half-width
# but for the trainings, which are normal. Together they stay inside 0 to 1.
BASE, EASE, CASE_GAIN, LUCK = 0.45, 0.15, 0.10, 0.07
TRAINING_SD = 0.02


@dataclass(frozen=True)
class Rates:
    """Percent of the repeats: interval holds the true gain; p <= 0.05 without a gain."""

    coverage: float
    false_positives: float


def simulate(rng: np.random.Generator, cases: int, seeds: int, gain: float) -> tuple[Hits, Hits]:
    """Hits of two arms, of which the first is right `gain` more often.

    Cases differ in clips (1 to about 60, mean 19 as in OphNet2024's test split), in how easy they
    are and in what they gain; trainings differ altogether and case by case. With one seed the
    trainings are what is compared, so what they differ by altogether is part of the gain.
    """
    clips = rng.negative_binomial(2, 0.1, cases) + 1
    ease = BASE + rng.uniform(-EASE, EASE, cases)
    gains = gain + rng.uniform(-CASE_GAIN, CASE_GAIN, cases)

    def hits(chance: np.ndarray) -> Hits:
        training = rng.normal(0, TRAINING_SD, (seeds, 1)) if seeds > 1 else 0.0
        luck = rng.uniform(-LUCK, LUCK, (seeds, cases))
        right = rng.binomial(np.broadcast_to(clips, (seeds, cases)), chance + training + luck)
        return Hits(right.astype(np.float64), clips.astype(np.float64))

    return hits(ease + gains), hits(ease)


def measure(cases: int, seeds: int, *, repeats: int = REPEATS, seed: int = 0) -> Rates:
    """Coverage and false positives over `repeats` simulated comparisons of each kind."""
    rng = np.random.default_rng([seed, cases, seeds])
    covered = alarms = 0
    for _ in range(repeats):
        low, high = paired_difference(*simulate(rng, cases, seeds, GAIN)).ci95
        covered += low <= GAIN <= high
        alarms += paired_difference(*simulate(rng, cases, seeds, 0.0)).p_value <= SIGNIFICANCE
    return Rates(100 * covered / repeats, 100 * alarms / repeats)


def markdown(found: dict[tuple[int, int], Rates]) -> str:
    """A row for each number of cases: coverage and false positives by number of seeds."""
    header = ["Cases"]
    header += [f"coverage, {seeds} seed{'s' * (seeds > 1)}" for seeds in SEEDS]
    header += [f"p <= {SIGNIFICANCE}, {seeds} seed{'s' * (seeds > 1)}" for seeds in SEEDS]
    rows = [
        [str(cases)]
        + [f"{found[cases, seeds].coverage:.1f}" for seeds in SEEDS]
        + [f"{found[cases, seeds].false_positives:.1f}" for seeds in SEEDS]
        for cases in CASES
    ]
    return plain_table(rows, header)


def main() -> int:
    """Measure every combination and print the table."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--repeats", type=int, default=REPEATS)
    options = command.parse_args()
    found = {}
    with Progress("coverage", len(CASES) * len(SEEDS), "settings") as progress:
        for cases in CASES:
            for seeds in SEEDS:
                found[cases, seeds] = measure(cases, seeds, repeats=options.repeats)
                progress.advance()
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
