"""Cataract-1K and Cataract-101 as labelled clips: a clip a phase, cut by time."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Self

import exca
import pydantic

from benchmarks.datasets.cataract.published import (
    FORMS,
    SPLITS_NAME,
    FormName,
    Span,
    lasting,
    splits_of,
)
from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.label_times import check_labels
from benchmarks.datasets.labels import Taxonomy, default_taxonomy, plain
from benchmarks.datasets.said import class_warnings, missing_warnings
from benchmarks.datasets.taxonomy import SPLITS, Task
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.files import remembered_sha256_of_files
from core.folders import Videos
from core.left_out import check_left_out, note_left_out
from core.runtime import Runtime
from core.stage import FolderStage

FOLDERS = ("videos", "video", "")  # where videos lie, below the root


class CataractPhases(FolderStage, LabelledClips):
    """Phases of a folder in one of the published forms (`published.FORMS`).

    classes: the names that each class has in annotations, by id.
    """

    form: FormName
    classes: tuple[tuple[str, ...], ...] = pydantic.Field(min_length=1)

    @classmethod
    def at(
        cls,
        form: FormName,
        root: Path,
        *,
        task: Task,
        hash_memory: Path,
        infra: exca.TaskInfra | dict[str, Any],
        runtime: Runtime,
        taxonomy: Taxonomy | None = None,
        read: bool = True,
    ) -> Self:
        """The source for a folder that exists, identified by its csv files and videos.

        Args: as of `OphNet.at`.
        Raises: UserError: for a task other than phase, a label that is no class of the taxonomy, or
        see `published`; nothing is computed before.
        """
        taxonomy, root = taxonomy or default_taxonomy(), Path(root).resolve()
        known = FORMS[form]
        if task != "phase":
            raise UserError(f"--data-root {root}: {known.name} has phases only: set tasks=[phase]")
        given, tables = known.read(root)
        spans, _ = lasting(given)
        _check_labels(spans, taxonomy, known.taxonomy)
        splits_of(root, [span.video_id for span in spans])
        found = find_videos(root, spans)
        check_left_out(**_loss(root, spans, found))
        of_splits = [root / SPLITS_NAME] if (root / SPLITS_NAME).is_file() else []
        files = [*tables, *of_splits, *found.values()]
        name = known.name
        return cls(
            task=task,
            name=name,
            form=form,
            classes=tuple((each.name, *each.also) for each in taxonomy.classes["phase"]),
            root=root,
            content_sha256=remembered_sha256_of_files(
                root, files, hash_memory, f"hashing {name}", read=read
            ),
            infra=infra,
            runtime=runtime,
        )

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the manifest; return clips, videos and classes per split, and warnings."""
        root = self.root.resolve()
        spans, empty = lasting(FORMS[self.form].read(root)[0])
        found, splits = find_videos(root, spans), splits_of(root, [s.video_id for s in spans])
        class_of = {
            plain(name): label for label, names in enumerate(self.classes) for name in names
        }
        clips = {
            span: Clip(
                clip_id=span.clip_id,
                video_id=span.video_id,
                path=found[span.video_id].relative_to(root).as_posix(),
                start_s=span.start_s,
                end_s=span.end_s,
                labels={self.task: class_of[plain(span.label)]},
                source=self.name,
                split=splits[span.video_id],
            )
            for span in spans
            if span.video_id in found
        }
        of_file: defaultdict[Path, dict[int, Clip]] = defaultdict(dict)
        for span, clip in clips.items():
            of_file[span.annotation][span.line] = clip
        workers = self.runtime.workers
        cut = [t for path, each in of_file.items() for t in check_labels(path, each, root, workers)]
        Manifest(root=root, clips=tuple(clips.values())).save(folder / MANIFEST_NAME)
        of_split = {split: [c for c in clips.values() if c.split == split] for split in SPLITS}
        seen = {s: sorted({c.label(self.task) for c in each}) for s, each in of_split.items()}
        lost = Counter(span.video_id for span in spans if span.video_id not in found)
        videos = {span.video_id for span in spans}
        return {
            "data": self.name,
            "task": self.task,
            "num_classes": len(self.classes),
            "clips": {split: len(each) for split, each in of_split.items()},
            "videos": {s: len({c.video_id for c in each}) for s, each in of_split.items()},
            "classes": seen,
            "missing_clips": sum(lost.values()),
            "left_out": note_left_out(**_loss(root, spans, found)),
            "warnings": [
                *missing_warnings(lost, len(videos), len(spans)),
                *empty,
                *cut,
                *class_warnings(self.task, seen),
            ],
        }


def find_videos(root: Path, spans: list[Span]) -> dict[str, Path]:
    """The files of the cases that have one, by video id.  Raises: UserError: if none has."""
    videos, found = Videos(), {}
    for span in spans:
        folders = (*(root / name for name in FOLDERS), span.annotation.parent)
        files = (videos.named(folder, span.video_id) for folder in folders)
        if span.video_id not in found and (file := next(filter(None, files), None)) is not None:
            found[span.video_id] = file
    if not found:
        example = f", e.g. videos/{spans[0].video_id}.mp4" if spans else ": the csv has no rows"
        raise UserError(f"--data-root {root}: none of its cases' videos is there{example}")
    return found


def _loss(root: Path, spans: list[Span], found: dict[str, Path]) -> dict[str, Any]:
    """The arguments of `note_left_out`."""
    videos = sorted({span.video_id for span in spans})
    return {
        "causes": {"no file": [video for video in videos if video not in found]},
        "total": len(videos),
        "what": f"videos of {root}",
        "cure": "finish the download, or delete their rows for a deliberate part",
    }


def _check_labels(spans: list[Span], taxonomy: Taxonomy, wanted: str) -> None:
    for span in spans:
        if taxonomy.class_id("phase", span.label) is None:
            raise UserError(
                f"{span.where}: phase {span.label!r} is no class of the taxonomy {taxonomy.name}: "
                f"use --set taxonomy={wanted}, or name it under `also` of one of its classes"
            )
