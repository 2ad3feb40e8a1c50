"""Decode once: every clip of a source as uint8 frames at training size, in one memory-mapped file.

Decoding a 5 s clip at 480p takes about 70 ms, a nano training step on it 7 ms; so each clip is
decoded one time and all epochs, classifiers, arms and seeds read the same file.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydantic
from numpy.typing import NDArray

from core.clip import Manifest
from core.errors import UnreadableVideo, UserError
from core.files import atomic_path, read_json, write_json
from core.left_out import note_left_out
from core.progress import Progress
from core.stage import ClipStage, Stage
from core.timeline import OutsideVideo
from core.video import Frames, read_span, read_spans
from core.workers import map_unordered

FRAMES_NAME, IDS_NAME, UNREADABLE_NAME = "frames.npy", "clip_ids.json", "unreadable.json"
CLIPS_PER_CHUNK = 32  # what a kill loses, and what one worker keeps in memory
CURE = "replace them, or remove them and their labels"
CLIPS_PER_WORKER = 256  # starting a process takes as long as decoding about as many nano clips


@dataclass(frozen=True)
class FrameTable:
    """A frame cache, opened.

    frames: (N, T, H, W, 3) uint8 RGB, memory-mapped, read-only; rows: clip id -> row;
    unreadable: clip id -> reason, for the clips that have no row.
    """

    frames: NDArray[np.uint8]
    rows: dict[str, int]
    unreadable: dict[str, str]


def open_frames(folder: Path, name: str = FRAMES_NAME) -> FrameTable:
    """Open a finished frame cache's folder, or another with ids and an array `name` in it."""
    ids = read_json(folder / IDS_NAME)
    return FrameTable(
        frames=np.load(folder / name, mmap_mode="r"),
        rows={clip_id: row for row, clip_id in enumerate(ids) if clip_id is not None},
        unreadable=read_json(folder / UNREADABLE_NAME),
    )


