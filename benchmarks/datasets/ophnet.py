"""OphNet2024's folder layout as a clip source; OphSim is written in the same layout and read here.

    <root>/*_loca_challenge_phase.csv, *_loca_challenge.csv       (or in <root>/annotation/)
    <root>/videos/<video_id>.mp4                                  untrimmed, cut by time (preferred)
    <root>/videos/<video_id>/<video_id>_<k>.mp4                   trimmed clips

Videos may also lie in `<root>` itself, in the untrimmed archive's folder `<root>/*_all` or in the
trimmed archive's folder `<root>/*_trimmed_<task>`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import exca
import pydantic

from benchmarks.datasets.label_times import check_labels
from benchmarks.datasets.ophnet_csv import (
    NUM_CLASSES,
    SPLITS,
    Segment,
    find_annotation,
    read_segments,
)
from core.clip import MANIFEST_NAME, Clip, Manifest, Task
from core.errors import UserError
from core.files import path_inside, remembered_sha256_of_files
from core.runtime import Runtime
from core.stage import ClipSource, Stage

MAX_NAMED = 5  # names shown in a message; the result lists all of them


@dataclass(frozen=True)
class Listing:
    """What a folder holds: its annotation file, the clips with a file and their lines in it, the
    videos that lack one."""

    annotation: Path
    clips: tuple[Clip, ...]
    lines: tuple[int, ...]
    incomplete_videos: tuple[str, ...]
    num_videos: int
    num_segments: int

    def files(self, root: Path) -> list[Path]:
        """Every file that the clips come from: the annotation file and the videos."""
        return [self.annotation, *(root / path for path in sorted({c.path for c in self.clips}))]


def list_clips(root: Path, task: Task, source: str, max_missing_share: float = 0.01) -> Listing:
    """Match the rows of `root`'s annotation file with the video files that are there.

    A row without a file gives no clip. Whether a file decodes is seen when it is read.
    Raises: UserError: see `read_segments`; also if no video is there, if files are missing for more
    than one video and for more than `max_missing_share` of them, or if a file is outside `root`.
    """
    annotation = find_annotation(root, task)
    segments = read_segments(annotation, task)
    of_video: defaultdict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        of_video[segment.video_id].append(segment)
    archives = sorted(root.glob("*_all")), sorted(root.glob(f"*_trimmed_{task}"))
    folders = (root / "videos", root, *archives[0], *archives[1])
    clip_of_line: dict[int, Clip] = {}
    for rows in of_video.values():
        clip_of_line |= _clips_of_video(root, folders, rows, source)
    for path in {clip.path for clip in clip_of_line.values()}:
        path_inside(root, path)  # a link to another place fails here, not hours later
    if not clip_of_line:
        raise UserError(
            f"data root {root}: none of the {len(of_video)} videos of {annotation.name} is there: "
            f"put them in {root / 'videos'}, e.g. {segments[0].video_id}.mp4"
        )
    lacking = {row.video_id: None for row in segments if row.line not in clip_of_line}
    if len(lacking) > 1 and len(lacking) > max_missing_share * len(of_video):
        raise UserError(
            f"data root {root}: {len(lacking)} of {len(of_video)} videos of {annotation.name} lack "
            f"files ({_some(lacking)}): finish the download, delete their rows for a deliberate "
            f"part, or raise max_missing_share (now {max_missing_share:g})"
        )
    lines = tuple(row.line for row in segments if row.line in clip_of_line)
    clips = tuple(clip_of_line[line] for line in lines)
    return Listing(annotation, clips, lines, tuple(lacking), len(of_video), len(segments))


def _clips_of_video(
    root: Path, folders: Sequence[Path], rows: list[Segment], source: str
) -> dict[int, Clip]:
    """Clips by line of the annotation file: cut by time if the whole video is anywhere."""
    video_id = rows[0].video_id
    for folder in folders:
        if (video := folder / f"{video_id}.mp4").is_file():
            return {row.line: _clip(root, video, row, source, trimmed=False) for row in rows}
    for folder in folders:
        if files := _trimmed_files(folder / video_id, rows):
            by_line = {row.line: row for row in rows}
            return {
                line: _clip(root, path, by_line[line], source, trimmed=True)
                for line, path in files.items()
            }
    return {}


def _trimmed_files(folder: Path, rows: list[Segment]) -> dict[int, Path]:
    """Trimmed files by line of the annotation file.

    Without the csv that names them, file k is row k only if there are as many files as rows: the
    official cutter does not count a cut that failed, which shifts all later numbers, and the
    archive of the other task has other rows. A clip with a wrong label is worse than none.
    """
    if rows[0].trimmed is not None:
        named = {row.line: folder / row.trimmed for row in rows if row.trimmed}
    else:
        named = {row.line: folder / f"{folder.name}_{row.index}.mp4" for row in rows}
        present = [path for path in folder.glob("*.mp4") if not path.name.startswith(".")]
        if len(present) != len(rows):
            return {}
    return {line: path for line, path in named.items() if path.is_file()}


def _clip(root: Path, path: Path, row: Segment, source: str, *, trimmed: bool) -> Clip:
    return Clip(
        clip_id=row.clip_id,
        video_id=row.video_id,
        path=path.relative_to(root).as_posix(),
        start_s=None if trimmed else row.start_s,
        end_s=None if trimmed else row.end_s,
        phase_id=row.phase_id,
        operation_id=row.operation_id,
        source=source,
        split=row.split,
    )


def _some(names: Iterable[object]) -> str:
    listed = [str(name) for name in names]
    shown = ", ".join(listed[:MAX_NAMED])
    return shown + (f" and {len(listed) - MAX_NAMED} more" if len(listed) > MAX_NAMED else "")


class OphNet(ClipSource):
    """Clips of a folder in OphNet2024's layout, found at `root` or written by the stage before.

    root: where the folder lies; not part of the key. content_sha256: what it holds (make both with
    `OphNet.at`). written_by: a simulator stage that writes the layout into its folder; its own key
    is then the identity. drop_others: leave out the clips of the class "Others", the last id.
    max_missing_share: videos without files that are tolerated (one always is); it decides whether
    there is a result, never which one, so it is not part of the key either.
    """

    version: ClassVar[str] = "2"  # labels are compared with the videos' lengths
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root", "max_missing_share")

    task: Task
    name: Literal["OphNet2024", "OphSim"] = "OphNet2024"
    root: Path | None = None
    content_sha256: str | None = None
    written_by: Stage | None = None
    drop_others: bool = False
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
        name: Literal["OphNet2024", "OphSim"] = "OphNet2024",
        drop_others: bool = False,
        max_missing_share: float = 0.01,
    ) -> Self:
        """The source for a folder that exists, identified by its annotation file and videos.

        The first call reads every listed video (305 GB for OphNet2024) and shows its progress; a
        later one reads new and changed files only. Args: hash_memory: JSON file of known hashes.
        Raises: UserError: see `list_clips`; nothing is read or computed before.
        """
        root = Path(root).resolve()
        files = list_clips(root, task, name, max_missing_share).files(root)
        return cls(
            task=task,
            name=name,
            root=root,
            content_sha256=remembered_sha256_of_files(root, files, hash_memory, f"hashing {name}"),
            drop_others=drop_others,
            max_missing_share=max_missing_share,
            infra=infra,
            runtime=runtime,
        )

    @property
    def num_classes(self) -> int:
        """Outputs of a classifier: 52 phases or 107 operations, one less without Others."""
        return NUM_CLASSES[self.task] - self.drop_others

    @property
    def data_root(self) -> Path:
        """The folder that clip paths are relative to."""
        if self.written_by is not None:
            return self.written_by.folder.resolve()
        assert self.root is not None  # _has_one_origin
        return self.root.resolve()

    def manifest(self) -> Manifest:
        """As `ClipSource.manifest`; data moved since the stage ran is found at its present root."""
        return super().manifest().model_copy(update={"root": self.data_root})

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the manifest; return clips, videos and classes per split, and warnings.

        Raises: UserError: see `list_clips` and `check_labels`.
        """
        if self.written_by is not None:
            self.written_by.run()
        listing = list_clips(self.data_root, self.task, self.name, self.max_missing_share)
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
            "incomplete_videos": list(listing.incomplete_videos),
            "missing_clips": listing.num_segments - len(listing.clips),
            "warnings": [*_missing_warnings(listing), *cut, *_class_warnings(self.task, classes)],
        }


def _missing_warnings(listing: Listing) -> list[str]:
    if not listing.incomplete_videos:
        return []
    missing = listing.num_segments - len(listing.clips)
    return [
        f"{len(listing.incomplete_videos)} of {listing.num_videos} videos lack files "
        f"({_some(listing.incomplete_videos)}): {missing} of {listing.num_segments} clips left out"
    ]


def _class_warnings(task: Task, classes: dict[str, list[int]]) -> list[str]:
    found = []
    for split in ("val", "test"):
        if unseen := sorted(set(classes[split]) - set(classes["train"])):
            kind = f"{task} class" + ("es" if len(unseen) > 1 else "")
            found.append(f"{split} has {kind} that train lacks: {_some(unseen)}")
    return found
