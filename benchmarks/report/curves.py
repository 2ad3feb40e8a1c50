"""Learning curves: accuracy on val while the classifiers were trained."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.arm import Arm
from benchmarks.report.drawing import PALETTE, draw
from benchmarks.report.figures import Chart

FEW = 3  # arms whose names find room among the curves
DASHES = ("-", "--", ":")  # a style for each round of the palette


@dataclass(frozen=True)
class Curve:
    """One training's accuracy on val, percent, after each epoch that was evaluated."""

    arm: Arm
    seed: int
    epochs: tuple[float, ...]
    top1: tuple[float, ...]

    @property
    def best(self) -> tuple[float, float]:
        """Accuracy and epoch (negative, so that of equals the earliest is the largest)."""
        return max(zip(self.top1, (-epoch for epoch in self.epochs), strict=True))


def read_curve(arm: Arm, seed: int, log: Path) -> Curve | None:
    """From a training's `epochs.jsonl` (its val top-1 is a fraction); None if no epoch of it was
    evaluated."""
    every = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in every if "val_top1" in line]
    if not lines:
        return None
    epochs = tuple(line["epoch"] for line in lines)
    return Curve(arm, seed, epochs, tuple(100.0 * line["val_top1"] for line in lines))


def curve_chart(title: str, curves: Sequence[Curve]) -> Chart:
    """A line for each training, a style for each training set, seeds alike."""
    arms = list(dict.fromkeys(curve.arm for curve in curves))
    styles = {arm: divmod(number, len(PALETTE)) for number, arm in enumerate(arms)}

    def paint(axes: Any) -> None:
        for number, curve in enumerate(curves):
            first = all(other.arm != curve.arm for other in curves[:number])
            dashes, colour = styles[curve.arm]
            axes.plot(
                curve.epochs, curve.top1, marker=".", linewidth=1.0,
                color=PALETTE[colour], linestyle=DASHES[dashes % len(DASHES)],
                label=curve.arm.name if first else None,
            )  # fmt: skip
        axes.set(xlabel="epoch", ylabel="val top-1 (%)")
        beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(arms) > FEW else {}
        axes.legend(frameon=False, **beside)

    width = 4.6 if len(arms) <= FEW else 6.0  # inches
    best = max(curves, key=lambda curve: curve.best)
    top1, epoch = best.best
    reading = (
        "Accuracy on val after each epoch; the epoch with the best one is the one that is tested. "
        f"Highest: {best.arm.label}, seed {best.seed}, {top1:.1f}% after epoch {-epoch:g}."
    )
    name = "curves_" + re.sub(r"[^a-z0-9]+", "_", title.lower())
    return Chart(name, f"Learning curves: {title}", draw(title, (width, 2.8), paint), reading)
