"""How many cases, clips and seeds a test needs to see a difference, from a pilot run's cells.

    python -m benchmarks.commands.plan_study RUN_DIR --points 2

cells -> hits of each arm and of Source on test -> what varies -> tables and curves, which are
printed and written to RUN_DIR/plan_study
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augment.arm import SOURCE
from benchmarks.report.drawing import INK, PALETTE, draw
from benchmarks.report.figures import WIDTH, Chart, file_name, named, write_charts
from benchmarks.scoring.power import ASSUMED_SEED_SD, FEWEST_CASES, MOST_CASES, Components
from benchmarks.scoring.record import as_written, read_cells, read_record
from benchmarks.scoring.scores import percent
from benchmarks.scoring.statistics import POWER, SIGNIFICANCE, seeds_label
from benchmarks.tables.build import groups_of
from benchmarks.tables.differences import Group, pair_of
from benchmarks.tables.render import MISSING, SCHEDULES, plain_table
from core.errors import UserError, exit_code
from core.files import write_text
from core.progress import say

FOLDER_NAME = "plan_study"  # in the pilot's folder, with a page of that name
SHOWN_CASES = (20, 50, 100, 200)
MORE_CLIPS = (1, 2)  # clips a case, in those of the pilot
CASE_TICKS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)
POINT_TICKS = (0.5, 1, 2, 5, 10, 20, 50)
NAMES = ["Task", "Matched", "Classifier", "Training data"]
Pilot = Mapping[Group, Components]


@dataclass(frozen=True)
class Aim:
    """What the study shall see. points: of top-1; most_seeds: that one would train; tests: that
    the significance level is shared by."""

    points: float = 2.0
    most_seeds: int = 10
    tests: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.points <= 100:
            raise UserError(f"--points {self.points:g}: give a difference above 0, at most 100")
        for option, value in (("--seeds", self.most_seeds), ("--tests", self.tests)):
            if value < 1:
                raise UserError(f"{option} {value}: give 1 or more")

    @property
    def seeds(self) -> range:
        """The numbers of seeds that are shown."""
        return range(1, self.most_seeds + 1)


def read_pilot(folder: Path, seed_sd: float) -> dict[Group, Components]:
    """What varies in each arm's difference from Source on test, in the order of the cells.

    Args: seed_sd: of a training's part in a difference, a fraction, for a pilot with one seed.
    Raises: UserError: if the folder holds no run, or one from which nothing can be planned.
    """
    record = read_record(folder)
    if not record.cells:
        raise UserError(f"{folder}: no cell of Table 2, so nothing to plan from")
    with as_written(folder):
        groups = groups_of(read_cells(record, folder))
        pairs = {group: pair_of(groups, group, "test", SOURCE) for group in groups}
        try:
            found = {
                group: Components.of(*pair, seed_sd)
                for group, pair in pairs.items()
                if pair is not None
            }
        except UserError as error:
            raise UserError(f"{folder}: {error}") from None
    if not found:
        raise UserError(
            f"{folder}: no arm beside Source: give a run of --sources source and others"
        )
    return found


def names_of(group: Group) -> list[str]:
    """Under `NAMES`."""
    return [group.task, SCHEDULES[group.schedule], group.classifier, group.arm.label]


def spread_table(pilot: Pilot) -> str:
    """What the pilot is and what varies in it, in points."""
    header = [*NAMES, "Cases", "Clips a case", "Seeds", "Δ top-1", "SD of cases", "of seeds"]
    rows = [
        [*names_of(group), found.num_cases, f"{found.clips_per_case:.1f}", found.num_seeds]
        + [f"{percent(found.difference):+.2f}"]
        + [f"{percent(variance**0.5):.2f}" for variance in (found.cases, found.seeds)]
        + [MISSING if found.num_seeds == 1 else f"{percent(found.rest**0.5):.2f}"]
        for group, found in pilot.items()
    ]
    return plain_table(rows, [*header, "of both together"])


def smallest_table(pilot: Pilot, aim: Aim) -> str:
    """The smallest difference by numbers of cases, in points, a column for each number of seeds."""
    rows = [
        [*names_of(group), cases]
        + [
            f"{percent(found.smallest_difference(seeds, cases, tests=aim.tests)):.2f}"
            for seeds in aim.seeds
        ]
        for group, found in pilot.items()
        if found.vary
        for cases in SHOWN_CASES
    ]
    return plain_table(rows, [*NAMES, "Cases", *map(str, aim.seeds)])


def needed_table(pilot: Pilot, aim: Aim) -> str:
    """The cases needed for the aim by clips a case, a column for each number of seeds."""
    rows = []
    for group, found in pilot.items():
        for more in MORE_CLIPS if found.of_clips else MORE_CLIPS[:1]:
            needed = (
                found.cases_needed(aim.points / 100, seeds, more_clips=more, tests=aim.tests)
                for seeds in aim.seeds
            )
            shown = [f">{MOST_CASES}" if cases is None else str(cases) for cases in needed]
            clips = f"{more * found.clips_per_case:.0f}"
            rows.append(
                [*names_of(group), clips, *(shown if found.vary else [MISSING] * len(shown))]
            )
    return plain_table(rows, [*NAMES, "Clips a case", *map(str, aim.seeds)])


def curve_chart(group: Group, found: Components, aim: Aim) -> Chart:
    """The smallest difference by number of cases, a curve for some numbers of seeds."""
    cases = np.unique(np.geomspace(FEWEST_CASES, MOST_CASES, 120).astype(int))
    cases = cases[
        cases >= CASE_TICKS[0]
    ]  # below, the few degrees of freedom leave no scale to the rest
    drawn = [seeds for seeds in (1, 2, 3, 5, 10, 20, 50) if seeds in aim.seeds]

    def paint(axes: Any) -> None:
        axes.axhline(aim.points, color=INK, linewidth=0.8, linestyle="--")
        for number, seeds in enumerate(drawn):
            points = 100 * found.smallest_difference(seeds, cases, tests=aim.tests)
            colour = PALETTE[number % len(PALETTE)]
            axes.plot(cases, points, color=colour, linewidth=1.2, label=seeds_label(seeds))
        axes.set(xscale="log", yscale="log", xlabel="cases", ylabel="smallest difference (points)")
        axes.set_xticks(CASE_TICKS, map(str, CASE_TICKS))
        axes.set_yticks(POINT_TICKS, map(str, POINT_TICKS))
        axes.minorticks_off()
        axes.legend(frameon=False)

    key = (group.task, group.classifier, group.schedule)
    title = f"Smallest difference found: {named(key)}, {group.arm.name}"
    reading = (
        f"True difference from Source that {POWER:.0%} of tests find, {found.clips_per_case:.0f} "
        f"clips a case; dashed: {aim.points:g} points."
    )
    svg = draw(title, (WIDTH, 3.4), paint)
    return Chart(f"power_{file_name((*key, group.arm.id))}", title, svg, reading)


def notes(pilot: Pilot, aim: Aim) -> list[str]:
    """What was taken for granted."""
    some = next(iter(pilot.values()))
    level = f"{SIGNIFICANCE:.0%} level" + (f" shared by {aim.tests} tests" * (aim.tests > 1))
    found = [
        f"Found: by {POWER:.0%} of the tests that Table 2 makes, two-sided, {level}.",
        "1 seed: the difference of two trainings. What others would give is not in it.",
        "More cases are like the pilot's; new seeds draw new trainings.",
    ]
    if some.num_seeds == 1:
        found.append(
            "The pilot has one seed, so how trainings differ is unknown. Assumed: by "
            f"{percent(some.seeds**0.5):.2f} points (SD of seeds, --seed-sd), and that neither more"
            " seeds nor more clips a case make cases differ less."
        )
    else:
        found.append(
            "Twice the clips a case: at best, if clips are independent. What cases add in every"
            " training is taken not to shrink."
        )
        found.append(f"SD of seeds: from {some.num_seeds} trainings, so rough.")
    if alike := [group for group, each in pilot.items() if not each.vary]:
        found.append(f"No case differs in the pilot: {'; '.join(map(str, alike))}.")
    return found


def plan_study(folder: Path, aim: Aim, seed_sd: float = ASSUMED_SEED_SD) -> str:
    """The page as Markdown; it and its figures are written into the pilot's folder.

    Raises: UserError: as `read_pilot`.
    """
    pilot = read_pilot(folder, seed_sd)
    charts = [curve_chart(group, found, aim) for group, found in pilot.items() if found.vary]
    tables = {
        "What varies in the pilot, in points": spread_table(pilot),
        "Smallest difference found, in points, by number of seeds": smallest_table(pilot, aim),
        f"Cases needed to find {aim.points:g} points, by number of seeds": needed_table(pilot, aim),
    }
    text = "".join(f"**{title}.**\n\n{table}\n\n" for title, table in tables.items())
    text += "".join(f"- {note}\n" for note in notes(pilot, aim))
    shown = "\n".join(f"![{each.title}]({each.name}.svg)\n\n{each.reading}\n" for each in charts)
    write_charts(folder / FOLDER_NAME, charts)
    write_text(folder / FOLDER_NAME / f"{FOLDER_NAME}.md", f"{text}\n{shown}")
    return text


def main() -> int:
    """Plan from the named run."""
    program = "python -m benchmarks.commands.plan_study"
    command = argparse.ArgumentParser(prog=program, description=__doc__)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    add = command.add_argument
    add("run", type=Path, metavar="RUN_DIR", help="the results folder of a pilot, merged or not")
    add("--points", type=float, default=2.0, help="difference in top-1 to see (default: 2)")
    add("--seeds", type=int, default=10, metavar="N", help="show 1 to N seeds (default: 10)")
    add("--tests", type=int, default=1, metavar="N", help="share the 5%% level by N tests")
    add("--seed-sd", type=float, default=100 * ASSUMED_SEED_SD, metavar="POINTS",
        help="a seed's part in a difference, for a pilot with one seed")  # fmt: skip
    options = command.parse_args()

    def plan() -> None:
        if not 0 <= options.seed_sd <= 100:
            raise UserError(f"--seed-sd {options.seed_sd:g}: give points from 0 to 100")
        aim = Aim(options.points, options.seeds, options.tests)
        print(plan_study(options.run, aim, options.seed_sd / 100))
        say(f"with curves: {options.run / FOLDER_NAME / FOLDER_NAME}.md")

    return exit_code(plan)


if __name__ == "__main__":
    sys.exit(main())
