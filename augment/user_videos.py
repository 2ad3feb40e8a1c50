"""A user's own labelled videos as an augmentation source.

    DIR/<class id or class name>/*.mp4          a folder a class, or
    DIR/<any name>.csv                          columns path,label; paths relative to DIR

A label is a class id or a class name. Names are compared by their letters and digits alone, in any
case, so "Anterior Chamber Injection/Washing" can be a folder "anterior_chamber_injection_washing".
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Self

import exca
import pydantic

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.files import path_inside, read_table, remembered_sha256_of_files
from core.progress import track
from core.runtime import Runtime, map_unordered
from core.stage import ClipSource
from core.video import probe

ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
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


def list_videos(root: Path, class_names: tuple[str, ...]) -> dict[str, int]:
    """Class id by path (relative to `root`), sorted by path; from the csv if there is one.

    Raises: UserError: folder missing, unknown class, no video at all, a video outside any class
    folder, several csv files; in a csv: missing column, missing file, file outside `root`, file
    listed twice.
    """
    if not root.is_dir():
        raise UserError(f"user videos {root}: no such folder: give one with a folder a class")
    tables = [path for path in _visible(root) if path.suffix.lower() == ".csv"]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise UserError(f"user videos {root}: several csv files ({names}): keep one")
    labels = (
        _from_table(root, tables[0], class_names) if tables else _from_folders(root, class_names)
    )
    if not labels:
        raise UserError(
            f"user videos {root}: no video in it: put {', '.join(ENDINGS)} files into a folder a "
            "class, or list them in a csv with columns path,label"
        )
    return dict(sorted(labels.items()))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _from_folders(root: Path, class_names: tuple[str, ...]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for entry in _visible(root):
        if entry.is_file() and entry.suffix.lower() in ENDINGS:
            raise UserError(
                f"user videos {root}: {entry.name} has no class: move it into a folder named after "
                "its class, or list all videos in a csv with columns path,label"
            )
        if entry.is_dir():
            label = class_id(entry.name, class_names, f"user videos {root}, folder")
            for video in _visible(entry):
                if video.is_file() and video.suffix.lower() in ENDINGS:
                    labels[video.relative_to(root).as_posix()] = label
    return labels


def _from_table(root: Path, table: Path, class_names: tuple[str, ...]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for line, cells in read_table(table, ("path", "label")):
        where = f"{table}, line {line}"
        video = path_inside(root, cells["path"])
        if not video.is_file():
            raise UserError(f"{where}, path {cells['path']!r}: no such file below {root}")
        path = video.relative_to(root.resolve()).as_posix()
        if path in labels:
            raise UserError(f"{where}, path {cells['path']!r}: listed twice: keep one row")
        labels[path] = class_id(cells["label"], class_names, f"{where}, label")
    return labels


def unreadable_reason(path: Path) -> str | None:
    """Why a video cannot be used; None if it opens whole (a truncated one does not) and decodes."""
    try:
        probe(path)
    except UnreadableVideo as error:
        return error.reason
    return None


class UserVideos(ClipSource):
    """A user's labelled videos; each file is one clip (no split: it is for training only).

    class_names: names by class id of `task`. name: as given in `--sources name=DIR`. root: where
    the folder lies; not part of the key. content_sha256: what it holds (make both with
    `UserVideos.at`), so two folders that lay at one path never share a result.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root")

    task: str
    class_names: tuple[str, ...] = pydantic.Field(min_length=1)
    name: str = pydantic.Field(min_length=1)
    root: Path
    content_sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")

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
    ) -> Self:
        """The source for a folder that exists, identified by paths and contents of its videos.

        Args: hash_memory: JSON file of known hashes.  Raises: UserError: see `list_videos`.
        """
        root = Path(root).resolve()
        files = [root / path for path in list_videos(root, class_names)]
        files += [path for path in _visible(root) if path.suffix.lower() == ".csv"]
        return cls(
            task=task,
            class_names=class_names,
            name=name,
            root=root,
            content_sha256=remembered_sha256_of_files(root, files, hash_memory, f"hashing {name}"),
            infra=infra,
            runtime=runtime,
        )

    def manifest(self) -> Manifest:
        """As `ClipSource.manifest`; data moved since the stage ran is found at its present root."""
        return super().manifest().model_copy(update={"root": self.root.resolve()})

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the manifest of readable videos; return counts, skipped files and warnings.

        Raises: UserError: if no video is readable, or see `list_videos`.
        """
        root = self.root.resolve()
        labels = list_videos(root, self.class_names)
        reasons = self._check([root / path for path in labels])
        skipped = {path: reason for path in labels if (reason := reasons[root / path])}
        if len(skipped) == len(labels):
            path, reason = next(iter(skipped.items()))
            raise UserError(
                f"{self.name}={root}: none of the {len(labels)} videos is readable (first: {path}: "
                f"{reason}): re-encode them as h264 mp4"
            )
        clips = [self._clip(path, label) for path, label in labels.items() if path not in skipped]
        Manifest(root=root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        counts = Counter(clip.label(self.task) for clip in clips)
        return {
            "data": self.name,
            "task": self.task,
            "clips": len(clips),
            "per_class": {str(label): counts[label] for label in sorted(counts)},
            "skipped": skipped,
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
