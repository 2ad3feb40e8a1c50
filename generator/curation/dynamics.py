"""Dynamics filter: static clips and cut-ridden ones have too few or too many keyframes.

Source: Ophora, Sec. "Comprehensive Data Curation" (PySceneDetect, between 2 and 100 keyframes). The
paper does not say how keyframes are counted. Ours: the first frame, plus each frame whose content
value against the LAST KEYFRAME exceeds a threshold; the detector's own frame-to-frame comparison
would miss slow motion and, with its default min_scene_len, every change in a clip of 24 frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pydantic
from scenedetect.detectors import ContentDetector

from core.video import FPS, Frames, VideoInfo, iterate_frames


class DynamicsSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Defaults: the paper's 2 and 100 keyframes at PySceneDetect's own threshold."""

    min_keyframes: int = pydantic.Field(default=2, ge=1)
    """A clip with fewer is dropped as static."""
    max_keyframes: int = pydantic.Field(default=100, ge=1)
    """A clip with more is dropped as restless."""
    max_keyframes_per_s: float | None = pydantic.Field(default=None, gt=0)
    """A further upper bound, for clips too short to hold `max_keyframes`; null: none."""
    motion_threshold: float = pydantic.Field(default=27.0, gt=0, le=255)
    """Content value (0-255) that makes a keyframe where the lower bound is checked. One value for
    both does for footage in which every instrument counts as content; on small, dim eyes a clip
    moves at values far below those of a cut."""
    cut_threshold: float = pydantic.Field(default=27.0, gt=0, le=255)
    """The same where the upper bound is checked."""
    min_scene_len_frames: int = pydantic.Field(default=1, ge=1)
    """Least distance between two keyframes, counted at 8 fps."""
    width_px: int = pydantic.Field(default=256, ge=16)
    """Frames are compared at this width, as PySceneDetect's automatic downscaling does; a small one
    averages away the noise of sensor and codec, which hue and saturation magnify."""

    @pydantic.model_validator(mode="after")
    def _bounds_are_ordered(self) -> DynamicsSettings:
        if self.max_keyframes < self.min_keyframes:
            raise ValueError(
                f"max_keyframes {self.max_keyframes} is below min_keyframes {self.min_keyframes}"
            )
        if self.cut_threshold < self.motion_threshold:
            raise ValueError(
                f"cut_threshold {self.cut_threshold} is below motion_threshold "
                f"{self.motion_threshold}"
            )
        return self

    def problem_of(self, seen: Keyframes) -> str | None:
        """Why a clip with that many keyframes is dropped, or None."""
        if seen.motion < self.min_keyframes:
            return "static"
        fast = self.max_keyframes_per_s is not None and seen.cuts_per_s > self.max_keyframes_per_s
        return "restless" if fast or seen.cuts > self.max_keyframes else None


class Keyframes(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Keyframes of a span at both thresholds, the first frame included."""

    motion: int
    cuts: int
    seconds: float

    @property
    def cuts_per_s(self) -> float:
        """Keyframes after the first one, per second."""
        return (self.cuts - 1) / self.seconds


class _LastKeyframeDetector(ContentDetector):
    """PySceneDetect's content value, measured against the last keyframe."""

    _last_frame: Any  # PySceneDetect's record of the frame to compare with

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold=threshold, min_scene_len=1)

    def is_keyframe(self, frame: Frames, allowed: bool) -> bool:
        """Compare (H, W, 3) uint8 BGR with the last keyframe; replace that one if it differs."""
        keyframe = self._last_frame
        value = self._calculate_frame_score(None, frame)  # also stores `frame` as the last one
        if keyframe is None or (allowed and value > self._threshold):
            return True
        self._last_frame = keyframe
        return False


class KeyframeCounter:
    """Counts keyframes over frames fed in order."""

    def __init__(self, threshold: float, min_scene_len_frames: int = 1) -> None:
        self.count = 0
        self._gap = min_scene_len_frames
        self._since = self._gap
        self._detector = _LastKeyframeDetector(threshold)

    def feed(self, frames: Frames) -> None:
        """(T, H, W, 3) uint8 RGB, the next frames of the clip."""
        for frame in frames:
            self._since += 1
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            if self._detector.is_keyframe(bgr, allowed=self._since >= self._gap):
                self.count += 1
                self._since = 0


def count_keyframes(
    path: Path | str,
    info: VideoInfo,
    settings: DynamicsSettings,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Keyframes:
    """Keyframes in a span of a video, looked at with 8 frames a second (or all, if it has fewer).

    Raises: UnreadableVideo; OutsideVideo.
    """
    first, last = info.timeline.span(start_s, end_s)
    indices = info.timeline.evenly(first, last, FPS)
    scale = min(1.0, settings.width_px / info.width)
    size = (max(round(info.width * scale), 1), max(round(info.height * scale), 1))
    thresholds = (settings.motion_threshold, settings.cut_threshold)
    counters = [KeyframeCounter(value, settings.min_scene_len_frames) for value in thresholds]
    for frame in iterate_frames(path, indices, size):
        for counter in counters:
            counter.feed(frame[None])
    motion, cuts = (counter.count for counter in counters)
    return Keyframes(motion=motion, cuts=cuts, seconds=round(info.timeline.seconds(first, last), 3))
