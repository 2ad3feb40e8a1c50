"""Clips without captions or labels, of a folder of videos or of folders of frames.

    DIR/**/*.mp4                       a recording each; any ending of `core.folders.VIDEO_ENDINGS`
    DIR/**/<name>/000000.jpg ...       a folder a recording, its frames numbered without a gap

Either whole, a clip each, or cut into clips of so many frames:

    recording -> every `interval`-th frame -> cropped around the middle -> resized -> mp4
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import exca
import numpy as np
import pydantic
from PIL import Image

from benchmarks.datasets.recordings import Recording, Recordings, list_recordings
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.files import remembered_sha256_of_files
from core.left_out import counted, note_left_out
from core.progress import track
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import Frames, iterate_frames, probe, resize, timeline_of, write_video
from core.workers import map_unordered
from generator.base import ClipShape
from generator.curation.decisions import assign_splits

CLIPS_NAME = "clips"
RECORDINGS_A_WORKER = 50  # starting a worker takes as long as cutting about that many short ones


class Cut(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How recordings become clips.

    Source: Endora's released code has 16 frames of 128x128, every third frame, from any start; ours
    begin every `stride` frames, so that a clip can be made again alone.
    """

    shape: ClipShape
    interval: int = pydantic.Field(ge=1)
    stride: int = pydantic.Field(ge=1)

    @property
    def span(self) -> int:
        """Frames of the recording from a clip's first one to its last one, both counted."""
        return (self.shape.num_frames - 1) * self.interval + 1

    def starts(self, num_frames: int) -> range:
        """Where the clips of a recording of so many frames begin."""
        return range(0, num_frames - self.span + 1, self.stride)


