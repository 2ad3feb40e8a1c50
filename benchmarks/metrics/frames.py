"""Clips as the metrics see them. Real and generated clips take exactly this path.

mp4 -> evenly spaced frames -> resize -> (if resized) h264 once -> uint8
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic

from core.clip import Clip, Manifest
from core.errors import UnreadableVideo
from core.progress import track
from core.video import FPS, Frames, read_span, resize, write_video

CODEC_RULE = "h264 crf 18, written once at the compared size"
CHUNK = 32  # clips decoded at a time
Even = Annotated[int, pydantic.Field(ge=16, multiple_of=2)]


class FrameProtocol(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Which frames are compared and at which size in pixels."""

    num_frames: int = pydantic.Field(default=9, ge=2)
    """Of each clip, evenly spaced, first and last included."""
    width: Even = 96
    """Even; clips of another size are resized."""
    height: Even = 64
    """Even; clips of another size are resized."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip: (T, H, W, 3)."""
        return (self.num_frames, self.height, self.width, 3)

    def describe(self) -> dict[str, int | float | str]:
        """What stands beside every value."""
        return {**self.model_dump(), "fps": FPS, "codec": CODEC_RULE}


def read_clip(manifest: Manifest, clip: Clip, protocol: FrameProtocol) -> Frames:
    """One clip -> (T, H, W, 3) uint8: its evenly spaced frames, first and last included.

    A clip of another size is resized and passes once through the encoder that wrote the generated
    ones, so that no distance measures the codec.  Raises: UnreadableVideo.
    """
    frames = read_span(
        manifest.path_of(clip),
        start_s=clip.start_s,
        end_s=clip.end_s,
        num_frames=protocol.num_frames,
    )
    if frames.shape == protocol.shape:
        return frames
    frames = resize(frames, (protocol.width, protocol.height))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        write_video(path, frames)
        return read_span(path, num_frames=protocol.num_frames)


def batches(
    manifest: Manifest, protocol: FrameProtocol, batch_size: int = CHUNK
) -> Iterator[tuple[tuple[Clip, ...], Frames]]:
    """Yield (clips, (B, T, H, W, 3) uint8) in the manifest's order, decoded lazily."""
    for start in range(0, len(manifest), batch_size):
        clips = manifest.clips[start : start + batch_size]
        yield clips, np.stack([read_clip(manifest, clip, protocol) for clip in clips])


def readable(
    manifest: Manifest, protocol: FrameProtocol, batch_size: int = CHUNK
) -> Iterator[tuple[tuple[Clip, ...], Frames]]:
    """As `batches`, less the clips that cannot be read."""
    clips: list[Clip] = []
    frames: list[Frames] = []
    for clip in track(
        manifest.clips, total=len(manifest), description="encoding clips", unit="clips"
    ):
        try:
            frames.append(read_clip(manifest, clip, protocol))
        except UnreadableVideo:
            continue
        clips.append(clip)
        if len(clips) == batch_size:
            yield tuple(clips), np.stack(frames)
            clips, frames = [], []
    if clips:
        yield tuple(clips), np.stack(frames)
