"""OphNet2024's annotation files: where they lie and what their rows say. Needs no video.

Columns: `video_id,start,end,split,surgery_id,phase_id[,operation_id][,segment_path]`; seconds; the
last one only in the files that come with trimmed clips. Segments of a video may overlap, be shorter
than a frame or end a little after the video does: all occur in the published files and are kept.
Source: OphNet2024 (arXiv 2406.07471), repository minghu0830/OphNet-benchmark.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast, get_args

from benchmarks.datasets.taxonomy import NUM_CLASSES, Task
from core.clip import Split
from core.errors import UserError, did_you_mean
from core.table import read_table

SPLITS: tuple[str, ...] = get_args(Split)
ANNOTATION: dict[Task, str] = {"phase": "_loca_challenge_phase", "operation": "_loca_challenge"}


@dataclass(frozen=True)
class Segment:
    """One row: a labelled span of a video.

    line: line number in the file; index: 0-based row number within the video; operation_id: None in
    the phase file; trimmed: file name of the clip cut from it, "" if cutting failed, None if the
    file has no such column.
    """

    line: int
    video_id: str
    index: int
    start_s: float
    end_s: float
    split: Split
    phase_id: int
    operation_id: int | None
    trimmed: str | None

    @property
    def labels(self) -> dict[str, int]:
        """Class ids by task, of the tasks that the file has."""
        known: dict[Task, int | None] = {"phase": self.phase_id, "operation": self.operation_id}
        return {task: label for task, label in known.items() if label is not None}

    @property
    def clip_id(self) -> str:
        """`<video_id>_<start>_<end>` in milliseconds of 8 digits: case_0002_00011330_00015230.

        It depends on the row's own cells only, so it survives added, removed and reordered rows;
        published rows of one video never share both times. No dots: it can be a file name's stem.
        """
        start_ms, end_ms = round(self.start_s * 1000), round(self.end_s * 1000)
        return f"{self.video_id}_{start_ms:08d}_{end_ms:08d}"


def find_annotation(root: Path, task: Task) -> Path:
    """The task's csv in `root`, `root/annotation` or `root/*_trimmed_<task>`, in this order.

    A `*_trimmed.csv` (the same rows and the clips' names) is preferred to the plain one.
    Raises: UserError: if `root` or the file is missing, or if several could be meant.
    """
    if not root.is_dir():
        raise UserError(f"data root {root}: no such folder: give one in OphNet2024's layout")
    for folder in (root, root / "annotation", *sorted(root.glob(f"*_trimmed_{task}"))):
        for ending in ("_trimmed.csv", ".csv"):
            pattern = f"*{ANNOTATION[task]}{ending}"
            found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
            if len(found) > 1:
                names = ", ".join(path.name for path in found)
                raise UserError(f"data root {root}: several annotation files ({names}): keep one")
            if found:
                return found[0]
    raise UserError(
        f"data root {root}: no *{ANNOTATION[task]}.csv in it or in its annotation/ folder: "
        f"put OphNet2024's annotation file of the {task} task there"
    )


def data_name(annotation: Path) -> str:
    """The data set's own name: what its annotation file's name begins with, "OphNet2024" for
    `OphNet2024_loca_challenge.csv`; the folder's where it begins with nothing."""
    return annotation.name.partition(ANNOTATION["operation"])[0] or annotation.resolve().parent.name


def read_segments(
    path: Path, task: Task, num_classes: Mapping[Task, int] = NUM_CLASSES
) -> list[Segment]:
    """Read and check an annotation file, rows in order.

    Args: num_classes: by task; ids count from 0.
    Raises: UserError: naming file, line, field, value and cure, for a missing column, an empty
    cell, an unparsable or negative number, an end not after its start, an id out of range, an
    unknown split, a video in two splits, a span given twice, a file without rows.
    """
    labels = ("phase_id",) if task == "phase" else ("phase_id", "operation_id")
    segments: list[Segment] = []
    rows_of_video: defaultdict[str, int] = defaultdict(int)
    for line, cells in read_table(path, ("video_id", "start", "end", "split", *labels)):
        segment = _Row(path, line, cells, num_classes).segment(
            task, rows_of_video[cells["video_id"]]
        )
        rows_of_video[segment.video_id] += 1
        segments.append(segment)
    if not segments:
        raise UserError(f"{path}: no rows below the header: use a complete annotation file")
    _check_together(path, segments)
    return segments


@dataclass(frozen=True)
class _Row:
    path: Path
    line: int
    cells: dict[str, str]
    num_classes: Mapping[Task, int]

    def fail(self, field: str, cure: str) -> NoReturn:
        value = self.cells[field]
        raise UserError(f"{self.path}, line {self.line}, {field} {value!r}: {cure}")

    def segment(self, task: Task, index: int) -> Segment:
        start_s, end_s = self.seconds("start"), self.seconds("end")
        if end_s <= start_s:
            self.fail("end", f"must come after start {self.cells['start']!r}: correct the row")
        return Segment(
            line=self.line,
            video_id=self.video_id(),
            index=index,
            start_s=start_s,
            end_s=end_s,
            split=self.split(),
            phase_id=self.label("phase_id", self.num_classes["phase"]),
            operation_id=(
                self.label("operation_id", self.num_classes["operation"])
                if task == "operation"
                else None
            ),
            trimmed=self.trimmed(),
        )

    def video_id(self) -> str:
        video_id = self.cells["video_id"]
        if not video_id or video_id.startswith(".") or "/" in video_id or "\\" in video_id:
            self.fail("video_id", "must be a video's file name without folder and ending")
        return video_id

    def seconds(self, field: str) -> float:
        try:
            value = float(self.cells[field])
        except ValueError:
            self.fail(field, "not a number: give seconds, such as 12.34")
        if not math.isfinite(value) or value < 0:
            self.fail(field, "must be 0 or more seconds")
        return value

    def split(self) -> Split:
        split = self.cells["split"]
        if split not in SPLITS:
            self.fail("split", f"unknown split, {did_you_mean(split, SPLITS)}")
        return cast(Split, split)

    def label(self, field: str, num_classes: int) -> int:
        try:
            value = int(self.cells[field])
        except ValueError:
            self.fail(field, f"not a whole number: give a class id, 0 to {num_classes - 1}")
        if not 0 <= value < num_classes:
            self.fail(
                field, f"out of range 0 to {num_classes - 1}: use the challenge file's class ids"
            )
        return value

    def trimmed(self) -> str | None:
        # The official cutter writes paths of the machine it ran on: only the file name travels.
        cell = self.cells.get("segment_path")
        return None if cell is None else cell.replace("\\", "/").split("/")[-1]


def _check_together(path: Path, segments: list[Segment]) -> None:
    first_of_video: dict[str, Segment] = {}
    line_of_clip: dict[str, int] = {}
    for segment in segments:
        first = first_of_video.setdefault(segment.video_id, segment)
        if segment.split != first.split:
            raise UserError(
                f"{path}, line {segment.line}, split {segment.split!r}: video {segment.video_id!r} "
                f"is in {first.split!r} on line {first.line}: give a video one split"
            )
        other = line_of_clip.setdefault(segment.clip_id, segment.line)
        if other != segment.line:
            raise UserError(
                f"{path}, line {segment.line}, start {segment.start_s}: the same span of video "
                f"{segment.video_id!r} is on line {other}: keep one of the two rows"
            )
