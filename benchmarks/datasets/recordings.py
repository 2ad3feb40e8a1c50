"""What a folder of videos, or of folders of frames, holds. No picture is decoded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.folders import files_below, is_video
from core.left_out import check_left_out

IMAGE_ENDINGS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_NUMBER = re.compile(r"(\d+)\D*$")  # the last one of a name


@dataclass(frozen=True)
class Recording:
    """name: its path below the root; files: a video, or the frames in order."""

    name: str
    files: tuple[Path, ...]

    @property
    def is_video(self) -> bool:
        """Whether it is a file, not a folder of frames."""
        return len(self.files) == 1 and is_video(self.files[0])

    @property
    def key(self) -> str:
        """Stable, unique, and free of what a name may hold."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Recordings:
    """The one list that is hashed and read.  missing: links to nothing."""

    root: Path
    recordings: tuple[Recording, ...]
    missing: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Videos or frames."""
        return [file for recording in self.recordings for file in recording.files]

    def loss(self, unreadable: Mapping[str, str]) -> dict[str, Any]:
        """The arguments of `note_left_out`.  Args: unreadable: reason by recording."""
        reasons = [f"{name}: {unreadable[name]}" for name in sorted(unreadable)]
        return {
            "causes": {"unreadable": reasons, "links to nothing": self.missing},
            "total": len(self.recordings) + len(self.missing),
            "what": f"recordings of {self.root}",
            "cure": "replace them, or take them away",
        }


def list_recordings(root: Path) -> Recordings:
    """The videos of a folder, or its folders of frames, by name.

    An image beside a video is passed over.
    Raises: UserError: if there is no such folder, nothing in it, or both kinds; a folder of frames
    has a gap, a name without a number, or a number twice; more links to nothing than
    `check_left_out` accepts.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder: give one of videos, or of folders of frames")
    videos: list[Path] = []
    images: dict[Path, list[Path]] = {}
    missing: list[str] = []
    for file in files_below(root):
        if is_video(file):
            if file.is_file():
                videos.append(file)
            else:
                missing.append(file.relative_to(root).as_posix())
        elif file.suffix.lower() in IMAGE_ENDINGS:
            images.setdefault(file.parent, []).append(file)
    beside = {video.parent for video in videos}
    frames = {folder: files for folder, files in images.items() if folder not in beside}
    if videos and frames:
        raise UserError(
            f"{root}: holds videos ({videos[0].relative_to(root)}) and folders of frames "
            f"({min(frames).relative_to(root)}), which may be the same recordings: give one kind"
        )
    found = [Recording(path.relative_to(root).as_posix(), (path,)) for path in videos]
    found += [_of_frames(root, folder, files) for folder, files in frames.items()]
    if not found:
        raise UserError(f"{root}: neither a video nor a folder of frames (.jpg, .png) is in it")
    listing = Recordings(root, tuple(sorted(found, key=lambda each: each.name)), tuple(missing))
    check_left_out(**listing.loss({}))
    return listing


def _of_frames(root: Path, folder: Path, files: Sequence[Path]) -> Recording:
    """Frames in the order of their numbers, which rise by the same step.  Raises: UserError."""
    by_number: dict[int, Path] = {}
    for file in files:
        number = _NUMBER.search(file.stem)
        if number is None:
            raise UserError(f"{file}: a frame's name ends in its number: rename or remove it")
        other = by_number.setdefault(int(number[1]), file)
        if other is not file:
            raise UserError(f"{folder}: {other.name} and {file.name} have one number: keep one")
    numbers = sorted(by_number)
    step = min((after - before for before, after in pairwise(numbers)), default=1)
    for before, after in pairwise(numbers):
        if after - before != step:
            lacking = (after - before) // step - 1 or "some"
            raise UserError(
                f"{folder}: a gap: {by_number[after].name} follows {by_number[before].name} "
                f"({lacking} missing): fetch them, or begin a new folder after the gap"
            )
    name = folder.relative_to(root).as_posix()
    return Recording(name, tuple(by_number[number] for number in numbers))
