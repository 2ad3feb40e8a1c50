"""Per class: how often each arm's classifiers are right, and what they take for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.arm import SOURCE, Arm
from benchmarks.datasets.taxonomy import Task
from benchmarks.report.drawing import SHADES, draw
from benchmarks.report.figures import Chart, file_name
from benchmarks.scoring.evaluation import Cell

SHOWN_CONFUSIONS = 12
CONFUSION_HEADER = ("Classifier", "Class", "Taken for")  # then a column an arm


@dataclass(frozen=True)
class ClassTable:
    """Recall on test, percent, averaged over seeds and classifiers. header: Class, Group, Source,
    then the difference of every other arm; rows: as text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def class_table(
    cells: Sequence[Cell], task: Task, names: Sequence[str], groups: Mapping[int, str]
) -> ClassTable | None:
    """The table of a task, classes by id; None without a cell of Source at matched epochs.

    Args: groups: head, medium or tail by class id.
    """
    recalls: dict[Arm, list[Mapping[int, float]]] = {}
    for cell in cells:
        if cell.task == task and cell.schedule == "matched_epochs":
            recalls.setdefault(cell.arm, []).append(cell.splits["test"].recall_by_class)
    if SOURCE not in recalls:
        return None
    arms = [arm for arm in recalls if arm != SOURCE]
    rows = []
    for label in sorted(recalls[SOURCE][0]):
        means = {arm: fmean(each[label] for each in found) for arm, found in recalls.items()}
        gains = (f"{means[arm] - means[SOURCE]:+.1f}" for arm in arms)
        group = groups.get(label, "tail")
        rows.append((f"{label} · {names[label]}", group, f"{means[SOURCE]:.1f}", *gains))
    header = ("Class", "Group", "Source", *(f"Δ {arm.name}" for arm in arms))
    title = f"Top-1 by {task} on test, percent: Source, and what each arm adds to it"
    return ClassTable(f"{title} (means over seeds and classifiers).", header, tuple(rows))


def shares_of(mistakes: Mapping[int, Mapping[int, int]], classes: int) -> NDArray[np.float64]:
    """(C, C): of the clips of each class (row), the share named as each class; empty rows are 0.

    Args: mistakes: true class -> class that was named, which may be the true one -> clips.
    """
    counts = np.zeros((classes, classes))
    for true, named in mistakes.items():
        for name, number in named.items():
            counts[true, name] = number
    totals: NDArray[np.float64] = counts.sum(axis=1, keepdims=True)
    return counts / np.maximum(totals, 1.0)


def confusion_chart(task: Task, classifier: str, shares: NDArray[np.float64]) -> Chart:
    """What a classifier of Source takes for what: rows are true classes."""
    title = f"What {classifier} takes for what, {task} (Source, test)"

    def paint(axes: Any) -> None:
        axes.grid(visible=False)
        image = axes.imshow(shares, cmap=SHADES, vmin=0.0, vmax=1.0, interpolation="nearest")
        axes.set(xlabel="named as (class id)", ylabel="true class id")
        axes.figure.colorbar(image, ax=axes, label="share of the class", shrink=0.8)

    reading = (
        "Each row is a class: where its clips go. A dark diagonal is right; a dark spot beside "
        "it is a pair that is mistaken for one another."
    )
    return Chart(
        f"confusion_{file_name((task, classifier))}", title, draw(title, (5.2, 4.4), paint), reading
    )


def confusion_rows(
    classifier: str, shares: Mapping[Arm, NDArray[np.float64]], names: Sequence[str]
) -> list[tuple[str, ...]]:
    """The commonest mistakes of Source and how common they are in each arm, percent.

    Args: shares: confusion by arm, Source among them.
    """
    source = shares[SOURCE].copy()
    np.fill_diagonal(source, 0.0)
    flat = np.argsort(-source, axis=None, kind="stable")[:SHOWN_CONFUSIONS]
    pairs = [divmod(int(place), len(source)) for place in flat if source.flat[place] > 0]
    return [
        (
            classifier,
            names[true],
            names[named],
            *(f"{100 * found[true, named]:.0f}" for found in shares.values()),
        )
        for true, named in pairs
    ]
