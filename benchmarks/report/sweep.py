"""One run at several values of a field of its configuration (`vary`): what changes with it.

results folders of the values -> rows by arm -> sweep.md, figures/sweep_*.svg
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augment.arm import Arm
from benchmarks.report.compare import Run, read_runs
from benchmarks.report.drawing import INK, PALETTE, draw
from benchmarks.report.evidence import GainKey, gains
from benchmarks.report.figures import (
    FILLED,
    GAIN,
    WIDTH,
    Chart,
    file_name,
    interval,
    named,
    write_charts,
)
from benchmarks.tables.render import MISSING, delta_text, plain_table, score_text
from benchmarks.tables.schema import AccuracyRow, Delta
from core.files import write_text

SWEEP_NAME = "sweep.md"
HEADER = ("Task", "Matched", "Classifier", "Training data")


def write_sweep(field: str, values: Sequence[float], folders: Sequence[Path], place: Path) -> str:
    """Table and figures of the runs in `folders`, one a value, into `place`; the table as text.

    Raises: UserError: if a folder holds no table.
    """
    runs = read_runs(folders)
    charts = sweep_charts(field, values, runs)
    readings = "\n".join(f"- {chart.title}: {chart.reading}" for chart in charts)
    text = f"{sweep_table(field, values, runs)}\n\n{readings}\n"
    write_text(place / SWEEP_NAME, text)
    write_charts(place / "figures", charts)
    return text


def sweep_table(field: str, values: Sequence[float], runs: Sequence[Run]) -> str:
    """Top-1 on test at each value, and the difference from the same run's Source below it."""
    found: dict[tuple[str, ...], dict[int, AccuracyRow]] = {}
    for number, run in enumerate(runs):
        for row in run.table2.rows if run.table2 is not None else ():
            if row.split == "test":
                matched = row.schedule.removeprefix("matched_")
                names: tuple[str, ...] = (row.task, matched, row.classifier, row.training_data)
                found.setdefault(names, {})[number] = row
    lines = []
    for names, rows in found.items():
        cells = [rows.get(number) for number in range(len(runs))]
        lines.append([*names, *(MISSING if row is None else score_text(row.top1) for row in cells)])
        if any(row is not None and row.delta_vs_source is not None for row in cells):
            deltas = (MISSING if row is None else delta_text(row.delta_vs_source) for row in cells)
            lines.append(["", "", "", "  minus Source", *deltas])
    return plain_table(lines, [*HEADER, *(f"{field} {value:g}" for value in values)])


def sweep_charts(field: str, values: Sequence[float], runs: Sequence[Run]) -> list[Chart]:
    """Gain on test by the field's value, a curve an arm: a figure for each task, classifier and
    schedule."""
    curves: dict[GainKey, dict[Arm, dict[float, Delta]]] = {}
    for value, run in zip(values, runs, strict=True):
        for key, gained in (gains(run.table2) if run.table2 is not None else {}).items():
            for arm, gain in gained.items():
                curves.setdefault(key, {}).setdefault(arm, {})[value] = gain
    return [_chart(field, key, arms) for key, arms in curves.items()]


def _chart(field: str, key: GainKey, arms: dict[Arm, dict[float, Delta]]) -> Chart:
    def paint(axes: Any) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        for number, (arm, points) in enumerate(arms.items()):
            colour = PALETTE[number % len(PALETTE)]
            tops = [gain.top1 for gain in points.values()]
            axes.plot(list(points), tops, color=colour, linewidth=1.0, label=arm.name)
            for value, gain in points.items():
                interval(axes, value, gain, colour)
        axes.set(xlabel=field, ylabel=GAIN)
        axes.legend(frameon=False)

    title = f"Gain by {field}: {named(key)}"
    ends = []
    for arm, points in arms.items():
        shown = ", ".join(f"{gain.top1:+.2f} at {value:g}" for value, gain in points.items())
        ends.append(f"{arm.name} {shown}")
    reading = f"Top-1 on test minus Source's of the same value, 95% intervals; {FILLED}. "
    svg = draw(title, (WIDTH, 3.4), paint)
    return Chart(f"sweep_{file_name(key)}", title, svg, reading + "; ".join(ends) + ".")
