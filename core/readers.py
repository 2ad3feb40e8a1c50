"""Libraries that may decode instead of PyAV, named by `runtime.decoder`.

PyAV says when each picture is shown; the other library fetches it by its rank. It gives the same
pixels or none: a file whose pictures it sees at other times is refused. So the choice enters no
cache key.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import UnreadableVideo
from core.isolated import alive, unhurried
from core.open_video import OpenVideo

Decoder = Literal["pyav", "decord", "torchcodec"]
DECODER_NAME = "OPHORA_DECODER"  # in the environment, which worker processes inherit
_APART_S = 2e-3  # a container's rounding to milliseconds, twice

# Rank -> when the picture appears (seconds) and the picture, (H, W, 3) uint8 RGB.
_Fetch: TypeAlias = Callable[[int], tuple[float, NDArray[np.uint8]]]


def chosen_decoder() -> Decoder:
    """What `Runtime.apply` has set in this process or the one that started it."""
    name = os.environ.get(DECODER_NAME, "pyav")
    return next(decoder for decoder in get_args(Decoder) if decoder == name)


def open_video(path: Path, decoder: Decoder) -> OpenVideo:
    """A video to read pictures from.  Raises: UnreadableVideo."""
    return OpenVideo(path) if decoder == "pyav" else _ReadByAnother(path, decoder)


class _ReadByAnother(OpenVideo):
    """A video whose pictures another library decodes."""

    def __init__(self, path: Path, decoder: Literal["decord", "torchcodec"]) -> None:
        super().__init__(path)
        self._decoder = decoder
        try:
            with unhurried():
                importlib.import_module(decoder)
            count, self._fetch = _decord(path) if decoder == "decord" else _torchcodec(path)
        except Exception as error:  # these libraries raise kinds of their own
            raise UnreadableVideo(path, f"{decoder}: {_first_line(error)}") from None
        if count != self.timeline.num_frames:
            raise self._other_pictures(f"{count} pictures, not {self.timeline.num_frames}")

    def pictures(self, ranks: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """As `OpenVideo.pictures`, which raises the same; also if times differ."""
        for rank in ranks:
            alive()
            try:
                time_s, picture = self._fetch(rank)
            except Exception as error:
                raise UnreadableVideo(self.path, f"{self._decoder}: {_first_line(error)}") from None
            if not abs(time_s - self.timeline.times[rank]) < _APART_S:
                shown = f"picture {rank} at {time_s:.3f} s, not {self.timeline.times[rank]:.3f} s"
                raise self._other_pictures(shown)
            yield picture

    def _other_pictures(self, what: str) -> UnreadableVideo:
        cure = "set runtime.decoder=pyav"
        return UnreadableVideo(self.path, f"{self._decoder} sees {what}: {cure}")


def _decord(path: Path) -> tuple[int, _Fetch]:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)

    def fetch(rank: int) -> tuple[float, NDArray[np.uint8]]:
        return float(reader.get_frame_timestamp(rank)[0]), reader[rank].asnumpy()

    return len(reader), fetch


def _torchcodec(path: Path) -> tuple[int, _Fetch]:
    from torchcodec.decoders import VideoDecoder

    reader: Any = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)

    def fetch(rank: int) -> tuple[float, NDArray[np.uint8]]:
        frame = reader.get_frame_at(rank)
        return frame.pts_seconds, frame.data.numpy()

    return len(reader), fetch


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
