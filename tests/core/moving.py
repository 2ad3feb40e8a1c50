"""Small videos in every kind of file, whose pictures tell their number."""

from __future__ import annotations

import glob
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from core.video import Frames

SIZE = (96, 64)
BASE = Fraction(1, 90_000)


def numbered(count: int) -> Frames:
    """Pictures whose number stands in nine large black or white fields, least bit first."""
    frames = np.zeros((count, SIZE[1], SIZE[0], 3), np.uint8)
    for number in range(count):
        for bit in range(9):
            row, column = divmod(bit, 3)
            level = 235 if number >> bit & 1 else 20
            frames[number, 20 * row : 20 * row + 20, 32 * column : 32 * column + 32] = level
    return frames


def numbers_of(frames: Frames) -> list[int]:
    """The numbers of decoded pictures (T, H, W, 3)."""
    found = []
    for frame in frames:
        fields = [
            frame[20 * row + 4 : 20 * row + 16, 32 * column + 4 : 32 * column + 28].mean() > 128
            for row in range(3)
            for column in range(3)
        ]
        found.append(sum(1 << bit for bit, white in enumerate(fields) if white))
    return found


def write_timed(
    path: Path,
    times: Sequence[float | Fraction],
    *,
    codec: str = "libx264",
    fmt: str | None = None,
    gop: int = 12,
    bframes: int = 0,
    base: Fraction = BASE,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Numbered pictures shown at `times` in seconds."""
    options = {"g": str(gop), "bf": str(bframes), "threads": "1"}
    if codec == "libx264":
        options |= {"crf": "12", "preset": "veryfast", "sc_threshold": "0"}
    with av.open(str(path), "w", format=fmt, options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, bframes
        stream.options = options
        for picture, time in zip(numbered(len(times)), times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time) / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def constant(count: int = 60, rate: int = 25) -> list[Fraction]:
    """Times of a constant rate."""
    return [Fraction(number, rate) for number in range(count)]


def sequential(path: Path) -> tuple[list[int], list[float | None]]:
    """Numbers and times of all pictures in a plain decode from the start: the truth."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return numbers_of(pictures), [frame.time for frame in frames]


def ffmpeg(*arguments: object) -> None:
    """Run the program that comes with imageio-ffmpeg, or skip the test."""
    places = "lib/python3*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*"
    found = glob.glob(str(Path(sys.prefix) / places))
    if not found:
        pytest.skip("needs imageio-ffmpeg's program")
    command = [found[0], "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