class FrameCache(Stage):
    """Uniformly sampled frames of all clips of a source, whole frames resized to width x height.

    Leaves `frames.npy`, (N, T, height, width, 3) uint8 one row a clip of the manifest, in order;
    `clip_ids.json`, N ids, null where the clip is unreadable (its row is black); and
    `unreadable.json`, clip id -> reason.  num_frames: frames a clip; one that has fewer
    repeats some. width, height: pixels. The disk's space is reserved first; the sha256 of the rows'
    sha256 is in the result and is compared whenever a process opens the file for the first time.
    Raises: UserError: if more than one file and more than 1% of the files cannot be read, or all;
    if the disk has no room; if a clip lies outside its video.
    """

    version: ClassVar[str] = "4"  # frames are found by their presentation timestamps

    clips: ClipStage
    num_frames: int = pydantic.Field(default=8, ge=1)
    width: int = pydantic.Field(default=64, ge=8)
    height: int = pydantic.Field(default=64, ge=8)

    def table(self) -> FrameTable:
        """Run the stage if need be and open its frames.

        Raises: UserError: if the file is not the one that was written.
        """
        expected = self.run()["sha256_of_rows"]
        path = self.folder / FRAMES_NAME
        state = path.stat() if path.is_file() else None
        found = None if state is None else _sha256_of(path, state.st_size, state.st_mtime_ns)
        if found != expected:
            raise UserError(f"{path}: changed since it was written; delete its folder")
        return open_frames(self.folder)

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        if not len(manifest):
            raise UserError(f"{type(self.clips).__name__}: it yields no clip to decode")
        frames_path = folder / FRAMES_NAME
        if not frames_path.is_file():
            shape = (len(manifest), self.num_frames, self.height, self.width, 3)
            with atomic_path(frames_path) as temporary:
                _reserve(temporary, shape)
        records = folder / "chunks"  # one small file a finished chunk: what a resumed run skips
        chunks = list(_chunks(manifest, frames_path, records))
        todo = [chunk for chunk in chunks if not chunk.record.is_file()]
        left = sum(len(chunk.spans) for chunk in todo)
        workers = min(self.runtime.workers, 1 + left // CLIPS_PER_WORKER)
        done = len(manifest) - left
        with Progress("decoding clips", len(manifest), "clips", done) as progress:
            for chunk, record in map_unordered(_decode_chunk, todo, workers=workers):
                write_json(chunk.record, record)
                progress.advance(len(chunk.spans))
        return self._finish(folder, manifest, chunks)

    def _finish(self, folder: Path, manifest: Manifest, chunks: list[_Chunk]) -> dict[str, Any]:
        failures: dict[str, str] = {}
        digests: dict[str, str] = {}
        for chunk in chunks:
            record = read_json(chunk.record)
            failures |= record["unreadable"]
            digests |= record["sha256"]
        ids = [clip.clip_id for clip in manifest.clips]
        unreadable = {clip_id: failures[clip_id] for clip_id in ids if clip_id in failures}
        lost = Counter(clip.path for clip in manifest.clips if clip.clip_id in unreadable)
        reasons = {c.path: unreadable[c.clip_id] for c in manifest.clips if c.clip_id in unreadable}
        try:
            left_out = note_left_out(
                {"unreadable": [f"{p}: {reasons[p]} ({lost[p]} clips)" for p in sorted(lost)]},
                len({clip.path for clip in manifest.clips}),
                what=f"video files below {manifest.root}",
                cure=CURE,
            )
        except UserError:
            for chunk in chunks:  # read the failed ones again next time: they may be repaired
                if read_json(chunk.record)["unreadable"]:
                    chunk.record.unlink()
            raise
        rows = [None if clip_id in unreadable else clip_id for clip_id in ids]
        black = _sha256(np.zeros((self.num_frames, self.height, self.width, 3), np.uint8))
        write_json(folder / IDS_NAME, rows)
        write_json(folder / UNREADABLE_NAME, unreadable)
        shutil.rmtree(folder / "chunks")
        return {
            "clips": len(manifest) - len(unreadable),
            "unreadable": list(unreadable),
            "unreadable_files": sorted(lost),
            "left_out": left_out,
            "sha256_of_rows": _sha256_of_rows(digests.get(clip_id, black) for clip_id in ids),
        }

    def cost(self) -> str:
        return f"{self.num_frames} frames of {self.width}x{self.height} a clip, decoded once"


@lru_cache
def _sha256_of(path: Path, _size: int, _mtime_ns: int) -> str:
    """Of a file in the state that its size and time tell; once a process."""
    try:
        frames = np.load(path, mmap_mode="r")
    except (ValueError, EOFError):  # no array, or one cut short
        return ""
    return _sha256_of_rows(_sha256(row) for row in frames)


def _sha256_of_rows(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _sha256(row: NDArray[np.uint8]) -> str:
    return hashlib.sha256(row.data).hexdigest()


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Make an array file of black frames whose blocks exist on the disk: a memory-mapped file that
    has holes kills the process when the disk is full."""
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    try:
        if needed > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        frames = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        del frames
    except OSError as error:
        raise UserError(
            f"{path.parent}: {needed / 1e9:.2f} GB are needed for the frames of {shape[0]} clips, "
            f"{free / 1e9:.2f} GB are free ({error.strerror}): make room or use another disk"
        ) from None


@dataclass(frozen=True)
class _Span:
    row: int
    clip_id: str
    path: Path
    start_s: float | None
    end_s: float | None


@dataclass(frozen=True)
class _Chunk:
    spans: tuple[_Span, ...]
    frames_path: Path
    record: Path


def _chunks(manifest: Manifest, frames_path: Path, records: Path) -> Iterator[_Chunk]:
    """The clips in runs of `CLIPS_PER_CHUNK`; neighbours come from one file wherever possible."""
    spans = [
        _Span(row, clip.clip_id, manifest.path_of(clip), clip.start_s, clip.end_s)
        for row, clip in enumerate(manifest.clips)
    ]
    spans.sort(key=lambda span: (str(span.path), span.start_s or 0.0, span.row))
    for start in range(0, len(spans), CLIPS_PER_CHUNK):
        part = tuple(spans[start : start + CLIPS_PER_CHUNK])
        yield _Chunk(part, frames_path, records / f"{start // CLIPS_PER_CHUNK:06d}.json")


def _decode_chunk(chunk: _Chunk) -> dict[str, dict[str, str]]:
    """Write the rows of a chunk; return the unreadable clips' ids and reasons and the others' ids
    and sha256."""
    frames = np.lib.format.open_memmap(chunk.frames_path, mode="r")
    _, num_frames, height, width, _ = frames.shape
    failures: dict[str, str] = {}
    written: dict[str, Future[str]] = {}
    # Written as a file: through the memory map, every page would cost a fault.
    with (
        chunk.frames_path.open("r+b", buffering=0) as file,
        ThreadPoolExecutor(max_workers=1) as writer,  # writes while the next file is decoded
    ):
        for path, group in groupby(chunk.spans, key=lambda span: span.path):
            for span, clip in _read_file(path, list(group), num_frames, (width, height)):
                if isinstance(clip, UnreadableVideo):
                    failures[span.clip_id] = clip.reason
                else:
                    place = frames.offset + span.row * frames[0].nbytes
                    written[span.clip_id] = writer.submit(_write_row, file, place, clip)
    digests = {clip_id: row.result() for clip_id, row in written.items()}
    return {"unreadable": failures, "sha256": digests}


def _write_row(file: FileIO, place: int, row: Frames) -> str:
    """Write a clip at a place in bytes; return its sha256."""
    if os.pwrite(file.fileno(), row.data, place) != row.nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.name))
    return _sha256(row)


def _read_file(
    path: Path, spans: list[_Span], num_frames: int, size: tuple[int, int]
) -> Iterator[tuple[_Span, Frames | UnreadableVideo]]:
    """Frames of several spans of one file in one pass -> (T, size[1], size[0], 3) uint8 each."""
    try:
        clips = read_spans(path, [(s.start_s, s.end_s) for s in spans], num_frames, size)
    except (UnreadableVideo, OutsideVideo):
        # A damaged file may still hold some of the clips; of those outside it, one is named.
        for span in spans:
            yield span, _read_alone(span, num_frames, size)
        return
    yield from zip(spans, clips, strict=True)


def _read_alone(span: _Span, num_frames: int, size: tuple[int, int]) -> Frames | UnreadableVideo:
    try:
        return read_span(
            span.path, start_s=span.start_s, end_s=span.end_s, num_frames=num_frames, size=size
        )
    except UnreadableVideo as error:
        return error
    except OutsideVideo as error:
        raise UserError(f"clip {span.clip_id!r}: {error}") from None
