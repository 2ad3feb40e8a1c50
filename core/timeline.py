"""When each picture of a video is shown, and which pictures a span of seconds holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UnreadableVideo, UserError

# Source: our choice; labels made in a player end where its clock stopped, up to a second off.
OVERHANG_S = 1.0
_HALVES = 4  # decimals of a picture: what is meant as half a picture must not hang on a float's end
_STEADY = 0.02  # pictures: what a container's rounding to milliseconds adds to a constant rate
_NOISE_S = 1e-6


class OutsideVideo(UserError):
    """A span of seconds for which the video has no picture."""

    def __init__(
        self, path: Path | str, span: tuple[float, float | None], shown: tuple[float, float]
    ) -> None:
        self.arguments = path, span, shown
        super().__init__(
            f"{path}: {span_text(*span)} is outside the video, whose pictures last from "
            f"{shown[0]:.2f} to {shown[1]:.2f} s: correct the times, or use the video that they "
            "were made on"
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        # Exceptions cross process boundaries by pickle, which would replay the message only.
        return type(self), self.arguments


def span_text(start_s: float | None, end_s: float | None) -> str:
    """A span of seconds in words."""
    end = "to the end" if end_s is None else f"to {end_s:g} s"
    return f"the span from {start_s or 0:g} {end}"


def excess_s(end_of_video_s: float, start_s: float | None, end_s: float | None) -> float | None:
    """By how many seconds a span ends after its video does (0: not at all); None if that is more
    than `OVERHANG_S`, or if it starts after the video has ended."""
    late = start_s is not None and start_s >= end_of_video_s
    over = 0.0 if end_s is None else max(0.0, end_s - end_of_video_s)
    return None if late or over > OVERHANG_S else over


@dataclass(frozen=True, eq=False)
class Timeline:
    """The clock of a video.

    times: (N,) float64, seconds at which the pictures appear, rising, N >= 1. A player's clock: 0
    is the start of the file, where the first picture may be late. end_s: when the last one
    disappears. damage: why nothing after it can be read, where the file is cut short. rate:
    pictures a second as the file states them, 0 if it does not; used where `times` agree with it.
    """

    path: Path
    times: NDArray[np.float64]
    end_s: float
    damage: str | None = None
    rate: float = 0.0

    @property
    def num_frames(self) -> int:
        """Pictures that are shown."""
        return len(self.times)

    @property
    def duration_s(self) -> float:
        """From the first picture to the end of the last one."""
        return self.end_s - float(self.times[0])

    @property
    def fps(self) -> float:
        """Pictures a second, on average."""
        return self.num_frames / self.duration_s

    def span(self, start_s: float | None, end_s: float | None) -> tuple[int, int]:
        """First picture and one past the last one of a span in seconds, clamped to the video.

        A picture belongs to the span that it is shown in for the longer part: at a constant rate,
        `round(seconds * fps)`. At least one remains, for a label may be shorter than a picture
        (as in OphNet2024). A span may end up to `OVERHANG_S` after the video, or before its first
        picture.
        Raises: OutsideVideo: for any other span that the video does not hold; UnreadableVideo: for
        one that reaches into the part that a damaged file lacks.
        """
        first_s = float(self.times[0])
        if self.damage and (end_s is None or end_s > self.end_s):
            raise UnreadableVideo(self.path, self.damage)
        before = end_s is not None and end_s < first_s - OVERHANG_S
        if before or excess_s(self.end_s, start_s, end_s) is None:
            raise OutsideVideo(self.path, (start_s or 0.0, end_s), (first_s, self.end_s))
        first = 0 if start_s is None else self._rank(start_s)
        last = self.num_frames if end_s is None else self._rank(end_s)
        first = min(first, self.num_frames - 1)
        return first, min(max(last, first + 1), self.num_frames)

    def seconds(self, first: int, last: int) -> float:
        """How long the pictures from `first` to one before `last` are shown."""
        end_s = self.end_s if last == self.num_frames else float(self.times[last])
        return end_s - float(self.times[first])

    def evenly(self, first: int, last: int, per_s: float) -> NDArray[np.int64]:
        """Pictures nearest to `per_s` times a second, from `first` to one before `last`, both
        included and none twice."""
        count = max(1, math.ceil(self.seconds(first, last) * per_s - _NOISE_S))
        wanted = np.linspace(self.times[first], self.times[last - 1], min(count, last - first))
        return np.unique(np.rint(self._places(wanted)).astype(np.int64))

    def middles(self, first: int, last: int, per_s: float) -> NDArray[np.int64]:
        """Pictures on the screen in the middle of each `1 / per_s` of a span, at least one, none
        twice."""
        seconds = self.seconds(first, last)
        count = max(round(seconds * per_s), 1)
        wanted = self.times[first] + (np.arange(count) + 0.5) * seconds / count
        return np.unique(np.searchsorted(self.times, wanted + _NOISE_S, side="right") - 1)

    def _rank(self, seconds: float) -> int:
        place = float(self._places(np.array(seconds)))
        steady = seconds * self.rate
        return round(steady if abs(place - steady) < _STEADY else place)

    def _places(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        edges = np.append(self.times, self.end_s)
        places = np.interp(seconds, edges, np.arange(len(edges)))
        return np.round(places, _HALVES)
