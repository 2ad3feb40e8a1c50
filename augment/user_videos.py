"""A user's own labelled videos as an augmentation source.

    DIR/<class id or class name>/**/*.mp4       a folder a class, its videos however deep, or
    DIR/<any name>.csv                          columns path,label; paths relative to DIR

Every ending of `core.folders.VIDEO_ENDINGS` is a video's. A label is a class id or a class name.
Names are compared by their letters and digits alone, in any case, so "Anterior Chamber
Injection/Washing" can be a folder "anterior_chamber_injection_washing".
"""

from __future__ import annotations

import difflib
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import exca
import pydantic

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.files import path_inside, remembered_sha256_of_files
from core.folders import files_below, is_video, visible
from core.left_out import check_left_out, note_left_out
from core.progress import track
from core.runtime import Runtime
from core.stage import FolderStage
from core.table import read_table
from core.video import probe
from core.workers import map_unordered

CURE = "re-encode or replace them, or take them away"
VIDEOS_A_WORKER = 200  # starting a worker takes as long as checking about that many short clips


def class_id(label: str, class_names: tuple[str, ...], where: str) -> int:
    """The id that a label means.  Raises: UserError: starting with `where`, if it means none."""
    ids = {_plain(name): index for index, name in enumerate(class_names)}
    assert len(ids) == len(class_names), "class names must differ in letters or digits"
    if label.isdecimal() and int(label) < len(class_names):
        return int(label)
    if _plain(label) in ids:
        return ids[_plain(label)]
    near = difflib.get_close_matches(_plain(label), ids, n=1, cutoff=0.5)
    hint = f"did you mean {class_names[ids[near[0]]]!r}? " if near else ""
    raise UserError(
        f"{where}: unknown class {label!r}: {hint}use a class name or an id "
        f"0 to {len(class_names) - 1}"
    )


