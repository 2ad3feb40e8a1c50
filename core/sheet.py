"""Contact sheets: labelled rows of frames in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.files import atomic_path
from core.video import Frames, resize

LABEL_PX = 14  # height of a row's label
GAP_PX = 2
Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont


def write_sheet(
    path: Path | str,
    rows: Sequence[tuple[str, Frames]],
    *,
    frame_height_px: int = 64,
    max_frames: int = 9,
    columns: int = 1,
) -> None:
    """Draw each row's label and, below it, up to `max_frames` of its frames, evenly spaced.

    Args: path: the suffix decides the format (.png, .jpg); rows: label and (T, H, W, 3) uint8;
    columns: rows side by side, filled from left to right.
    """
    strips = [(label, _strip(frames, frame_height_px, max_frames)) for label, frames in rows]
    width = max(strip.shape[1] for _, strip in strips) + GAP_PX
    height = LABEL_PX + frame_height_px + GAP_PX
    lines = -(-len(strips) // columns)
    sheet = Image.new("RGB", (width * columns, height * lines), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL_PX - 4)
    for number, (label, strip) in enumerate(strips):
        left, top = width * (number % columns), height * (number // columns)
        draw.text((left + 1, top), _fit(label, width, draw, font), fill="black", font=font)
        sheet.paste(Image.fromarray(strip), (left, top + LABEL_PX))
    with atomic_path(path) as temporary:
        sheet.save(temporary, quality=60)


def _strip(frames: Frames, height_px: int, max_frames: int) -> Frames:
    """(T, H, W, 3) -> (height_px, width, 3)"""
    count = min(len(frames), max_frames)
    chosen = frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]
    width_px = max(1, round(frames.shape[2] * height_px / frames.shape[1]))
    return np.concatenate(list(resize(chosen, (width_px, height_px))), axis=1)


def _fit(label: str, width_px: int, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The label, or as much of it as the width holds."""
    shown = label
    while shown and draw.textlength(shown, font=font) > width_px:
        shown = shown[: -max(2, len(shown) // 20)].rstrip(" .") + "…"
    return shown
