"""Reading (decord) and writing (PyAV, h264) of video files; uniform frame sampling.

Frames are uint8 RGB arrays of shape (T, H, W, 3) everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import av
import cv2
import decord
import numpy as np
from numpy.typing import NDArray

from core.errors import UnreadableVideo
from core.files import atomic_path

PRESET = "veryfast"  # x264: a third of the default's time at the same file size (288x192 clips)
FPS = 8.0  # Source: Ophora, Sec. 3.1 (clips at 8 fps); CogVideoX-2b model card
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class VideoInfo:
    """What a container says of its video stream; `duration_s` is `num_frames / fps`."""

    num_frames: int
    fps: float
    width: int
    height: int

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps


@contextmanager
def _open(path: Path | str) -> Iterator[decord.VideoReader]:
    # Opened where it is used: a decord reader hangs when it crosses a fork.
    # DECORDError is no subclass of RuntimeError; a truncated file raises it at the first read.
    path = Path(path)
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        if len(reader) == 0:
            raise UnreadableVideo(path, "it holds no frame")
        yield reader
    except (RuntimeError, IndexError, decord.DECORDError) as error:
        raise UnreadableVideo(path, _reason(path, error)) from None


def _reason(path: Path, error: Exception) -> str:
    # Asked only now: before every reading it took 5% of the time of decoding nano clips.
    if not path.is_file():
        return "no such file"
    if path.stat().st_size == 0:
        return "the file is empty"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def probe(path: Path | str) -> VideoInfo:
    """Length, rate and size of a video.  Raises: UnreadableVideo."""
    with _open(path) as reader:
        height, width = reader[0].shape[:2]
        return VideoInfo(len(reader), float(reader.get_avg_fps()), width, height)


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


def span_indices(info: VideoInfo, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    """First frame and one past the last frame of a span in seconds, clamped to the video.

    At least one frame remains, so that a label shorter than a frame, or one that ends after the
    video does, still gives a clip (both occur in OphNet2024).
    """
    first = round((start_s or 0.0) * info.fps)
    last = info.num_frames if end_s is None else round(end_s * info.fps)
    first = min(max(first, 0), info.num_frames - 1)
    return first, min(max(last, first + 1), info.num_frames)


def read_frames(
    path: Path | str,
    indices: Sequence[int] | NDArray[np.int64],
    size: tuple[int, int] | None = None,
) -> Frames:
    """Decode the frames at `indices` -> (len(indices), H, W, 3) uint8 RGB.

    Args: size: (width, height) to resize to (area interpolation), None keeps the native size.
    Raises: UnreadableVideo: if the file cannot be decoded there.
    """
    with _open(path) as reader:
        frames = _get(reader, indices)
    return frames if size is None else resize(frames, size)


def read_span(
    path: Path | str,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    short: Literal["repeat", "keep"] = "repeat",
) -> Frames:
    """Decode a span: `num_frames` uniformly sampled frames, or all of them -> (T, H, W, 3) uint8.

    short: a span with fewer frames than asked repeats some, or is returned as short as it is.
    Raises: UnreadableVideo: if the file cannot be decoded.
    """
    with _open(path) as reader:
        first, last = span_indices(_length_and_rate(reader), start_s, end_s)
        count = last - first if num_frames is None else num_frames
        if short == "keep":
            count = min(count, last - first)
        frames = _get(reader, first + uniform_indices(last - first, count))
    return frames if size is None else resize(frames, size)


def read_spans(
    path: Path | str,
    spans: Sequence[tuple[float | None, float | None]],
    num_frames: int,
) -> list[Frames]:
    """Several spans (start and end in seconds) of one file in one pass, each as `read_span` gives
    it at native size.  Raises: UnreadableVideo: if any of them cannot be decoded."""
    with _open(path) as reader:
        info = _length_and_rate(reader)
        wanted = []
        for start_s, end_s in spans:
            first, last = span_indices(info, start_s, end_s)
            wanted.append(first + uniform_indices(last - first, num_frames))
        every = np.unique(np.concatenate(wanted))
        frames = _get(reader, every)
    if len(wanted) == 1 and len(every) == len(wanted[0]):
        return [frames]
    return [frames[np.searchsorted(every, indices)] for indices in wanted]


def _length_and_rate(reader: decord.VideoReader) -> VideoInfo:
    # No frame is decoded for the size: span arithmetic needs only length and rate.
    return VideoInfo(len(reader), float(reader.get_avg_fps()), 0, 0)


def _get(reader: decord.VideoReader, indices: Sequence[int] | NDArray[np.int64]) -> Frames:
    batch = reader.get_batch(np.asarray(indices, dtype=np.int64).tolist())
    # Another library may have set decord's global bridge to torch.
    frames: Frames = batch.asnumpy() if hasattr(batch, "asnumpy") else batch.numpy()
    return frames


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


def write_video(path: Path | str, frames: Frames, fps: float = FPS, crf: int = 18) -> None:
    """Write (T, H, W, 3) uint8 RGB frames as h264 yuv420p mp4, atomically. H and W must be even.

    The same frames give the same bytes: one encoder thread, and no macroblock-tree rate control,
    whose AVX-512 code in x264 gives other bytes from call to call (files grow by about a fifth).
    Raises: ValueError: if the shape or dtype is another.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"expected (T, H, W, 3) uint8 frames, got {frames.shape} {frames.dtype}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"h264 yuv420p needs an even size, got {width}x{height}")
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": PRESET, "threads": "1", "mbtree": "0"}
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
