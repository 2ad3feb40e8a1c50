"""Leakage audits as rows of a table, and their rules in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import binomtest

from augment.arm import Arm
from benchmarks.audits.findings import (
    COPIED_PERCENT,
    NEARER_POINTS,
    PER_SIDE,
    SIGNIFICANCE,
    TEXT_PERCENT,
)
from benchmarks.datasets.taxonomy import Task
from benchmarks.scoring.record import ArmAudit, outcome

AUDIT_HEADER = (
    "Task",
    "Training data",
    "Clips",
    "Like val/test",
    "Like train",
    "Copies of corpus",
    "Corpus like val/test",
    "Nearer to seen",
    "With text",
    "Audit",
)
NOT_LOOKED = "–"
RULES = (
    "no clip like a val or test clip, and none in the generator's corpus",
    f"at most {COPIED_PERCENT:g}% copies of the generator's training clips",
    f"nearer to the generator's training clips than to the corpus' val clips by at most"
    f" {NEARER_POINTS:g} points more often than real clips are (judged with p < {SIGNIFICANCE:g}"
    f" and {PER_SIDE} clips of each or more)",
    f"text in at most {TEXT_PERCENT:g}% of the clips",
)


def audit_row(arm: ArmAudit) -> list[str]:
    """A row of `AUDIT_HEADER`."""
    found = arm.found
    row = [arm.task, arm.training_data, str(found["held_out"]["suspects"])]
    row += [
        _copied(found[key]) if key in found else NOT_LOOKED
        for key in ("held_out", "train", "corpus", "corpus_held_out")
    ]
    return [*row, _nearness(found), share_of(found["text"], "with_text")[1], outcome(arm)]


def _nearness(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Generated clips and, in brackets, real ones that are nearer to the training clips."""
    if "memorisation" not in found:
        return NOT_LOOKED
    nearer, real = (found[key]["nearer_to_seen"] for key in ("memorisation", "of_real"))
    few = found["memorisation"]["per_side"] < PER_SIDE
    return f"{nearer}% (real {real}%)" + ", too few to judge" * few


def _copied(found: Mapping[str, Any]) -> str:
    return f"{len(found['copies'])} ({found['percent']}%)"


def share_of(found: Mapping[str, Any], named: str) -> list[str]:
    """Clips, how many of them are named, Wilson's 95% interval of that share in percent."""
    count, clips = len(found[named]), found["clips"]
    low, high = binomtest(count, clips).proportion_ci(method="wilson")
    interval = f"{100 * low:.1f} to {100 * high:.1f}%"
    return [str(clips), f"{count} ({found['percent']}%)", interval]


def unaudited_row(task: Task, arm: Arm) -> list[str]:
    """The row of an arm that no audit looked at."""
    unknown = [NOT_LOOKED] * (len(AUDIT_HEADER) - 3)
    return [task, arm.label, *unknown, outcome(None)]