class Footage(ClipStage):
    """The clips of a folder.

    name: in manifests and tables; cut: None takes each recording whole, as one clip without a
    split; else recordings are train or val by a hash of their names. root: where the folder lies;
    not part of the key. content_sha256: what it holds (make both with `Footage.at`).
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root")

    name: str = pydantic.Field(min_length=1)
    root: Path
    content_sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    cut: Cut | None = None

    @classmethod
    def at(
        cls,
        root: Path,
        *,
        name: str,
        hash_memory: Path,
        infra: exca.TaskInfra | dict[str, Any],
        runtime: Runtime,
        cut: Cut | None = None,
        read: bool = True,
    ) -> Self:
        """The source for a folder that exists, identified by paths and contents.

        Args: hash_memory: JSON file of known hashes; read: as in `remembered_sha256_of_files`.
        Raises: UserError: see `list_recordings`.
        """
        root = Path(root).resolve()
        files, description = list_recordings(root).files, f"hashing {name}"
        return cls(
            name=name,
            root=root,
            content_sha256=remembered_sha256_of_files(
                root, files, hash_memory, description, read=read
            ),
            cut=cut,
            infra=infra,
            runtime=runtime,
        )

    def recordings(self) -> Recordings:
        """What the folder holds.  Raises: UserError: see `list_recordings`."""
        return list_recordings(self.root.resolve())

    def manifest(self) -> Manifest:
        """As `ClipStage.manifest`; videos moved since the stage ran are found at their present
        root."""
        found = super().manifest()
        of_videos = all(clip.path == clip.video_id for clip in found.clips)
        return found.model_copy(update={"root": self.root.resolve()}) if of_videos else found

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write the clips that are not there yet and list all.

        Raises: UserError: if no recording is long enough for a clip, or more than one and more than
        1% cannot be read.
        """
        found = self.recordings()
        made: dict[str, tuple[Clip, ...]] = {}
        unreadable: dict[str, str] = {}
        make = partial(_clips_of, self.name, self.cut, folder / CLIPS_NAME)
        description, total = f"cutting {self.name}", len(found.recordings)
        workers = min(self.runtime.workers, 1 + total // RECORDINGS_A_WORKER)
        running = map_unordered(make, found.recordings, workers=workers)
        for recording, clips in track(
            running, total=total, description=description, unit="recordings"
        ):
            if isinstance(clips, UnreadableVideo):
                unreadable[recording.name] = clips.reason
            else:
                made[recording.name] = clips
        left_out = note_left_out(**found.loss(unreadable))
        short = [name for name in sorted(made) if not made[name]]
        if self.cut is not None and len(short) == len(made):
            raise UserError(
                f"{self.root}: none of {len(made)} recordings has the {self.cut.span} frames that "
                f"a clip of {self.cut.shape.num_frames} needs: lower footage.interval (now "
                f"{self.cut.interval}) or the clip's num_frames"
            )
        clips_in_order = [clip for name in sorted(made) for clip in made[name]]
        whole = self.cut is None
        kept = clips_in_order if whole else assign_splits(clips_in_order)
        of_videos = whole and found.recordings[0].is_video
        root = self.root.resolve() if of_videos else folder / CLIPS_NAME
        Manifest(root=root, clips=tuple(kept)).save(folder / MANIFEST_NAME)
        return {
            "data": self.name,
            "recordings": len(made),
            "clips": len(kept),
            "left_out": left_out | counted({"too short for a clip": short}),
        }

    def cost(self) -> str:
        if self.cut is None:
            return "a clip each"
        return f"clips of {self.cut.shape}, every frame number {self.cut.interval}"


def _clips_of(
    source: str, cut: Cut | None, folder: Path, recording: Recording
) -> tuple[Clip, ...] | UnreadableVideo:
    """The clips of a recording, written below `folder` unless they are there; the error of one that
    cannot be read."""
    try:
        if cut is not None:
            return tuple(_cut(source, cut, folder, recording))
        return (_whole(source, folder, recording),)
    except UnreadableVideo as error:
        return error


def _cut(source: str, cut: Cut, folder: Path, recording: Recording) -> Iterator[Clip]:
    """Raises: UnreadableVideo."""
    starts = cut.starts(_length(recording))
    paths = {start: f"{recording.key}_{start:06d}.mp4" for start in starts}
    todo = [start for start in starts if not (folder / paths[start]).is_file()]
    for start, frames in _windows(recording, cut, todo):
        write_video(folder / paths[start], frames)
    for path in paths.values():
        yield _clip(source, recording, path, Path(path).stem)


def _windows(recording: Recording, cut: Cut, starts: Iterable[int]) -> Iterator[tuple[int, Frames]]:
    """(start, (T, H, W, 3) uint8) of each clip, in one pass over the recording."""
    pending = deque(starts)
    offsets = range(0, cut.span, cut.interval)
    wanted = sorted({start + offset for start in pending for offset in offsets})
    kept: dict[int, Frames] = {}
    for index, frame in zip(wanted, _read(recording, wanted), strict=True):
        kept[index] = _fitted(frame, cut.shape)
        if index == pending[0] + offsets[-1]:
            start = pending.popleft()
            yield start, np.stack([kept[start + offset] for offset in offsets])
            for old in [each for each in kept if pending and each < pending[0]]:
                del kept[old]


def _fitted(frame: Frames, shape: ClipShape) -> Frames:
    """(H, W, 3) -> (shape.height, shape.width, 3): cropped around the middle, then resized."""
    height, width = frame.shape[:2]
    rows = min(height, round(width * shape.height / shape.width))
    columns = min(width, round(height * shape.width / shape.height))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = np.ascontiguousarray(frame[top : top + rows, left : left + columns])
    fitted: Frames = resize(middle[None], (shape.width, shape.height))[0]
    return fitted


def _whole(source: str, folder: Path, recording: Recording) -> Clip:
    """Raises: UnreadableVideo."""
    if recording.is_video:
        probe(recording.files[0])
        return _clip(source, recording, recording.name, recording.key)
    path = f"{recording.key}.mp4"
    if not (folder / path).is_file():
        frames = list(_read(recording, range(len(recording.files))))
        sizes = {frame.shape for frame in frames}
        if len(sizes) > 1:
            raise UnreadableVideo(recording.files[0], "frames of several sizes")
        height, width = (side // 2 * 2 for side in frames[0].shape[:2])  # h264 wants even ones
        write_video(folder / path, np.stack(frames)[:, :height, :width])
    return _clip(source, recording, path, recording.key)


def _clip(source: str, recording: Recording, path: str, clip_id: str) -> Clip:
    return Clip(clip_id=clip_id, video_id=recording.name, path=path, source=source)


def _length(recording: Recording) -> int:
    if recording.is_video:
        return timeline_of(recording.files[0]).num_frames
    return len(recording.files)


def _read(recording: Recording, indices: Iterable[int]) -> Iterator[Frames]:
    """(H, W, 3) uint8 each.  Raises: UnreadableVideo."""
    if recording.is_video:
        yield from iterate_frames(recording.files[0], list(indices))
        return
    for index in indices:
        path = recording.files[index]
        try:
            with Image.open(path) as image:
                yield np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:  # PIL's, of damaged files
            raise UnreadableVideo(path, f"no image: {error}") from None
