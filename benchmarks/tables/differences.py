"""Differences between Table 2's arms: cells -> hits of both -> tests, corrected by task."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from benchmarks.datasets.taxonomy import TASKS, Task
from benchmarks.scoring.evaluation import SOURCE, Cell, Schedule, arm_name, joins_real
from benchmarks.scoring.scores import SplitScores, percent
from benchmarks.scoring.statistics import (
    SIGNIFICANCE,
    Hits,
    holm,
    minimum_detectable_difference,
    paired_difference,
)
from benchmarks.tables.schema import Delta
from core.clip import Split
from core.errors import UserError

Arm = tuple[Task, str, Schedule, str]  # task, classifier, schedule, training data
Place = tuple[Arm, Split]  # a row of Table 2
Test = tuple[Arm, Split, str]  # the str: training data of the control


def differences(arms: Mapping[Arm, list[Cell]], tests: Sequence[Test]) -> dict[Test, Delta]:
    """Top-1 of each test's arm minus that of its control, for those that have both.

    p values are corrected over those of a task.
    Raises: UserError: if two arms were scored on different clips or trained with other seeds.
    """
    found = {test: paired_difference(*pair) for test in tests if (pair := _pair(arms, *test))}
    corrected: dict[Test, float] = {}
    for task in TASKS:
        family = [test for test in found if test[0][0] == task]
        p_values = holm([found[test].p_value for test in family])
        corrected |= dict(zip(family, p_values, strict=True))
    return {
        test: Delta(
            top1=percent(difference.mean),
            ci95=(percent(difference.ci95[0]), percent(difference.ci95[1])),
            p_value=round(difference.p_value, 4),
            p_holm=round(corrected[test], 4),
        )
        for test, difference in found.items()
    }


def differences_from_source(
    arms: Mapping[Arm, list[Cell]], places: Sequence[Place]
) -> dict[Place, Delta]:
    """The difference from Source of every row that has one; raises as `differences` does."""
    found = differences(arms, [(*place, SOURCE) for place in places])
    return {(arm, split): delta for (arm, split, _), delta in found.items()}


def _pair(
    arms: Mapping[Arm, list[Cell]], arm: Arm, split: Split, control: str
) -> tuple[Hits, Hits] | None:
    task, classifier, schedule, training_data = arm
    cells = arms.get((task, classifier, schedule, control))
    if cells is None and control == SOURCE:
        # Source has the same steps under both schedules, so one training of it serves both.
        cells = arms.get((task, classifier, "matched_epochs", SOURCE))
    if arm not in arms or training_data == control or not cells:
        return None
    name = " / ".join(arm)
    if _cases(arms[arm][0], split) != _cases(cells[0], split):
        raise UserError(f"{name}, {split}: scored on other clips than {control}: run again")
    seeds, of_control = ([cell.seed for cell in members] for members in (arms[arm], cells))
    if seeds != of_control:
        raise UserError(f"{name}: seeds {seeds}, but {control} has {of_control}: run both alike")
    return hits_of(arms[arm], split, "top1"), hits_of(cells, split, "top1")


def hits_of(cells: Sequence[Cell], split: Split, name: str) -> Hits:
    """The hits (`name` is "top1" or "top5") of one arm's seeds on one split.

    Raises: UserError: if the seeds were scored on different clips.
    """
    if len({_cases(cell, split) for cell in cells}) != 1:
        raise UserError(f"{cells[0].path.parent}: seeds were scored on different clips: run again")
    scores: list[SplitScores] = [cell.splits[split] for cell in cells]
    return Hits(
        hits=np.array([[getattr(c, f"{name}_hits") for c in s.cases] for s in scores], float),
        clips=np.array([case.clips for case in scores[0].cases], float),
    )


def _cases(cell: Cell, split: Split) -> tuple[tuple[str, int], ...]:
    return tuple((case.video_id, case.clips) for case in cell.splits[split].cases)


def notes_on_tests(arms: Mapping[Arm, list[Cell]], tested: Sequence[Test], what: str) -> list[str]:
    """What the tests are, how many of them are corrected for together, what they can find.

    Args: what: the differences of the table, in words.
    """
    if not tested:
        return []
    tests = {
        "t test over cases and seeds"
        if len(arms[arm]) > 1
        else "sign-flip permutation test over cases"
        for arm, _, _ in tested
    }
    tasks = [arm[0] for arm, _, _ in tested]
    families = " and for all ".join(f"{tasks.count(t)} {t}" for t in dict.fromkeys(tasks))
    notes = [
        f"p: {', '.join(sorted(tests))}, two-sided, not corrected. p Holm: corrected for all"
        f" {families} {what} in this table. *: p Holm below {SIGNIFICANCE}."
    ]
    on_test = [test for test in tested if test[1] == "test"]
    pairs = [pair for test in on_test if (pair := _pair(arms, *test))]
    smallest = [minimum_detectable_difference(*pair) for pair in pairs]
    if math.isfinite(max(smallest)):
        low, high = percent(min(smallest)), percent(max(smallest))
        notes.append(
            f"Smallest top-1 difference found in 80% of such tests: {low:.2f} to {high:.2f} points"
            " (one test, not corrected)."
        )
    return notes


def notes_on_ceilings(differences: Mapping[Place, Delta], ceilings: Collection[str]) -> list[str]:
    """What share of a ceiling's gain on test the other arms reach, in a sentence for each ceiling.

    A ceiling is training data with real clips where the others have synthetic ones. The share is
    an arm's gain, and the ends of its interval, over the ceiling's gain as measured: the ceiling's
    own uncertainty is not in it. A ceiling whose interval holds 0 has no share to speak of, and
    clips without the real ones have none.
    """
    notes = []
    for (arm, split), gain in differences.items():
        task, classifier, schedule, ceiling = arm
        if split != "test" or ceiling not in ceilings:
            continue
        trained = f"{task}, {classifier}, {schedule.replace('_', ' ')}"
        measured = f"{arm_name(ceiling)} on test ({trained}): {gain.top1:+.2f} points"
        if gain.ci95[0] <= 0:
            notes.append(f"Gain of {measured}, not told from none: no ceiling.")
            continue
        shares = [
            f"{arm_name(other[3])} {_share(found, gain)}"
            for (other, where), found in differences.items()
            if (other[:3], where) == (arm[:3], split)
            and other[3] not in ceilings
            and joins_real(other[3])
        ]
        if shares:
            notes.append(f"Share of the gain of {measured}: {', '.join(shares)}.")
    return notes


def _share(gain: Delta, ceiling: Delta) -> str:
    """A gain and its interval in percent of the ceiling's: "12% [-5, 30]"."""
    value, low, high = (100 * points / ceiling.top1 for points in (gain.top1, *gain.ci95))
    return f"{value:.0f}% [{low:.0f}, {high:.0f}]"
