"""The phase annotations of Cataract-1K and Cataract-101, as published. Needs no video.

Cataract-1K, 56 cases, a file a case; seconds; what lies between two phases is idle and no row:

    annotations/case_<id>/case_<id>_annotations_phases.csv
                       caseId,comment,frame,endFrame,sec,endSec
    videos/case_<id>.mp4

Cataract-101, separated by semicolons; a row says where a phase starts, which lasts to the next row:

    videos.csv         VideoID;Frames;FPS;Surgeon;Experience
    annotations.csv    VideoID;FrameNo;Phase
    phases.csv         Phase;Meaning
    videos/case_<id>.mp4

A frame number counts from 0. Phases repeat; one that starts where the next one does has no length.
Source: Ghamsarian et al. 2024, Scientific Data 11, 373 (Cataract-1K) with the reader of repository
Negin-Ghamsarian/Cataract-1K (action_frame_extractor.py); Schoeffmann et al. 2018, MMSys
(Cataract-101) with the README of its archive.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

from core.clip import Split
from core.errors import UserError, did_you_mean
from core.table import read_table

SPLITS_NAME: Final = "splits.csv"
PHASES_OF_CASE: Final = tuple(f"{above}*_annotations_phases.csv" for above in ("", "*/", "*/*/"))
HELD_OUT: Final = 0.2  # of the cases, for val and for test each. Source: our choice


FormName = Literal["cataract_1k", "cataract_101"]


@dataclass(frozen=True)
class Span:
    """A phase of a case. annotation, line: where it says so; label: the phase's name there."""

    annotation: Path
    line: int
    video_id: str
    start_s: float
    end_s: float
    label: str

    @property
    def clip_id(self) -> str:
        """Case and times in milliseconds: a file name's stem without dots."""
        start_ms, end_ms = round(self.start_s * 1000), round(self.end_s * 1000)
        return f"{self.video_id}_{start_ms:08d}_{end_ms:08d}"

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.annotation}, line {self.line}"


@dataclass(frozen=True)
class Form:
    """name: of the data set, in tables; taxonomy: the one with its classes; holds: whether a folder
    has its files; read: its spans and every csv that they come from."""

    name: str
    taxonomy: str
    holds: Callable[[Path], bool]
    read: Callable[[Path], tuple[list[Span], list[Path]]]


def read_cataract_1k(root: Path) -> tuple[list[Span], list[Path]]:
    """Raises: UserError: file, line and cell, for a fault in a row; a span that is given twice."""
    files = _files_of_cases(root)
    spans = [span for path in files for span in _spans_of_case(path)]
    return _each_once(spans), files


def _files_of_cases(root: Path) -> list[Path]:
    return sorted(path for pattern in PHASES_OF_CASE for path in root.glob(pattern))


def _spans_of_case(path: Path) -> Iterator[Span]:
    for line, cells in read_table(path, ("caseId", "comment", "sec", "endSec")):
        start_s, end_s = (_number(path, line, cells, name) for name in ("sec", "endSec"))
        if end_s < start_s:
            raise UserError(f"{path}, line {line}, endSec {end_s:g}: is before sec {start_s:g}")
        yield Span(path, line, _case(cells["caseId"]), start_s, end_s, cells["comment"])


def read_cataract_101(root: Path) -> tuple[list[Span], list[Path]]:
    """Raises: UserError: file, line and cell, for a fault in a row; a case or a phase that its own
    table lacks."""
    tables = {name: root / f"{name}.csv" for name in ("videos", "phases", "annotations")}
    lasts = {
        cells["VideoID"]: tuple(
            _number(tables["videos"], line, cells, name) for name in ("Frames", "FPS")
        )
        for line, cells in read_table(tables["videos"], ("VideoID", "Frames", "FPS"))
    }
    named = {
        cells["Phase"]: cells["Meaning"]
        for _, cells in read_table(tables["phases"], ("Phase", "Meaning"))
    }
    starts: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)
    path = tables["annotations"]
    for line, cells in read_table(path, ("VideoID", "FrameNo", "Phase")):
        for column, known, table in (("VideoID", lasts, "videos"), ("Phase", named, "phases")):
            if cells[column] not in known:
                raise UserError(
                    f"{path}, line {line}, {column} {cells[column]!r}: not in {tables[table]}: "
                    "add it there or correct the row"
                )
        frame = _number(path, line, cells, "FrameNo")
        starts[cells["VideoID"]].append((frame, line, named[cells["Phase"]]))
    spans = [
        span
        for case, found in starts.items()
        for span in _spans_between(path, case, sorted(found), *lasts[case])
    ]
    return _each_once(spans), list(tables.values())


