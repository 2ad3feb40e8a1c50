"""The picture of Table 2: top-1 of each training set with its interval, on test.

Table 2 -> AccuracyRow of each arm -> dots, a colour a classifier, a shape a schedule
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from augment.arm import SOURCE
from benchmarks.datasets.taxonomy import Task
from benchmarks.report.drawing import INK, PALETTE, PAPER, draw
from benchmarks.report.figures import Chart
from benchmarks.tables.schema import AccuracyRow, Table2

SHAPES = {"matched_epochs": "o", "matched_steps": "s"}
WIDTH = 9.0  # inches
SERIES_INCHES = 0.17  # of height, for each dot of an arm
Series = tuple[str, str]  # classifier, schedule
READING = (
    "Top-1 on test in percent, with 95% intervals; dashed: Source. Filled where the difference from"
    " Source survives Holm's correction."
)


def overview(table: Table2) -> list[Chart]:
    """A picture of each task that the table has."""
    found = []
    for task in dict.fromkeys(row.task for row in table.rows):
        rows = rows_of_test(table, task)
        if rows:
            title = f"Top-1 by training data: {task}"
            dots = len({row.arm for row in rows}) * len(_series(rows))
            size = (WIDTH, 1.2 + SERIES_INCHES * dots)
            svg = draw(title, size, partial(paint_accuracy, rows=rows))
            found.append(Chart(f"accuracy_{task}", title, svg, READING))
    return found


def rows_of_test(table: Table2, task: Task) -> list[AccuracyRow]:
    """The rows that a picture shows: of test, with real clips in the training."""
    return [
        row for row in table.rows if row.task == task and row.split == "test" and row.arm.with_real
    ]


def paint_accuracy(axes: Any, rows: Sequence[AccuracyRow]) -> None:
    """Draw the arms from top to bottom, in the table's order, into matplotlib's Axes."""
    arms = list(dict.fromkeys(row.arm for row in rows))
    series = _series(rows)
    colours = _colours(rows)
    for row in rows:
        colour = colours[row.classifier]
        place = arms.index(row.arm) + _offset(series, (row.classifier, row.schedule))
        delta = row.delta_vs_source
        sure = delta is None or delta.significant
        axes.plot(row.top1.ci95, (place, place), color=colour, linewidth=1.4)
        axes.plot(
            row.top1.mean, place, marker=SHAPES[row.schedule], markersize=6, color=colour,
            markerfacecolor=colour if sure else PAPER,
        )  # fmt: skip
        if row.arm == SOURCE:
            axes.axvline(row.top1.mean, color=colour, linewidth=0.8, linestyle="--", alpha=0.6)
    names = [arm.label.replace("Source + ", "+ ") for arm in arms]
    axes.set_yticks(range(len(arms)), names)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("top-1 on test (percent)")
    _legend(axes, colours, rows)


def _series(rows: Sequence[AccuracyRow]) -> list[Series]:
    return list(dict.fromkeys((row.classifier, row.schedule) for row in rows))


def _colours(rows: Sequence[AccuracyRow]) -> dict[str, str]:
    names = dict.fromkeys(row.classifier for row in rows)
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def _offset(series: Sequence[Series], one: Series) -> float:
    """Where a dot lies within its arm's row: from -0.3 to 0.3, one classifier's side by side."""
    ordered = sorted(series, key=lambda each: [name for name, _ in series].index(each[0]))
    return (ordered.index(one) + 0.5) / len(ordered) * 0.7 - 0.35


def _legend(axes: Any, colours: dict[str, str], rows: Sequence[AccuracyRow]) -> None:
    shapes = dict.fromkeys(row.schedule for row in rows)
    handles = [axes.plot([], [], color=colour, marker="o", label=name)[0]
               for name, colour in colours.items()]  # fmt: skip
    if len(shapes) > 1:
        handles += [
            axes.plot([], [], color=INK, marker=SHAPES[shape], linestyle="",
                      label=shape.replace("_", " "))[0]
            for shape in shapes
        ]  # fmt: skip
    axes.figure.legend(
        handles=handles, frameon=False, ncols=len(handles), loc="outside lower center",
        fontsize=8, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip
