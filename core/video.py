"""Reading of video files by presentation time, writing of h264, uniform frame sampling.

Frames are uint8 RGB arrays of shape (T, H, W, 3) everywhere. Reading happens in a process of its
own (`core/decoding.py`), so that a file on which native code hangs is an unreadable one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from core.decoding import Frames, Short, Span, resize, uniform_indices
from core.errors import UnreadableVideo, UserError
from core.files import atomic_path
from core.isolated import Isolated, NoAnswer
from core.readers import Decoder, chosen_decoder
from core.timeline import Timeline

__all__ = [
    "FPS",
    "Frames",
    "VideoInfo",
    "check_decoder",
    "end_of",
    "iterate_frames",
    "probe",
    "read_frames",
    "read_span",
    "read_spans",
    "resize",
    "timeline_of",
    "uniform_indices",
    "write_video",
]
PRESET = "veryfast"  # x264: a third of the default's time at the same file size (288x192 clips)
FPS = 8.0  # Source: Ophora, Sec. 3.1 (clips at 8 fps); CogVideoX-2b model card

_DECODER = Isolated("core.decoding")
# Files that brought the decoder down, with the time of their last change: not tried again.
_DEADLY: dict[tuple[Path, int], str] = {}


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
    path = Path(os.path.abspath(path))  # the decoder's working folder may be another
    key = (path, path.stat().st_mtime_ns if path.is_file() else 0)
    if key in _DEADLY:
        raise UnreadableVideo(path, _DEADLY[key])
    try:
        return _DECODER.call(function, path, *arguments)
    except NoAnswer as error:
        _DEADLY[key] = str(error)
        raise UnreadableVideo(path, str(error)) from None


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
        run: Frames = _decode("frames", path, left, size, chosen_decoder())
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
    frames = _filled(len(wanted), iterate_frames(path, wanted, size))
    return frames if np.array_equal(wanted, indices) else frames[np.searchsorted(wanted, indices)]


def _filled(count: int, frames: Iterator[Frames]) -> Frames:
    """`count` frames (H, W, 3) as one array."""
    first = next(frames)
    together = np.empty((count, *first.shape), np.uint8)
    for number, frame in enumerate(chain([first], frames)):
        together[number] = frame
    return together


def read_span(
    path: Path | str,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    short: Short = "repeat",
) -> Frames:
    """Decode a span: `num_frames` uniformly sampled frames, or all of them -> (T, H, W, 3) uint8.

    short: a span with fewer frames than asked repeats some, or is returned as short as it is.
    Raises: UnreadableVideo: if the file cannot be decoded; OutsideVideo: see `Timeline.span`.
    """
    return _read_spans(path, [(start_s, end_s)], num_frames, short, size)[0]


def read_spans(
    path: Path | str,
    spans: Sequence[Span],
    num_frames: int,
    size: tuple[int, int] | None = None,
) -> list[Frames]:
    """Several spans (start and end in seconds) of one file in one pass, each as `read_span` gives
    it.  Raises: as `read_span`, for any of them."""
    return _read_spans(path, spans, num_frames, "repeat", size)


def _read_spans(
    path: Path | str,
    spans: Sequence[Span],
    num_frames: int | None,
    short: Short,
    size: tuple[int, int] | None,
) -> list[Frames]:
    wanted: list[NDArray[np.int64]]
    run: Frames
    wanted, run = _decode("spans", path, spans, num_frames, short, size, chosen_decoder())
    every = np.unique(np.concatenate(wanted))
    if len(run) < len(every):
        rest = iterate_frames(path, every[len(run) :], size)
        run = _filled(len(every), chain(run, rest))
    if len(wanted) == 1 and len(every) == len(wanted[0]):
        return [run]
    return [run[np.searchsorted(every, ranks)] for ranks in wanted]


def check_decoder(decoder: Decoder) -> None:
    """Let a library of `runtime.decoder` read a video.

    Raises: UserError: if it is not installed or does not load.
    """
    if decoder == "pyav":
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "grey.mp4"
        write_video(path, np.full((2, 64, 96, 3), 128, np.uint8))
        try:
            _decode("frames", path, [0, 1], None, decoder)
        except UnreadableVideo as error:
            raise UserError(
                f"runtime.decoder={decoder}: it cannot be used ({error.reason}): install what it "
                "needs, or set it to pyav"
            ) from None


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