def _spans_between(
    path: Path, case: str, starts: Sequence[tuple[float, int, str]], frames: float, fps: float
) -> Iterator[Span]:
    ends = [frame for frame, _, _ in starts[1:]] + [frames]
    for (frame, line, label), end in zip(starts, ends, strict=True):
        if end < frame or not fps:
            raise UserError(
                f"{path}, line {line}, FrameNo {frame:g}: the next phase or the video's end comes "
                f"at {end:g} ({fps:g} frames a second): correct the row"
            )
        yield Span(path, line, _case(case), frame / fps, end / fps, label)


def _case(cell: str) -> str:
    """The video's name: `case_269` for 269."""
    if not cell or not cell.replace("_", "").isalnum():
        raise UserError(f"case {cell!r}: expected the number in the name of its video")
    return cell if cell.startswith("case_") else f"case_{cell}"


def _number(path: Path, line: int, cells: Mapping[str, str], column: str) -> float:
    try:
        value = float(cells[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise UserError(f"{path}, line {line}, {column} {cells[column]!r}: not a number from 0 on")
    return value


def lasting(spans: Sequence[Span]) -> tuple[list[Span], list[str]]:
    """Those that have a length, and a warning about the others."""
    kept = [span for span in spans if span.end_s > span.start_s]
    empty = [span for span in spans if span.end_s == span.start_s]
    if not empty:
        return kept, []
    return kept, [
        f"{len(empty)} of {len(spans)} phases have no length: left out ({empty[0].where})"
    ]


def _each_once(spans: list[Span]) -> list[Span]:
    seen: dict[str, Span] = {}
    for span in spans:
        other = seen.setdefault(span.clip_id, span)
        if other is not span:
            raise UserError(f"{span.where}: the same span is on {other.where}: keep one")
    return spans


def splits_of(root: Path, videos: Sequence[str]) -> dict[str, Split]:
    """The split of each case: as `splits.csv` (video_id,split) says, else by a hash of its name, a
    fifth for val and for test each. Neither publication has splits for its phases.

    Raises: UserError: if the table leaves a case out or has an unknown split, or there are under
    three cases.
    """
    cases = sorted(set(videos))
    if (root / SPLITS_NAME).is_file():
        return _given_splits(root / SPLITS_NAME, cases)
    if len(cases) < 3:
        raise UserError(f"{root}: {len(cases)} cases: three at least, for train, val and test")
    drawn = sorted(cases, key=lambda case: hashlib.sha256(case.encode()).hexdigest())
    held_out = max(1, round(HELD_OUT * len(cases)))
    names: tuple[Split, ...] = ("test", "val")
    return {
        case: names[place // held_out] if place < 2 * held_out else "train"
        for place, case in enumerate(drawn)
    }


def _given_splits(path: Path, cases: Sequence[str]) -> dict[str, Split]:
    found: dict[str, Split] = {}
    for line, cells in read_table(path, ("video_id", "split")):
        if cells["split"] not in get_args(Split):
            hint = did_you_mean(cells["split"], get_args(Split))
            raise UserError(f"{path}, line {line}, split {cells['split']!r}: unknown, {hint}")
        found[_case(cells["video_id"])] = cast(Split, cells["split"])
    for case in cases:
        if case not in found:
            raise UserError(f"{path}: says nothing of {case}: give every case a split")
    return found


FORMS: Final[dict[FormName, Form]] = {
    "cataract_1k": Form(
        "Cataract-1K",
        "cataract_1k",
        lambda root: any(_files_of_cases(root)),
        read_cataract_1k,
    ),
    "cataract_101": Form(
        "Cataract-101",
        "cataract_101",
        lambda root: all(
            (root / f"{name}.csv").is_file() for name in ("videos", "phases", "annotations")
        ),
        read_cataract_101,
    ),
}
