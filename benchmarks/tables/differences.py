"""Differences between Table 2's arms: cells -> hits of both -> tests, corrected by task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from augment.arm import SOURCE, Arm
from benchmarks.datasets.taxonomy import TASKS, Task
from benchmarks.scoring.evaluation import Cell
from benchmarks.scoring.scores import Scored, SplitScores, percent
from benchmarks.scoring.statistics import (
    SIGNIFICANCE,
    Hits,
    holm,
    minimum_detectable_difference,
    paired_difference,
)
from benchmarks.tables.schema import Delta
from classifiers.recipe import Schedule
from core.errors import UserError


class Group(NamedTuple):
    """What cells that differ in their seed alone have in common."""

    task: Task
    classifier: str
    schedule: Schedule
    arm: Arm

    def __str__(self) -> str:
        return f"{self.task} / {self.classifier} / {self.schedule} / {self.arm.label}"


Groups = Mapping[Group, list[Cell]]
Place = tuple[Group, Scored]  # a row of Table 2
Test = tuple[Group, Scored, Arm]  # the arm is the control


def differences(groups: Groups, tests: Sequence[Test]) -> dict[Test, Delta]:
    """Top-1 of each test's arm minus that of its control, for those that have both.

    p values are corrected over those of a task.
    Raises: UserError: if two arms were scored on different clips or trained with other seeds.
    """
    found = {test: paired_difference(*pair) for test in tests if (pair := pair_of(groups, *test))}
    corrected: dict[Test, float] = {}
    for task in TASKS:
        family = [test for test in found if test[0].task == task]
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


def differences_from_source(groups: Groups, places: Sequence[Place]) -> dict[Place, Delta]:
    """The difference from Source of every row that has one; raises as `differences` does."""
    found = differences(groups, [(*place, SOURCE) for place in places])
    return {(group, split): delta for (group, split, _), delta in found.items()}


def pair_of(groups: Groups, group: Group, split: Scored, control: Arm) -> tuple[Hits, Hits] | None:
    """The hits of a group and of the control in its place; None where one of them has no cells.

    Raises: UserError: if the two were scored on different clips or trained with other seeds.
    """
    cells = groups.get(group._replace(arm=control))
    if cells is None and control == SOURCE:
        # Source has the same steps under both schedules, so one training of it serves both.
        cells = groups.get(group._replace(arm=SOURCE, schedule="matched_epochs"))
    if group not in groups or group.arm == control or not cells:
        return None
    if _cases(groups[group][0], split) != _cases(cells[0], split):
        raise UserError(f"{group}, {split}: scored on other clips than {control.label}: run again")
    seeds, of_control = ([cell.seed for cell in members] for members in (groups[group], cells))
    if seeds != of_control:
        raise UserError(
            f"{group}: seeds {seeds}, but {control.label} has {of_control}: run both alike"
        )
    return hits_of(groups[group], split, "top1"), hits_of(cells, split, "top1")


def hits_of(cells: Sequence[Cell], split: Scored, name: str) -> Hits:
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


def _cases(cell: Cell, split: Scored) -> tuple[tuple[str, int], ...]:
    return tuple((case.video_id, case.clips) for case in cell.splits[split].cases)


def notes_on_tests(groups: Groups, tested: Sequence[Test], what: str) -> list[str]:
    """What the tests are, how many of them are corrected for together, what they can find.

    Args: what: the differences of the table, in words.
    """
    if not tested:
        return []
    tests = {
        "t test over cases and seeds"
        if len(groups[group]) > 1
        else "sign-flip permutation test over cases"
        for group, _, _ in tested
    }
    tasks = [group.task for group, _, _ in tested]
    families = " and for all ".join(f"{tasks.count(t)} {t}" for t in dict.fromkeys(tasks))
    notes = [
        f"p: {', '.join(sorted(tests))}, two-sided, not corrected. p Holm: corrected for all"
        f" {families} {what} in this table. *: p Holm below {SIGNIFICANCE}."
    ]
    on_test = [test for test in tested if test[1] == "test"]
    pairs = [pair for test in on_test if (pair := pair_of(groups, *test))]
    smallest = [minimum_detectable_difference(*pair) for pair in pairs]
    if math.isfinite(max(smallest)):
        low, high = percent(min(smallest)), percent(max(smallest))
        notes.append(
            f"Smallest top-1 difference found in 80% of such tests: {low:.2f} to {high:.2f} points"
            " (one test, not corrected)."
        )
    return notes


def notes_on_ceilings(differences: Mapping[Place, Delta]) -> list[str]:
    """What share of a ceiling's gain on test the other arms reach, in a sentence for each ceiling.

    A ceiling is an arm with real clips where the others have synthetic ones. The share is an arm's
    gain, and the ends of its interval, over the ceiling's gain as measured: the ceiling's own
    uncertainty is not in it. A ceiling whose interval holds 0 has no share to speak of, and clips
    without the real ones have none.
    """
    notes = []
    for (group, split), gain in differences.items():
        if split != "test" or not group.arm.ceiling:
            continue
        trained = f"{group.task}, {group.classifier}, {group.schedule.replace('_', ' ')}"
        measured = f"{group.arm.name} on test ({trained}): {gain.top1:+.2f} points"
        if gain.ci95[0] <= 0:
            notes.append(f"Gain of {measured}, not told from none: no ceiling.")
            continue
        shares = [
            f"{other.arm.name} {_share(found, gain)}"
            for (other, where), found in differences.items()
            if (other._replace(arm=group.arm), where) == (group, split)
            and other.arm.with_real
            and not other.arm.ceiling
        ]
        if shares:
            notes.append(f"Share of the gain of {measured}: {', '.join(shares)}.")
    return notes


def _share(gain: Delta, ceiling: Delta) -> str:
    """A gain and its interval in percent of the ceiling's: "12% [-5, 30]"."""
    value, low, high = (100 * points / ceiling.top1 for points in (gain.top1, *gain.ci95))
    return f"{value:.0f}% [{low:.0f}, {high:.0f}]"