def _plain(name: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


@dataclass(frozen=True)
class Listing:
    """What a folder holds: the one list that is hashed and read.

    labels: class id by path (relative to the folder), sorted by path; table: the csv that gave
    them; missing: links to nothing; others: files by ending, where it is none of a video.
    """

    root: Path
    labels: dict[str, int]
    table: Path | None = None
    missing: tuple[str, ...] = ()
    others: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """The videos and the csv."""
        return [*(self.root / path for path in self.labels), *filter(None, [self.table])]

    def loss(self, unreadable: Mapping[str, str]) -> dict[str, Any]:
        """The arguments of `note_left_out`.  Args: unreadable: reason by path."""
        reasons = [f"{path}: {reason}" for path, reason in unreadable.items()]
        return {
            "causes": {"unreadable": reasons, "links to nothing": self.missing},
            "total": len(self.labels) + len(self.missing),
            "what": f"user videos of {self.root}",
            "cure": CURE,
        }


def list_videos(root: Path, class_names: tuple[str, ...]) -> Listing:
    """The videos of a folder and their classes; from the csv if there is one.

    Raises: UserError: folder missing, unknown class, no video at all, a video outside any class
    folder, several csv files; in a csv: missing column, missing file, file outside `root`, file
    listed twice; more links to nothing than `check_left_out` accepts.
    """
    if not root.is_dir():
        raise UserError(f"user videos {root}: no such folder: give one with a folder a class")
    tables = [path for path in visible(root) if path.suffix.lower() == ".csv"]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise UserError(f"user videos {root}: several csv files ({names}): keep one")
    if tables:
        listing = Listing(root, _from_table(root, tables[0], class_names), tables[0])
    else:
        listing = _from_folders(root, class_names)
    if not listing.labels:
        raise UserError(
            f"user videos {root}: no video in it: put .mp4 or other video files into a folder a "
            f"class, or list them in a csv with columns path,label{_shown(listing.others)}"
        )
    check_left_out(**listing.loss({}))
    return listing


def _from_folders(root: Path, class_names: tuple[str, ...]) -> Listing:
    labels: dict[str, int] = {}
    missing: list[str] = []
    others: Counter[str] = Counter()
    for entry in visible(root):
        if not entry.is_dir():
            if is_video(entry):
                raise UserError(
                    f"user videos {root}: {entry.name} has no class: move it into a folder named "
                    "after its class, or list all videos in a csv with columns path,label"
                )
            continue
        label = class_id(entry.name, class_names, f"user videos {root}, folder")
        for file in files_below(entry):
            path = file.relative_to(root).as_posix()
            if not is_video(file):
                others[file.suffix.lower() or "no ending"] += 1
            elif file.is_file():
                labels[path] = label
            else:
                missing.append(path)
    return Listing(root, dict(sorted(labels.items())), None, tuple(missing), dict(others))


def _shown(others: Mapping[str, int]) -> str:
    if not others:
        return ""
    kinds = ", ".join(f"{ending} ({number})" for ending, number in sorted(others.items()))
    return f"; not taken for videos by their endings: {kinds}"


def _from_table(root: Path, table: Path, class_names: tuple[str, ...]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for line, cells in read_table(table, ("path", "label")):
        where = f"{table}, line {line}"
        video = path_inside(root, cells["path"])
        if not video.is_file():
            raise UserError(f"{where}, path {cells['path']!r}: no such file below {root}")
        path = video.relative_to(root.absolute()).as_posix()
        if path in labels:
            raise UserError(f"{where}, path {cells['path']!r}: listed twice: keep one row")
        labels[path] = class_id(cells["label"], class_names, f"{where}, label")
    return dict(sorted(labels.items()))


def unreadable_reason(path: Path) -> str | None:
    """Why a video cannot be used; None if it opens whole (a truncated one does not) and decodes."""
    try:
        probe(path)
    except UnreadableVideo as error:
        return error.reason
    return None


class UserVideos(FolderStage):
    """A user's labelled videos; each file is one clip (no split: it is for training only).

    class_names: names by class id of `task`. name: as given in `--sources name=DIR`. Two folders
    that lay at one path never share a result.
    """

    version: ClassVar[str] = "2"  # more than one unreadable video in a hundred is an error

    task: str
    class_names: tuple[str, ...] = pydantic.Field(min_length=1)
    name: str = pydantic.Field(min_length=1)

    @classmethod
    def at(
        cls,
        root: Path,
        *,
        task: str,
        class_names: tuple[str, ...],
        name: str,
        hash_memory: Path,
        infra: exca.TaskInfra | dict[str, Any],
        runtime: Runtime,
        read: bool = True,
    ) -> Self:
        """The source for a folder that exists, identified by paths and contents of its videos.

        Args: hash_memory: JSON file of known hashes; read: as in `remembered_sha256_of_files`.
        Raises: UserError: see `list_videos`.
        """
        root = Path(root).resolve()
        files, description = list_videos(root, class_names).files, f"hashing {name}"
        return cls(
            task=task,
            class_names=class_names,
            name=name,
            root=root,
            content_sha256=remembered_sha256_of_files(
                root, files, hash_memory, description, read=read
            ),
            infra=infra,
            runtime=runtime,
        )

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the manifest of readable videos; return counts, skipped files and warnings.

        Raises: UserError: if no video is readable, if more than one and more than 1% are not, or
        see `list_videos`.
        """
        root = self.root.resolve()
        listing = list_videos(root, self.class_names)
        labels = listing.labels
        reasons = self._check([root / path for path in labels])
        skipped = {path: reason for path in labels if (reason := reasons[root / path])}
        if len(skipped) == len(labels):
            path, reason = next(iter(skipped.items()))
            raise UserError(
                f"{self.name}={root}: none of the {len(labels)} videos is readable (first: {path}: "
                f"{reason}): re-encode them as h264 mp4"
            )
        left_out = note_left_out(**listing.loss(skipped))
        if listing.others:
            print(f"{self.name}={root}{_shown(listing.others)}", file=sys.stderr, flush=True)
        clips = [self._clip(path, label) for path, label in labels.items() if path not in skipped]
        Manifest(root=root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        counts = Counter(clip.label(self.task) for clip in clips)
        return {
            "data": self.name,
            "task": self.task,
            "clips": len(clips),
            "per_class": {str(label): counts[label] for label in sorted(counts)},
            "skipped": skipped,
            "left_out": left_out,
            "other_files": listing.others,
            "warnings": [f"skipped {path}: {reason}" for path, reason in skipped.items()],
        }

    def _check(self, paths: list[Path]) -> dict[Path, str | None]:
        workers = min(self.runtime.workers, 1 + len(paths) // VIDEOS_A_WORKER)
        results = map_unordered(unreadable_reason, paths, workers=workers)
        shown = track(results, total=len(paths), description=f"checking {self.name}", unit="videos")
        return dict(shown)

    def _clip(self, path: str, label: int) -> Clip:
        # A hash of the path: unique, stable, and free of what a file name may hold.
        digest = hashlib.sha256(path.encode()).hexdigest()[:16]
        identity = f"{self.name}_{label:03d}_{digest}"
        return Clip(
            clip_id=identity,
            video_id=identity,
            path=path,
            labels={self.task: label},
            source=self.name,
        )
