"""How many clips each step of curation removed and why: the paper's 375K -> 160K -> 28K.

Source: Ophora, Sec. "Comprehensive Data Curation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report.drawing import INK, PALETTE, draw
from benchmarks.report.figures import Chart

HEADER = ("Set", "Kept if", "Removed as", "Before", "Removed", "After", "% left")
# What a set is called in the paper, and what its step does, in the reader's words.
SETS = ("Ophora-160K", "Ophora-28K")
STEPS = {
    "readable": "file can be read",
    "resolution": "large enough",
    "dynamics": "neither static nor restless",
    "caption": "has a caption",
    "privacy": "no burned-in text",
}
WIDTH, BAR = 6.0, 0.3  # inches


@dataclass(frozen=True)
class Step:
    """One step: clips that came to it, and by reason those that it removed."""

    of_set: str
    name: str
    before: int
    dropped: dict[str, int]

    @property
    def after(self) -> int:
        return self.before - sum(self.dropped.values())


def funnel_rows(steps: Sequence[Step]) -> list[list[str]]:
    """The table below `HEADER`."""
    return [
        [
            step.of_set,
            step.name,
            ", ".join(f"{reason} {count:,}" for reason, count in step.dropped.items()) or "-",
            f"{step.before:,}",
            f"{step.before - step.after:,}",
            f"{step.after:,}",
            f"{100 * step.after / max(steps[0].before, 1):.1f}",
        ]
        for step in steps
    ]


def funnel_chart(steps: Sequence[Step]) -> Chart:
    """Clips left after each step, as bars from top to bottom."""
    names = ["narrated clips", *(step.name for step in steps)]
    counts = [steps[0].before, *(step.after for step in steps)]

    def paint(axes: Any) -> None:
        colours = [PALETTE[0], *(PALETTE[SETS.index(step.of_set)] for step in steps)]
        axes.barh(range(len(names)), counts, color=colours, height=0.62)
        for row, count in enumerate(counts):
            share = f"{count:,} ({100 * count / max(counts[0], 1):.0f}%)"
            axes.annotate(
                share, (count, row), (4, 0), textcoords="offset points", va="center", color=INK
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 1.2 * max(*counts, 1))
        axes.set_xlabel("clips left")

    title = "Curation funnel"
    worst = max(steps, key=lambda step: step.before - step.after)
    reading = (
        f"Clips left after each step; the last bar is {SETS[1]}, the one before its step "
        f"{SETS[0]}. Of {counts[0]:,} narrated clips {counts[-1]:,} are left; most are removed by "
        f"'{worst.name}' ({worst.before - worst.after:,})."
    )
    svg = draw(title, (WIDTH, 0.9 + BAR * len(names)), paint)
    return Chart("curation_funnel", title, svg, reading)
