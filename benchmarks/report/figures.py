"""The figures that explain Table 2, each with a sentence that says how to read it.

gain by arm            what helped, and how surely
gain by volume         clips per class of one arm and its parts, Source at 0
gain by distance       FVD of an arm's clips from real training clips, with Spearman's correlation
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.arm import Arm
from benchmarks.datasets.taxonomy import Task
from benchmarks.report.drawing import INK, PALETTE, PAPER, draw
from benchmarks.report.evidence import (
    DistancePoint,
    GainKey,
    Gains,
    VolumePoint,
    distance_points,
    gains,
    rank_correlation,
    volume_points,
)
from benchmarks.scoring.record import ClipSets
from benchmarks.tables.schema import Delta, Table2
from core.files import write_text

GAIN = "gain in top-1 over Source (points)"
WIDTH = 6.0  # inches
LINE = 0.17  # inches: a line of text
THIN = 1.4  # points: the line of an interval
# Characters after which an arm's name goes on in the next line, and is cut off.
WRAPPED, CUT = 30, 24
FILLED = "filled where the difference survives Holm's correction"


@dataclass(frozen=True)
class Chart:
    """A figure. name: of its file; svg: as `drawing.draw` makes it; reading: how to read it."""

    name: str
    title: str
    svg: str
    reading: str


def charts(table: Table2, sets: ClipSets, sweeps: Mapping[str, Sequence[Arm]]) -> list[Chart]:
    """All figures that the numbers allow, test split, each schedule.

    Args: sets: by task and arm; sweeps: arms by what they are parts of.
    """
    every = gains(table)
    found = [gain_chart(key, gained) for key, gained in every.items()]
    for task in dict.fromkeys(task for task, *_ in every):
        for whole, arms in sweeps.items():
            curves = {
                f"{classifier}, {schedule.replace('_', ' ')}": volume_points(
                    arms, gained, sets[task]
                )
                for (of, classifier, schedule), gained in every.items()
                if of == task
            }
            found.append(volume_chart(task, whole, curves))
    for key, gained in every.items():
        points = distance_points(gained, sets[key[0]])
        if points:
            found.append(distance_chart(key, points))
    return found


def write_charts(folder: Path, drawn: Sequence[Chart]) -> None:
    """Write `<name>.svg` of each into `folder`; figures of an earlier run are removed."""
    for left in {file.stem for file in folder.glob("*.svg")} - {chart.name for chart in drawn}:
        (folder / f"{left}.svg").unlink()
    for chart in drawn:
        write_text(folder / f"{chart.name}.svg", chart.svg)


def gain_chart(key: GainKey, gained: Gains) -> Chart:
    """A dot with its interval for each arm, in the order given, from top to bottom."""
    names = ["\n".join(textwrap.wrap(arm.name, WRAPPED)) for arm in gained]
    lines = 1 + max(name.count("\n") for name in names)

    def paint(axes: Any) -> None:
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, gain in enumerate(gained.values()):
            axes.plot(gain.ci95, (row, row), color=PALETTE[0], linewidth=THIN)
            axes.plot(gain.top1, row, **_marker(gain), color=PALETTE[0])
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(GAIN)

    title = f"Gain by arm: {named(key)}"
    height = 0.9 + (LINE * lines + 0.1) * len(names)
    sure = sum(gain.significant for gain in gained.values())
    best = max(gained, key=lambda arm: gained[arm].top1)
    reading = (
        f"Top-1 on test minus Source's, with 95% intervals; {FILLED}: {sure} of {len(names)}."
        f" Largest gain: {best.name}, {gained[best].top1:+.2f} points."
    )
    svg = draw(title, (WIDTH, height), paint)
    return Chart(f"gain_{file_name(key)}", title, svg, reading)


def volume_chart(task: Task, whole: str, curves: Mapping[str, Sequence[VolumePoint]]) -> Chart:
    """Gain against clips per class, a curve for each name, from Source at (0, 0)."""

    def paint(axes: Any) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        for number, (name, points) in enumerate(curves.items()):
            colour = PALETTE[number % len(PALETTE)]
            counts = [0.0, *(point.clips_per_class for point in points)]
            values = [0.0, *(point.gain.top1 for point in points)]
            width = THIN + 2 * (len(curves) - 1 - number)  # a later one hides no earlier one
            axes.plot(counts, values, color=colour, linewidth=1.0, label=name)
            for point in points:
                interval(axes, point.clips_per_class, point.gain, colour, width)
        axes.set(xlabel=f"clips per class of {whole} (0: Source)", ylabel=GAIN)
        axes.legend(frameon=False)

    title = f"Gain by volume: {task}, {whole}"
    best = [
        f"{name} {top.gain.top1:+.2f} points at {top.clips_per_class:g}"
        for name, points in curves.items()
        for top in [max(points, key=lambda point: point.gain.top1)]
    ]
    reading = (
        "Source at 0, then the same arm with more and more clips, with 95% intervals;"
        f" {FILLED}. Largest gain: {'; '.join(best)} clips a class."
    )
    return Chart(f"volume_{task}_{whole}", title, draw(title, (WIDTH, 3.4), paint), reading)


def distance_chart(key: GainKey, points: Sequence[DistancePoint]) -> Chart:
    """Gain against FVD, arms named at the right."""

    def paint(axes: Any) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        for point in points:
            interval(axes, point.fvd, point.gain, PALETTE[0])
        axes.set(xlabel=f"FVD from real training clips\n({points[0].protocol})", ylabel=GAIN)
        _name_at_right(axes, points, gap=LINE / (height - 1.0))

    title = f"Gain by distance: {named(key)}"
    height = max(3.4, 1.0 + LINE * len(points))
    svg = draw(title, (WIDTH, height), paint)
    return Chart(f"fvd_{file_name(key)}", title, svg, distance_reading(points))


def distance_reading(points: Sequence[DistancePoint]) -> str:
    """The rank correlation with its number of arms, and KVD's where FVD cannot be trusted."""
    found = rank_correlation([p.fvd for p in points], [p.gain.top1 for p in points])
    text = f"Each arm's clips against as many real training clips, left is nearer; {FILLED}. "
    if found is None:
        return f"{text}No rank correlation: {len(points)} arms are too few, or all alike."
    text += f"Spearman's rank correlation of FVD and gain: {found:+.2f} (n = {len(points)} arms)."
    counts = sorted({point.n for point in points})
    if len(counts) > 1 or any(point.biased for point in points):
        unbiased = rank_correlation([p.kvd for p in points], [p.gain.top1 for p in points])
        shown = "none" if unbiased is None else f"{unbiased:+.2f}"
        compared = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        text += f" FVD is biased at {compared} clips; of KVD, which is not, and gain: {shown}."
    return text


