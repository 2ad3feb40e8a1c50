"""Whole-frame scenes without an operation: title cards, the theatre, a donor table."""

import numpy as np

from benchmarks.datasets.ophsim.canvas import Canvas, Colour, View, shade
from benchmarks.datasets.ophsim.effects.moment import PALETTE, Moment


def _screen(now: Moment) -> Canvas:
    """The same image in screen coordinates: origin at the centre, frame height = 2."""
    height, width = now.canvas.image.shape[:2]
    return Canvas(now.canvas.image, View(height / 2, 0.0, width / 2, height / 2))


def _box(canvas: Canvas, x: float, y: float, w: float, h: float, colour: Colour) -> None:
    canvas.polygon(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]), colour)


def title_card(now: Moment, v: float) -> None:
    """A slide: plain ground, bars of text that appear line by line."""
    grounds: tuple[Colour, ...] = ((16, 24, 60), (244, 244, 240), (12, 12, 14), (20, 70, 78))
    ground = grounds[int(now.random[0] * len(grounds))]
    ink: Colour = (24, 24, 40) if sum(ground) > 380 else (240, 240, 230)
    now.canvas.image[:] = ground
    canvas = _screen(now)
    _box(canvas, -1.0, -0.7, 2.0, 0.16, PALETTE["orange"] if now.random[1] < 0.5 else ink)
    for index in range(4):
        if v * 5 < index:
            break
        width = 0.8 + 1.2 * now.random[index + 2]
        _box(canvas, -1.2, -0.3 + 0.25 * index, width, 0.09, ink)
    if now.random[8] < 0.5:
        canvas.disc((1.05, 0.6), 0.2, (206, 60, 60))


def theatre(now: Moment, v: float) -> None:
    """The operating room: wall, microscope arm, lamp, a surgeon in green who moves slightly."""
    tint = 0.8 + 0.4 * now.random[0]
    now.canvas.image[:] = shade((150, 168, 176), tint)
    canvas = _screen(now)
    sway = 0.12 * float(np.sin(2 * np.pi * (v + now.random[1])))
    _box(canvas, -1.6, 0.45, 3.2, 0.6, shade((96, 104, 112), tint))
    canvas.disc((0.9, -0.75), 0.32, (250, 250, 232))
    x = -0.5 + 0.6 * (now.random[2] - 0.5) + sway
    _box(canvas, x - 0.42, -0.1, 0.84, 1.2, (44, 122, 98))
    canvas.disc((x, -0.38), 0.26, (214, 170, 146))
    canvas.polygon(np.array([[x - 0.28, -0.42], [x, -0.75], [x + 0.28, -0.42]]), (40, 104, 140))
    _box(canvas, 0.25, -0.25, 0.18, 1.0, (226, 228, 230))
    _box(canvas, -0.1, -0.3, 0.5, 0.16, (226, 228, 230))


def donor_table(now: Moment, v: float) -> None:
    """A donor cornea on its block, seen under the microscope: blue drape, no eye."""
    now.canvas.image[:] = (46, 96, 150)
    now.canvas.disc((0, 0), 1.25, (232, 232, 228))
    now.canvas.disc((0, 0), 1.05, (150, 160, 170))
    now.canvas.disc((0, 0), 0.98, (206, 218, 224))


def loading_tray(now: Moment, v: float) -> None:
    """The instrument table where a lens is loaded: green drape and a steel dish."""
    now.canvas.image[:] = (40, 110, 92)
    now.canvas.disc((0.2, 0.1), 1.15, (120, 128, 136))
    now.canvas.disc((0.2, 0.1), 1.0, (206, 212, 218))


def device_drape(now: Moment, v: float) -> None:
    """A folded blue drape beside the eye, on which a device is prepared."""
    now.canvas.image[:] = (58, 96, 168)
    for index in range(4):
        x = -1.5 + index * 0.95 + 0.3 * now.random[index]
        fold = np.array([[x, -2.0], [x + 0.25, 2.0]])
        now.canvas.line(fold, (44, 76, 138), 0.16)


EFFECTS = (title_card, theatre, donor_table, loading_tray, device_drape)
