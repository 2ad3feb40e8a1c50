"""Contact sheets: what is drawn where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from core.sheet import GAP_PX, LABEL_PX, write_sheet


def plain(colour: tuple[int, int, int], frames: int = 12) -> np.ndarray:
    return np.full((frames, 32, 48, 3), colour, np.uint8)


def test_rows_lie_below_their_labels(tmp_path: Path) -> None:
    fading = np.linspace(0, 220, 12).astype(np.uint8)[:, None, None, None] + plain((0, 0, 0))
    write_sheet(
        tmp_path / "sheet.png",
        [("red", plain((200, 0, 0))), ("fading", fading)],
        frame_height_px=16,
        max_frames=3,
    )
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    row = LABEL_PX + 16 + GAP_PX
    assert sheet.shape == (2 * row, 3 * 24 + GAP_PX, 3)
    assert (sheet[LABEL_PX : LABEL_PX + 16, :72] == (200, 0, 0)).all()
    assert (sheet[:LABEL_PX] < 128).any()  # ink of the label
    shown = sheet[row + LABEL_PX + 8, 12:72:24, 0]
    assert shown[0] == 0 and 90 < shown[1] < 130 and shown[2] == 220  # first, middle, last frame


def test_two_columns_and_a_label_that_is_too_long(tmp_path: Path) -> None:
    rows = [("a label of many words " * 20, plain((0, 0, 200), 1)), ("b", plain((0, 200, 0), 1))]
    write_sheet(tmp_path / "sheet.png", rows, frame_height_px=32, columns=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (LABEL_PX + 32 + GAP_PX, 2 * (48 + GAP_PX), 3)
    assert (sheet[LABEL_PX + 4, 48 + GAP_PX :][:48] == (0, 200, 0)).all()
