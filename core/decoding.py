"""Decoding in small runs, shrunk at once; `core.video` calls this in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import UnreadableVideo, UserError
from core.isolated import alive
from core.open_video import (
    SEEKS_BY_PTS,
    OpenVideo,
    clock_start,
    is_picture,
    open_container,
    picture_stream,
)
from core.readers import Decoder, open_video
from core.timeline import Timeline

RUN_BYTES = 1 << 25  # of pictures decoded at a stretch: a 4K one has 25 MB
Frames = NDArray[np.uint8]
Span = tuple[float | None, float | None]  # start and end in seconds, None: the video's own
Short = Literal["repeat", "keep"]


def resize(frames: Frames, size: tuple[int, int]) -> Frames:
    """(T, H, W, 3) uint8 -> (T, size[1], size[0], 3) uint8; area interpolation when shrinking."""
    width, height = size
    if frames.shape[1:3] == (height, width):
        return frames
    resized = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, target in zip(frames, resized, strict=True):
        _put(frame, target)
    return resized


def _put(picture: Frames, target: Frames) -> None:
    """Copy a picture (H, W, 3) into one of another size or the same."""
    if picture.shape == target.shape:
        target[:] = picture
        return
    height, width = target.shape[:2]
    mode = cv2.INTER_AREA if target.size < picture.size else cv2.INTER_LINEAR
    cv2.resize(picture, (width, height), dst=target, interpolation=mode)


@lru_cache(maxsize=4096)
def uniform_indices(num_available: int, num_frames: int) -> NDArray[np.int64]:
    """`num_frames` indices into `range(num_available)`, evenly spaced, first and last included.

    They are read-only. A clip with fewer frames than asked repeats indices.
    Raises: ValueError: if it is empty.
    Source: Ophora, Sec. 3.1 ("uniformly sampled"); rounding is our choice.
    """
    if num_available < 1 or num_frames < 1:
        raise ValueError(f"cannot sample {num_frames} of {num_available} frames")
    indices = np.linspace(0, num_available - 1, num_frames).round().astype(np.int64)
    indices.setflags(write=False)
    return indices


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
        (first,) = video.pictures([0])
        return video.timeline, first.shape[1], first.shape[0]


def spans(
    path: Path,
    wanted: Sequence[Span],
    num_frames: int | None,
    short: Short,
    size: tuple[int, int] | None,
    decoder: Decoder = "pyav",
) -> tuple[list[NDArray[np.int64]], Frames]:
    """Ranks of the pictures of each span, see `core.video.read_span`, and the first of all of them
    as `frames` gives them.

    Raises: UnreadableVideo; OutsideVideo.
    """
    with _opened(path, decoder) as video:
        ranks = []
        for start_s, end_s in wanted:
            first, last = video.timeline.span(start_s, end_s)
            count = last - first if num_frames is None else num_frames
            if short == "keep":
                count = min(count, last - first)
            ranks.append(first + uniform_indices(last - first, count))
        return ranks, frames(path, np.unique(np.concatenate(ranks)).tolist(), size, decoder)


def frames(
    path: Path,
    ranks: Sequence[int],
    size: tuple[int, int] | None,
    decoder: Decoder = "pyav",
) -> Frames:
    """As many of the pictures at `ranks` (rising) as make a run -> (T, H, W, 3) uint8 RGB, T >= 1.

    size: (width, height) to resize to at once.  Raises: UnreadableVideo.
    """
    with _opened(path, decoder) as video:
        pictures = video.pictures(ranks)
        first = next(pictures)
        width, height = size or (first.shape[1], first.shape[0])
        most = max(1, RUN_BYTES // (3 * width * height))
        run = np.empty((min(most, len(ranks)), height, width, 3), np.uint8)
        for picture, place in zip(chain([first], pictures), run, strict=False):
            if size is None and picture.shape != run.shape[1:]:
                raise UnreadableVideo(path, "its pictures change size")
            _put(picture, place)
        return run


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
    except UserError:  # a ValueError too
        raise
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
def _opened(path: Path, decoder: Decoder = "pyav") -> Iterator[OpenVideo]:
    global _kept
    with _translated(path):
        state = os.stat(path)
        key = (path, decoder, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        if _kept is None or _kept[0] != key:
            _kept = None
            _kept = key, open_video(path, decoder)
        yield _kept[1]
