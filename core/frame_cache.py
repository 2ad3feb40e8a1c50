"""Decode once: every clip of a source as uniformly sampled frames in one memory-mapped array."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from core.clip import Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.files import atomic_path, read_json, write_json
from core.progress import track
from core.runtime import map_unordered
from core.stage import ClipSource, Stage
from core.video import Frames, read_span

CHUNK_CLIPS = 64  # unit of work and of resuming: seconds of decoding, not minutes
UNREADABLE_SHARE = 0.01  # above this share (and more than one file) a data set counts as broken


@dataclass(frozen=True)
class CachedFrames:
    """Frames of all readable clips: `frames[row_of[clip_id]]` is (T, H, W, 3) uint8, and
    `clips[row]` is the clip of a row."""

    frames: Frames
    clips: tuple[Clip, ...]
    row_of: dict[str, int]


class FrameCache(Stage):
    """Frames of `clips`, resized whole to width x height (no crop), shape (N, T, H, W, 3) uint8.

    A clip with fewer frames than asked repeats indices. Unreadable files are left out, warned of
    and counted. `execute` raises UserError: if more than one file and more than 1% are unreadable.
    """

    clips: ClipSource
    num_frames: int = pydantic.Field(ge=1)
    width: int = pydantic.Field(ge=8)
    height: int = pydantic.Field(ge=8)

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        chunks = [
            manifest.clips[start : start + CHUNK_CLIPS]
            for start in range(0, len(manifest), CHUNK_CLIPS)
        ]
        files = [folder / f"chunk-{number:05d}.npz" for number in range(len(chunks))]
        todo = [
            (file, manifest.keep(chunk))
            for file, chunk in zip(files, chunks, strict=True)
            if not file.is_file()
        ]
        decode = partial(_decode_chunk, self.num_frames, (self.width, self.height))
        done = map_unordered(decode, todo, workers=self.runtime.workers)
        for _ in track(
            done,
            total=len(chunks),
            description="decode clips",
            unit=f"x{CHUNK_CLIPS} clips",
            done=len(chunks) - len(todo),
        ):
            pass
        return self._join(folder, files, manifest)

    def _join(self, folder: Path, files: list[Path], manifest: Manifest) -> dict[str, Any]:
        parts = [np.load(file) for file in files]
        unreadable = {path: why for part in parts for path, why in part["unreadable"].tolist()}
        check_unreadable(unreadable, total=len({clip.path for clip in manifest.clips}))
        rows = sum(len(part["clip_ids"]) for part in parts)
        shape = (rows, self.num_frames, self.height, self.width, 3)
        clip_ids: list[str] = []
        with atomic_path(folder / "frames.npy") as path:
            array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            for part in parts:
                ids = part["clip_ids"].tolist()
                array[len(clip_ids) : len(clip_ids) + len(ids)] = part["frames"]
                clip_ids += ids
            array.flush()
            del array
        write_json(folder / "clip_ids.json", clip_ids)
        write_json(folder / "unreadable.json", unreadable)
        for file in files:
            file.unlink()
        return {"clips": rows, "unreadable": sorted(unreadable)}

    def load(self) -> CachedFrames:
        """Decode if need be and map the frames into memory (read-only)."""
        self.run()
        by_id = {clip.clip_id: clip for clip in self.clips.manifest().clips}
        clip_ids = read_json(self.folder / "clip_ids.json")
        return CachedFrames(
            frames=np.load(self.folder / "frames.npy", mmap_mode="r"),
            clips=tuple(by_id[clip_id] for clip_id in clip_ids),
            row_of={clip_id: row for row, clip_id in enumerate(clip_ids)},
        )


def check_unreadable(unreadable: dict[str, str], total: int) -> None:
    """Warn of each unreadable file.

    Raises: UserError: if more than one of `total` files and more than 1% of them are unreadable.
    """
    for path, why in sorted(unreadable.items()):
        print(f"warning: {why}; its clips are left out", file=sys.stderr)
    if len(unreadable) > 1 and len(unreadable) > UNREADABLE_SHARE * total:
        raise UserError(
            f"{len(unreadable)} of {total} videos are unreadable (first: {min(unreadable)}): "
            "repair or remove them, then run the same command"
        )


def _decode_chunk(num_frames: int, size: tuple[int, int], work: tuple[Path, Manifest]) -> None:
    file, manifest = work
    frames, clip_ids, unreadable = [], [], {}
    for clip in manifest.clips:
        try:
            frames.append(
                read_span(
                    manifest.path_of(clip),
                    start_s=clip.start_s,
                    end_s=clip.end_s,
                    num_frames=num_frames,
                    size=size,
                )
            )
            clip_ids.append(clip.clip_id)
        except UnreadableVideo as error:
            unreadable[clip.path] = str(error)
    empty = np.empty((0, num_frames, size[1], size[0], 3), np.uint8)
    with atomic_path(file) as path:
        np.savez(
            path,
            frames=np.stack(frames) if frames else empty,
            clip_ids=np.array(clip_ids, dtype=np.str_),
            unreadable=np.array(list(unreadable.items()), dtype=np.str_).reshape(-1, 2),
        )
