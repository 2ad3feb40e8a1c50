"""OphNet2024's folder layout as a stage of clips; OphSim is written in it and read here too.

    <root>/*_loca_challenge_phase.csv, *_loca_challenge.csv       (or in <root>/annotation/)
    <root>/videos/<video_id>.mp4                                  untrimmed, cut by time (preferred)
    <root>/videos/<video_id>/<video_id>_<k>.mp4                   trimmed clips

Instead of mp4, any ending of `core.folders.VIDEO_ENDINGS`. Videos may also lie in `<root>` itself,
in the untrimmed archive's folder `<root>/*_all` or in the trimmed archive's folder
`<root>/*_trimmed_<task>`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import exca
import pydantic

from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.label_times import check_labels
from benchmarks.datasets.labels import Taxonomy, default_taxonomy
from benchmarks.datasets.ophnet_csv import (
    SPLITS,
    Segment,
    data_name,
    find_annotation,
    read_segments,
)
from benchmarks.datasets.said import class_warnings, missing_warnings
from benchmarks.datasets.taxonomy import NUM_CLASSES, Task
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.files import remembered_sha256_of_files
from core.folders import Videos
from core.left_out import check_left_out, note_left_out
from core.runtime import Runtime
from core.stage import Stage


@dataclass(frozen=True)
class Listing:
    """What a folder holds, the one list that is hashed and read.

    clips: those with a file; lines: theirs in the annotation; incomplete: how many clips lack a
    file, by video.
    """

    annotation: Path
    clips: tuple[Clip, ...]
    lines: tuple[int, ...]
    incomplete: dict[str, int]
    num_videos: int
    num_segments: int

    def files(self, root: Path) -> list[Path]:
        """Every file that the clips come from: the annotation file and the videos."""
        return [self.annotation, *(root / path for path in sorted({c.path for c in self.clips}))]

    def loss(self, root: Path, max_missing_share: float) -> dict[str, Any]:
        """The arguments of `note_left_out`."""
        return {
            "causes": {"no file": [f"{v} ({n} clips)" for v, n in self.incomplete.items()]},
            "total": self.num_videos,
            "what": f"videos of {root / self.annotation.name}",
            "cure": "finish the download, delete their rows for a deliberate part, or raise "
            f"max_missing_share (now {max_missing_share:g})",
            "share": max_missing_share,
        }


def list_clips(
    root: Path,
    task: Task,
    source: str,
    max_missing_share: float = 0.01,
    num_classes: Mapping[Task, int] = NUM_CLASSES,
) -> Listing:
    """Match the rows of `root`'s annotation file with the video files that are there.

    A row without a file gives no clip. Whether a file decodes is seen when it is read.
    Raises: UserError: see `read_segments`; also if no video is there, if files are missing for more
    than one video and for more than `max_missing_share` of them, or if several files have the name
    of a video.
    """
    root = root.absolute()
    annotation = find_annotation(root, task)
    segments = read_segments(annotation, task, num_classes)
    of_video: defaultdict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        of_video[segment.video_id].append(segment)
    archives = sorted(root.glob("*_all")), sorted(root.glob(f"*_trimmed_{task}"))
    folders, videos = (root / "videos", root, *archives[0], *archives[1]), Videos()
    clip_of_line: dict[int, Clip] = {}
    for rows in of_video.values():
        clip_of_line |= _clips_of_video(root, folders, videos, rows, source)
    if not clip_of_line:
        raise UserError(
            f"data root {root}: none of the {len(of_video)} videos of {annotation.name} is there: "
            f"put them in {root / 'videos'}, e.g. {segments[0].video_id}.mp4"
        )
    lacking = Counter(row.video_id for row in segments if row.line not in clip_of_line)
    lines = tuple(row.line for row in segments if row.line in clip_of_line)
    clips = tuple(clip_of_line[line] for line in lines)
    listing = Listing(annotation, clips, lines, dict(lacking), len(of_video), len(segments))
    check_left_out(**listing.loss(root, max_missing_share))
    return listing


def _clips_of_video(
    root: Path, folders: Sequence[Path], videos: Videos, rows: list[Segment], source: str
) -> dict[int, Clip]:
    """Clips by line of the annotation file: cut by time if the whole video is anywhere."""
    video_id = rows[0].video_id
    for folder in folders:
        if (video := videos.named(folder, video_id)) is not None:
            return {row.line: _clip(root, video, row, source, trimmed=False) for row in rows}
    for folder in folders:
        if files := _trimmed_files(folder / video_id, videos, rows):
            by_line = {row.line: row for row in rows}
            return {
                line: _clip(root, path, by_line[line], source, trimmed=True)
                for line, path in files.items()
            }
    return {}


def _trimmed_files(folder: Path, videos: Videos, rows: list[Segment]) -> dict[int, Path]:
    """Trimmed files by line of the annotation file.

    Without the csv that names them, file k is row k only if there are as many files as rows: the
    official cutter does not count a cut that failed, which shifts all later numbers, and the
    archive of the other task has other rows. A clip with a wrong label is worse than none.
    """
    if rows[0].trimmed is not None:
        given = {row.line: folder / row.trimmed for row in rows if row.trimmed}
        return {line: path for line, path in given.items() if path.is_file()}
    if videos.count(folder) != len(rows):
        return {}
    found = {row.line: videos.named(folder, f"{folder.name}_{row.index}") for row in rows}
    return {line: path for line, path in found.items() if path is not None}


def _clip(root: Path, path: Path, row: Segment, source: str, *, trimmed: bool) -> Clip:
    return Clip(
        clip_id=row.clip_id,
        video_id=row.video_id,
        path=path.relative_to(root).as_posix(),
        start_s=None if trimmed else row.start_s,
        end_s=None if trimmed else row.end_s,
        labels=row.labels,
        source=source,
        split=row.split,
    )


class OphNet(LabelledClips):
    """Clips of a folder in OphNet2024's layout, found at `root` or written by the stage before.

    name: the data set's, in manifests and tables (from a folder: `ophnet_csv.data_name`).
    root: where the folder lies; not part of the key. content_sha256: what it holds (make both with
    `OphNet.at`). written_by: a simulator stage that writes the layout into its folder; its own key
    is then the identity. drop_others: leave out the clips of the class "Others", the last id.
    num_phases, num_operations: classes of the taxonomy; ids beyond them are refused.
    max_missing_share: videos without files that are tolerated (one always is); it decides whether
    there is a result, never which one, so it is not part of the key either.
    """

    version: ClassVar[str] = "2"  # what is left out is in the result; labels end with the video
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root", "max_missing_share")

    task: Task
    name: str = pydantic.Field(default="OphNet2024", min_length=1)
    root: Path | None = None
    content_sha256: str | None = None
    written_by: Stage | None = None
    drop_others: bool = False
    num_phases: int = pydantic.Field(default=NUM_CLASSES["phase"], ge=1)
    num_operations: int = pydantic.Field(default=NUM_CLASSES["operation"], ge=0)
    max_missing_share: float = pydantic.Field(default=0.01, ge=0, le=1)

    @pydantic.model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        from_folder = self.root is not None and self.content_sha256 is not None
        from_stage = self.root is None and self.content_sha256 is None
        if not (from_stage if self.written_by else from_folder):
            raise ValueError("give either root and content_sha256 (OphNet.at), or written_by")
        return self

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
        drop_others: bool = False,
        max_missing_share: float = 0.01,
        read: bool = True,
    ) -> Self:
        """The source for a folder that exists, identified by its annotation file and videos.

        The first call reads every listed video (305 GB for OphNet2024) and shows its progress; a
        later one reads new and changed files only.
        Args: hash_memory: JSON file of known hashes; taxonomy: of the labels, None for
        OphNet2024's; read: as in `remembered_sha256_of_files`.
        Raises: UserError: see `list_clips`; nothing is read or computed before.
        """
        root = Path(root).resolve()
        name = data_name(find_annotation(root, task))
        sizes = {
            each: len(found) for each, found in (taxonomy or default_taxonomy()).classes.items()
        }
        files = list_clips(root, task, name, max_missing_share, sizes).files(root)
        description = f"hashing {name}"
        return cls(
            task=task,
            name=name,
            root=root,
            content_sha256=remembered_sha256_of_files(
                root, files, hash_memory, description, read=read
            ),
            drop_others=drop_others,
            num_phases=sizes["phase"],
            num_operations=sizes.get("operation", 0),
            max_missing_share=max_missing_share,
            infra=infra,
            runtime=runtime,
        )

    @property
    def num_classes(self) -> int:
        """Outputs of a classifier: 52 phases or 107 operations, one less without Others."""
        return self._sizes[self.task] - self.drop_others

    @property
    def _sizes(self) -> dict[Task, int]:
        return {"phase": self.num_phases, "operation": self.num_operations}

    @property
    def data_root(self) -> Path:
        """The folder that clip paths are relative to."""
        if self.written_by is not None:
            return self.written_by.folder.resolve()
        assert self.root is not None  # _has_one_origin
        return self.root.resolve()

    def manifest(self) -> Manifest:
        """As `ClipStage.manifest`; data moved since the stage ran is found at its present root."""
        return super().manifest().model_copy(update={"root": self.data_root})

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the manifest; return clips, videos and classes per split, and warnings.

        Raises: UserError: see `list_clips` and `check_labels`.
        """
        if self.written_by is not None:
            self.written_by.run()
        share = self.max_missing_share
        listing = list_clips(self.data_root, self.task, self.name, share, self._sizes)
        clip_of_line = dict(zip(listing.lines, listing.clips, strict=True))
        workers = self.runtime.workers
        cut = check_labels(listing.annotation, clip_of_line, self.data_root, workers)
        clips = [clip for clip in listing.clips if clip.label(self.task) < self.num_classes]
        Manifest(root=self.data_root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        splits = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
        classes = {
            split: sorted({clip.label(self.task) for clip in members})
            for split, members in splits.items()
        }
        return {
            "data": self.name,
            "task": self.task,
            "num_classes": self.num_classes,
            "clips": {split: len(members) for split, members in splits.items()},
            "videos": {
                split: len({c.video_id for c in members}) for split, members in splits.items()
            },
            "classes": classes,
            "incomplete_videos": list(listing.incomplete),
            "missing_clips": listing.num_segments - len(listing.clips),
            "left_out": note_left_out(**listing.loss(self.data_root, share)),
            "warnings": [
                *missing_warnings(listing.incomplete, listing.num_videos, listing.num_segments),
                *cut,
                *class_warnings(self.task, classes),
            ],
        }