def spread_out(places: NDArray[np.floating], gap: float) -> NDArray[np.float64]:
    """Move ascending places in 0..1 as little upwards as keeps them `gap` apart, then back below 1.

    Args: places: (N,).   Returns: (N,); below 0 only if N gaps do not fit.
    """
    spread = np.array(places, dtype=np.float64)
    for index in range(1, len(spread)):
        spread[index] = max(spread[index], spread[index - 1] + gap)
    ceiling = 1 - gap * np.arange(len(spread))[::-1]
    return np.minimum(spread, ceiling)


def named(key: GainKey) -> str:
    """Task, classifier and schedule, as a title says them."""
    return ", ".join(key).replace("_", " ")


def file_name(key: Sequence[str]) -> str:
    """Task, classifier, schedule or some of them in the name of a file."""
    return re.sub(r"\W+", "_", "_".join(key).lower())


def _marker(gain: Delta) -> dict[str, Any]:
    hollow = {} if gain.significant else {"markerfacecolor": PAPER}
    return {"marker": "o", "markersize": 6, **hollow}


def interval(axes: Any, x: float, gain: Delta, colour: str, width: float = THIN) -> None:
    """Draw a gain with its 95% interval at `x`."""
    axes.plot((x, x), gain.ci95, color=colour, linewidth=width)
    axes.plot(x, gain.top1, **_marker(gain), color=colour)


def _name_at_right(axes: Any, points: Sequence[DistancePoint], gap: float) -> None:
    # Names beside their points would overlap where arms lie close, as controls of one arm do.
    ordered = sorted(points, key=lambda point: point.gain.top1)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    heights = (np.array([point.gain.top1 for point in ordered]) - low) / (high - low)
    for point, height in zip(ordered, spread_out(heights, gap), strict=True):
        axes.annotate(
            point.arm if len(point.arm) <= CUT else f"{point.arm[: CUT - 1]}…",
            xy=(point.fvd, point.gain.top1),
            xytext=(1.04, height),
            textcoords="axes fraction",
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.4, "alpha": 0.5,
                        "relpos": (0, 0.5), "shrinkB": 4},
        )  # fmt: skip
