"""Reading of video files by presentation time, writing of h264, uniform frame sampling.

Frames are uint8 RGB arrays of shape (T, H, W, 3) everywhere. Reading happens in a process of its
own (`core/decoding.py`), so that a file on which native code hangs is an unreadable one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from core.decoding import Frames as Frames
from core.decoding import resize as resize
from core.errors import UnreadableVideo
from core.files import atomic_path
from core.isolated import Isolated, NoAnswer
from core.timeline import Timeline

PRESET = "veryfast"  # x264: a third of the default's time at the same file size (288x192 clips)
FPS = 8.0  # Source: Ophora, Sec. 3.1 (clips at 8 fps); CogVideoX-2b model card

_DECODER = Isolated("core.decoding")
# Files that brought the decoder down, with size and time: they are not tried again.
_DEADLY: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True)
class VideoInfo:
    """When the pictures of a video are shown, and their size in pixels."""

    timeline: Timeline
    width: int
    height: int

    @property
    def num_frames(self) -> int:
        """Pictures that are shown."""
        return self.timeline.num_frames

    @property
    def fps(self) -> float:
        """Pictures a second, on average."""
        return self.timeline.fps

    @property
    def duration_s(self) -> float:
        """From the first picture to the end of the last one."""
        return self.timeline.duration_s


def probe(path: Path | str) -> VideoInfo:
    """Times and size of a video's pictures, the first of which is decoded.

    Raises: UnreadableVideo: also if the file is cut short.
    """
    return VideoInfo(*_decode("look", path))


def timeline_of(path: Path | str) -> Timeline:
    """When each picture of a video is shown.  Raises: UnreadableVideo."""
    timeline: Timeline = _decode("timeline", path)
    return timeline


def end_of(path: Path | str) -> float:
    """Seconds at which the last picture of a video disappears; reads only the end of the file.

    Raises: UnreadableVideo.
    """
    return float(_decode("end_s", path))


def _decode(function: str, path: Path | str, *arguments: Any) -> Any:
    """Call a function of `core.decoding` where a hang or a crash harms nothing else."""
    path = Path(path).absolute()  # the decoder's working folder may be another
    state = path.stat() if path.is_file() else None
    key = (str(path), state.st_size, state.st_mtime_ns) if state else (str(path), 0, 0)
    if key in _DEADLY:
        raise UnreadableVideo(path, _DEADLY[key])
    try:
        return _DECODER.call(function, path, *arguments)
    except NoAnswer as error:
        _DEADLY[key] = str(error)
        raise UnreadableVideo(path, str(error)) from None


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


def iterate_frames(
    path: Path | str,
    indices: Sequence[int] | NDArray[np.int64],
    size: tuple[int, int] | None = None,
) -> Iterator[Frames]:
    """Decode the frames at `indices`, which rise, one by one -> (H, W, 3) uint8 RGB each.

    A few are decoded ahead, about 30 MB of them.
    Args: size: (width, height) to resize to (area interpolation), None keeps the native size.
    Raises: UnreadableVideo: if the file cannot be decoded there.
    """
    left = np.asarray(indices, dtype=np.int64).tolist()
    while left:
        run: Frames = _decode("frames", path, left, size)
        yield from run
        left = left[len(run) :]


def read_frames(
    path: Path | str,
    indices: Sequence[int] | NDArray[np.int64],
    size: tuple[int, int] | None = None,
) -> Frames:
    """Decode the frames at `indices`, in any order -> (len(indices), H, W, 3) uint8 RGB.

    Args: size: (width, height) to resize to (area interpolation), None keeps the native size.
    Raises: UnreadableVideo: if the file cannot be decoded there.
    """
    indices = np.asarray(indices, dtype=np.int64)
    wanted = np.unique(indices)
    frames: Frames | None = None
    for number, frame in enumerate(iterate_frames(path, wanted, size)):
        if frames is None:
            frames = np.empty((len(wanted), *frame.shape), np.uint8)
        frames[number] = frame
    assert frames is not None, "no index given"
    return frames if np.array_equal(wanted, indices) else frames[np.searchsorted(wanted, indices)]


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
    Raises: UnreadableVideo: if the file cannot be decoded; OutsideVideo: see `Timeline.span`.
    """
    first, last = timeline_of(path).span(start_s, end_s)
    count = last - first if num_frames is None else num_frames
    if short == "keep":
        count = min(count, last - first)
    return read_frames(path, first + uniform_indices(last - first, count), size)


def read_spans(
    path: Path | str,
    spans: Sequence[tuple[float | None, float | None]],
    num_frames: int,
    size: tuple[int, int] | None = None,
) -> list[Frames]:
    """Several spans (start and end in seconds) of one file in one pass, each as `read_span` gives
    it.  Raises: as `read_span`, for any of them."""
    timeline = timeline_of(path)
    wanted = []
    for start_s, end_s in spans:
        first, last = timeline.span(start_s, end_s)
        wanted.append(first + uniform_indices(last - first, num_frames))
    every = np.unique(np.concatenate(wanted))
    frames = read_frames(path, every, size)
    return [frames[np.searchsorted(every, indices)] for indices in wanted]


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
