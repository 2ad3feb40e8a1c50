"""What curation decided about every clip, how many each step removed, and the 80/20 split."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from core.clip import Clip, Manifest
from core.errors import UserError
from core.files import write_json, write_text
from core.left_out import note_left_out

DECISIONS_NAME = "decisions.csv"
FUNNEL_NAME = "funnel.json"
VAL_SHARE = 0.2  # Source: Ophora, Sec. 3.1 (80% training, 20% validation)
READABLE = "readable"


class Decision(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One clip's fate. `step` and `reason` are "" for a kept clip; `value` is what was measured.

    details: further columns of decisions.csv.
    """

    clip_id: str
    step: str = ""
    reason: str = ""
    value: float | int | str | None = None
    details: dict[str, str | int | float] = {}

    @property
    def kept(self) -> bool:
        """Whether no step dropped the clip."""
        return not self.step


def write_decisions(folder: Path, decisions: Iterable[Decision], details: Sequence[str]) -> None:
    """Write decisions.csv: one row a clip, in the given order, `details` as the last columns."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["clip id", "kept", "step", "reason", "value", *details])
    for item in decisions:
        row: list[Any] = [item.clip_id, int(item.kept), item.step, item.reason]
        row.append("" if item.value is None else item.value)
        writer.writerow(row + [item.details.get(name, "") for name in details])
    write_text(folder / DECISIONS_NAME, buffer.getvalue())


def funnel(decisions: Sequence[Decision], steps: Sequence[str]) -> dict[str, Any]:
    """How many clips came into each step and left it, as the paper's 375K -> 160K -> 28K.

    Each `after` is the next step's `before`; reasons are counted for each step.
    """
    left, rows = len(decisions), []
    for step in steps:
        reasons = Counter(item.reason for item in decisions if item.step == step)
        dropped = reasons.total()
        rows.append(
            {
                "step": step,
                "before": left,
                "after": left - dropped,
                "dropped": dict(sorted(reasons.items())),
            }
        )
        left -= dropped
    return {"clips_in": len(decisions), "steps": rows, "clips_out": left}


def write_outcome(
    folder: Path, kept: Manifest, decisions: Sequence[Decision], steps: Sequence[str]
) -> dict[str, Any]:
    """Write manifest.jsonl and funnel.json; return the stage's result.

    Raises: UserError: if more than one file and more than 1% cannot be read, or nothing is left.
    """
    unreadable = [item for item in decisions if item.step == READABLE]
    left_out = note_left_out(
        {"unreadable": [f"{item.clip_id}: {item.value}" for item in unreadable]},
        len(decisions),
        what="clips",
        cure="repair or remove them",
    )
    counts = funnel(decisions, steps)
    write_json(folder / FUNNEL_NAME, counts)
    if not len(kept):
        most = Counter(item.reason for item in decisions).most_common(1)
        reason = f"most often for {most[0][0]!r}" if most else "there was none"
        raise UserError(f"clips: curation keeps none of {len(decisions)} ({reason}): relax it")
    kept.save(folder / "manifest.jsonl")
    return {
        "clips_in": len(decisions),
        "clips_out": len(kept),
        "unreadable": len(unreadable),
        "left_out": left_out,
        "train": len(kept.of_split("train")),
        "val": len(kept.of_split("val")),
    }


def assign_splits(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with a split: that of their own, else train or val by a hash of the source video.

    All clips of a video are on one side, and a video's side does not depend on the other videos,
    but for the last resort: with two videos or more, neither side stays empty.
    """
    videos = sorted({clip.video_id for clip in clips if clip.split is None}, key=_rank)
    side: dict[str, Literal["train", "val"]] = {
        video: "val" if _rank(video) < VAL_SHARE else "train" for video in videos
    }
    if len(videos) > 1:
        side[videos[0]], side[videos[-1]] = "val", "train"
    return [clip.model_copy(update={"split": clip.split or side[clip.video_id]}) for clip in clips]


def _rank(video_id: str) -> float:
    """A number in [0, 1) that depends on the video's name alone."""
    return int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:8], "big") / 2**64
