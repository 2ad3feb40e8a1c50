"""PolypDiag: is there a polyp in a colonoscopy clip? As Endo-FM and Endora have it.

    splits/train.txt, val.txt      a line a clip: <file>,0 normal or <file>,1 abnormal
    splits/test.txt                where there is one
    videos/<file>

Without test.txt, as published, val.txt is the split "test", which both papers report, and a fifth
of train.txt by a hash of the names is "val", so that nothing is chosen on what is reported.
Source: repository med-air/Endo-FM (datasets/ucf101.py, scripts/eval_finetune_polypdiag.sh).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import exca

from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.labels import Taxonomy, default_taxonomy
from benchmarks.datasets.said import class_warnings
from benchmarks.datasets.taxonomy import SPLITS, Task
from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.errors import UserError
from core.files import path_inside, remembered_sha256_of_files
from core.left_out import check_left_out, note_left_out
from core.runtime import Runtime
from core.stage import FolderStage

NAME: Final = "PolypDiag"
LABELS: Final = 2
HELD_OUT: Final = 5  # one clip in so many of train.txt is for val. Source: our choice


@dataclass(frozen=True)
class Listed:
    """A line of a list."""

    file: str
    label: int
    split: Split


def holds(root: Path) -> bool:
    """Whether a folder is written so."""
    return all((root / "splits" / f"{name}.txt").is_file() for name in ("train", "val"))


def read_lists(root: Path) -> dict[str, Listed]:
    """Every clip by its file, in the order of the lists.

    Raises: UserError: file, line and cure, for a line of another form, another label, or a clip
    that is listed twice.
    """
    found: dict[str, Listed] = {}
    for path in _lists(root):
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
            if not line.strip():
                continue
            file, comma, label = line.rpartition(",")
            file, label, where = file.strip(), label.strip(), f"{path}, line {number}"
            if not comma or not file:
                raise UserError(f"{where}: {line!r}: expected <file>,<label>")
            if label not in map(str, range(LABELS)):
                raise UserError(f"{where}: label {label!r}: expected 0 (normal) or 1 (abnormal)")
            if file in found:
                raise UserError(f"{where}: {file} is listed twice: keep one line")
            found[file] = Listed(file, int(label), _split(root, path.stem, file))
    return found


def _lists(root: Path) -> list[Path]:
    paths = (root / "splits" / f"{name}.txt" for name in ("train", "val", "test"))
    return [path for path in paths if path.is_file()]


def _split(root: Path, name: str, file: str) -> Split:
    if (root / "splits" / "test.txt").is_file():
        return next(split for split in SPLITS if split == name)
    if name == "val":
        return "test"
    rank = int.from_bytes(hashlib.sha256(file.encode()).digest()[:8], "big")
    return "train" if rank % HELD_OUT else "val"


class PolypDiag(FolderStage, LabelledClips):
    """The clips of a folder, each a whole video."""

    @classmethod
    def at(
        cls,
        root: Path,
        *,
        task: Task,
        hash_memory: Path,
        infra: exca.TaskInfra | dict[str, Any],
        runtime: Runtime,
        taxonomy: Taxonomy | None = None,
        read: bool = True,
    ) -> Self:
        """The source for a folder that exists, identified by its lists and videos.

        Args: as of `OphNet.at`.
        Raises: UserError: for a task or taxonomy that it is not labelled for, no or too few videos,
        or see `read_lists`.
        """
        taxonomy, root = taxonomy or default_taxonomy(), Path(root).resolve()
        if task != "phase" or taxonomy.num_classes("phase") != LABELS:
            raise UserError(
                f"--data-root {root}: {NAME} has two labels: use --set taxonomy=polypdiag "
                "tasks=[phase]"
            )
        listed = read_lists(root)
        videos = find_videos(root, listed)
        check_left_out(**_loss(root, listed, videos))
        return cls(
            task=task,
            name=NAME,
            root=root,
            content_sha256=remembered_sha256_of_files(
                root, [*_lists(root), *videos.values()], hash_memory, f"hashing {NAME}", read=read
            ),
            infra=infra,
            runtime=runtime,
        )

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the manifest; return clips, videos and classes per split, and warnings."""
        root = self.root.resolve()
        listed = read_lists(root)
        videos = find_videos(root, listed)
        clips = [
            Clip(
                clip_id=Path(file).stem,
                video_id=Path(file).stem,
                path=path.relative_to(root).as_posix(),
                labels={self.task: listed[file].label},
                source=self.name,
                split=listed[file].split,
            )
            for file, path in videos.items()
        ]
        Manifest(root=root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        of_split = {split: [c for c in clips if c.split == split] for split in SPLITS}
        numbers = {split: len(each) for split, each in of_split.items()}
        seen = {s: sorted({c.label(self.task) for c in each}) for s, each in of_split.items()}
        return {
            "data": self.name,
            "task": self.task,
            "num_classes": LABELS,
            "clips": numbers,
            "videos": numbers,
            "classes": seen,
            "missing_clips": len(listed) - len(videos),
            "left_out": note_left_out(**_loss(root, listed, videos)),
            "warnings": class_warnings(self.task, seen),
        }


def find_videos(root: Path, listed: Mapping[str, Listed]) -> dict[str, Path]:
    """The files that are there, by their names in the lists.  Raises: UserError: if none is."""
    places = {file: path_inside(root, f"videos/{file}") for file in listed}
    found = {file: path for file, path in places.items() if path.is_file()}
    if not found:
        raise UserError(f"--data-root {root}: none of {len(listed)} listed clips is in videos/")
    return found


def _loss(root: Path, listed: Mapping[str, Listed], found: Mapping[str, Path]) -> dict[str, Any]:
    """The arguments of `note_left_out`."""
    return {
        "causes": {"no file": [file for file in listed if file not in found]},
        "total": len(listed),
        "what": f"clips of {root / 'splits'}",
        "cure": "finish the download, or delete their lines",
    }
