"""Decoding in small runs, shrunk at once; `core.video` calls this in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import UnreadableVideo
from core.isolated import alive
from core.open_video import (
    SEEKS_BY_PTS,
    OpenVideo,
    clock_start,
    is_picture,
    open_container,
    picture_stream,
)
from core.timeline import Timeline

RUN_BYTES = 1 << 25  # of pictures decoded at a stretch: a 4K one has 25 MB
Frames = NDArray[np.uint8]


def resize(frames: Frames, size: tuple[int, int]) -> Frames:
    """(T, H, W, 3) uint8 -> (T, size[1], size[0], 3) uint8; area interpolation when shrinking."""
    width, height = size
    if frames.shape[1:3] == (height, width):
        return frames
    shrinking = width * height < frames.shape[1] * frames.shape[2]
    mode = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    resized = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, target in zip(frames, resized, strict=True):
        cv2.resize(frame, size, dst=target, interpolation=mode)
    return resized


def timeline(path: Path) -> Timeline:
    """When each picture of a video is shown; no picture is decoded.  Raises: UnreadableVideo."""
    with _opened(path) as video:
        return video.timeline


def look(path: Path) -> tuple[Timeline, int, int]:
    """Timeline, width and height; the first picture is decoded.

    Raises: UnreadableVideo: also if the file is cut short.
    """
    with _opened(path) as video:
        if video.timeline.damage:
            raise UnreadableVideo(path, video.timeline.damage)
        height, width = video.picture(0).shape[:2]
        return video.timeline, width, height


def frames(path: Path, ranks: Sequence[int], size: tuple[int, int] | None) -> Frames:
    """As many of the pictures at `ranks` (rising) as make a run -> (T, H, W, 3) uint8 RGB, T >= 1.

    size: (width, height) to resize to at once.  Raises: UnreadableVideo.
    """
    with _opened(path) as video:
        run: Frames | None = None
        count = 0
        for count, rank in enumerate(ranks, start=1):
            picture = video.picture(rank)
            if size is not None:
                picture = resize(picture[None], size)[0]
            if run is None:
                most = max(1, RUN_BYTES // picture.nbytes)
                run = np.empty((min(most, len(ranks)), *picture.shape), np.uint8)
            if picture.shape != run.shape[1:]:
                raise UnreadableVideo(path, "its pictures change size")
            run[count - 1] = picture
            if count == len(run):
                break
        assert run is not None
        return run[:count]


def end_s(path: Path) -> float:
    """When the last picture of a video disappears, in seconds; most of the file is not read.

    Raises: UnreadableVideo.
    """
    with _translated(path), open_container(path) as container:
        ends = _last_ends(container, picture_stream(path, container))
        if ends:
            return max(ends) - clock_start(container)
    return timeline(path).end_s


def _last_ends(container: Any, stream: Any) -> list[float]:
    """When the pictures at the end of the file disappear; none if the file does not tell."""
    if container.duration is None or not container.format.name.startswith(SEEKS_BY_PTS):
        return []
    container.seek(container.duration + (container.start_time or 0))
    ends = []
    for packet in container.demux(stream):
        alive()
        if is_picture(packet) and not packet.is_discard:
            if packet.pts is None or not packet.duration:
                return []
            ends.append(float((packet.pts + packet.duration) * stream.time_base))
    return ends


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Errors of the library as an unreadable video."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, IndexError, MemoryError) as error:
        raise UnreadableVideo(path, _reason(path, error)) from None


def _reason(path: Path, error: Exception) -> str:
    if not path.is_file():
        return "no such file"
    if path.stat().st_size == 0:
        return "the file is empty"
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# The last video, kept open: pictures are asked for in runs, and the next run goes on in it.
_kept: tuple[tuple[object, ...], OpenVideo] | None = None


@contextmanager
def _opened(path: Path) -> Iterator[OpenVideo]:
    global _kept
    with _translated(path):
        state = os.stat(path)
        key = (path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        if _kept is None or _kept[0] != key:
            _kept = None
            _kept = key, OpenVideo(path)
        yield _kept[1]
