"""What stands beside the gains of Table 2: how many clips an arm has, how far they lie from real
ones, and what a classifier trained on real clips alone sees in them.

record -> ClipSet of each arm -----------------.
Table 2 -> gains of each classifier, schedule -+-> points of the figures (`figures.py`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from augment.arm import Arm
from benchmarks.datasets.taxonomy import Task
from benchmarks.scoring.record import ClipSet, ClipSets
from benchmarks.tables.schema import Delta, Table2
from classifiers.recipe import Schedule

FEWEST_POINTS = 4  # of fewer, even a perfect rank correlation says nothing
SEEN_HEADER = ("Task", "Arm", "Classifier", "Clips", "Top-1", "Top-5")


Gains = Mapping[Arm, Delta]
GainKey = tuple[Task, str, Schedule]  # the str: a classifier


@dataclass(frozen=True)
class VolumePoint:
    """Gain at a number of clips per class."""

    clips_per_class: float
    gain: Delta


@dataclass(frozen=True)
class DistancePoint:
    """Gain of an arm at the distance of its clips. n: clips compared on either side; biased: FVD
    is, as n is not above the dimension of the features; protocol: what FVD was measured with."""

    arm: str
    fvd: float
    kvd: float
    n: int
    biased: bool
    protocol: str
    gain: Delta


def gains(table: Table2) -> dict[GainKey, dict[Arm, Delta]]:
    """Differences from Source on test, by task, classifier and schedule, then by arm in the
    table's order. Clips without the real ones are left out: they add nothing to Source."""
    found: dict[GainKey, dict[Arm, Delta]] = {}
    for row in table.rows:
        added = row.split == "test" and row.arm.with_real
        if added and row.delta_vs_source is not None:
            of_key = found.setdefault((row.task, row.classifier, row.schedule), {})
            of_key[row.arm] = row.delta_vs_source
    return found


def volume_points(
    arms: Sequence[Arm], gained: Gains, sets: Mapping[Arm, ClipSet]
) -> list[VolumePoint]:
    """A point for each of these arms, fewest clips first.

    The number of clips is what an arm has, which may be less than a part was to have.
    """
    points = [VolumePoint(sets[arm].clips_per_class, gained[arm]) for arm in arms if arm in gained]
    return sorted(points, key=lambda point: point.clips_per_class)


def distance_points(gained: Gains, sets: Mapping[Arm, ClipSet]) -> list[DistancePoint]:
    """A point for each arm whose distance was measured, in the table's order."""
    points = []
    for arm, gain in gained.items():
        by_kind = {key.partition("_")[0]: entry for key, entry in sets[arm].metrics.items()}
        if not by_kind:
            continue
        fvd = by_kind["fvd"]
        protocol = "{encoder}, {num_frames} frames of {width}x{height}".format_map(fvd)
        points.append(
            DistancePoint(
                arm=arm.name,
                fvd=fvd["value"],
                kvd=by_kind["kvd"]["value"],
                n=fvd["n"],
                biased="warning" in fvd,
                protocol=protocol,
                gain=gain,
            )
        )
    return points


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's, -1 to 1; None of fewer than `FEWEST_POINTS` or where a side is constant."""
    if len(one) < FEWEST_POINTS or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return float(spearmanr(one, other).statistic)


def seen_rows(sets: ClipSets) -> list[list[str]]:
    """A row of `SEEN_HEADER` for each set of clips and classifier."""
    return [
        [
            task,
            arm.name,
            classifier,
            str(scores["clips"]),
            f"{scores['top1']:.2f}",
            f"{scores['top5']:.2f}",
        ]
        for task, shown in sets.items()
        for arm, clips in shown.items()
        for classifier, scores in clips.trained_on_source.items()
    ]
