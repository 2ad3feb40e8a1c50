"""Instruments as data: a shaft and the polygons of the tip, in the tool's own frame.

Tool frame: the tip's working point is the origin, +x points forwards (away from the hand), unit =
limbus radius. Sizes are larger than life so that tips stay apart at 64 rows.
Source: our choice, after the look of common ophthalmic instruments.
"""

from colorsys import hsv_to_rgb, rgb_to_hsv
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.canvas import Canvas, Colour, Points, arc, rotate, shade

STEEL: Final[Colour] = (196, 202, 210)
DARK: Final[Colour] = (58, 60, 68)
_REACH = 4.0  # shaft length: always leaves the frame
_THIN, _WIDE = 0.13, 0.32  # half widths: up to the first, pieces are thickened in full


@dataclass(frozen=True)
class Part:
    """One polygon. `jaw` is +1 / -1 for the moving halves of forceps and scissors, else 0."""

    colour: Colour
    points: Points
    jaw: int = 0
    alpha: float = 1.0


@dataclass(frozen=True)
class Tool:
    """Shaft pieces (from, to, width, colour) along -x, then parts; `hinge` is where jaws turn."""

    shaft: tuple[tuple[float, float, float, Colour], ...]
    parts: tuple[Part, ...] = ()
    hinge: float = -0.8
    gape: float = 16.0  # degrees that each jaw opens


@dataclass(frozen=True)
class Pose:
    """A tool at one moment: tip (eye units), direction from tip to hand (degrees), jaws 0-1."""

    x: float
    y: float
    angle: float
    jaw: float = 0.5
    visible: bool = True


def _part(colour: Colour, *points: tuple[float, float], jaw: int = 0, alpha: float = 1.0) -> Part:
    return Part(colour, np.array(points, dtype=np.float64), jaw, alpha)


def _needle(hub: Colour, width: float = 0.075, length: float = 0.75, barrel: float = 0.17) -> Tool:
    """A cannula on a hub; the hub's colour tells what is in the syringe."""
    return Tool(((-length, 0.0, width, STEEL), (-_REACH, -length, barrel, hub)))


def _jaws(colour: Colour, length: float, width: float, handle: Colour, gape: float = 16.0) -> Tool:
    """Two prongs that meet at the tip."""
    half = ((0.0, 0.0), (-length, width), (-length, -0.02), (0.0, -0.025))
    upper = _part(colour, *half, jaw=1)
    lower = _part(shade(colour, 0.8), *((x, -y) for x, y in half), jaw=-1)
    return Tool(((-_REACH, -length, width * 2, handle),), (upper, lower), hinge=-length, gape=gape)


def _knife(blade: tuple[tuple[float, float], ...], neck: float, handle: Colour) -> Tool:
    return Tool(
        ((-neck - 0.3, -neck, 0.09, STEEL), (-_REACH, -neck - 0.3, 0.18, handle)),
        (_part((226, 230, 236), *blade),),
    )


def _annulus(outer: float, inner: float, colour: Colour, alpha: float = 1.0) -> Part:
    return Part(colour, np.concatenate([arc(outer, 0, 360), arc(inner, 360, 0)]), alpha=alpha)


def _plate(colour: Colour, radius_x: float, radius_y: float, back: float = 0.0) -> Part:
    """An ellipse whose front touches the tip (or sits `back` behind it)."""
    points = arc(1.0, 0, 348) * np.array([radius_x, radius_y])
    return Part(colour, points - np.array([radius_x * 0.8 + back, 0.0]))


TOOLS: Final[dict[str, Tool]] = {
    # Cannulas and needles.
    "ovd_cannula": _needle((70, 176, 92)),
    "bss_cannula": _needle((112, 190, 232)),
    "dye_cannula": _needle((38, 56, 196)),
    "air_cannula": _needle((240, 240, 240), barrel=0.26),
    "drug_cannula": _needle((232, 132, 44)),
    "drug_needle": _needle((236, 214, 60), width=0.04, length=0.5, barrel=0.24),
    "bent_needle": Tool(
        ((-0.8, 0.0, 0.06, STEEL), (-_REACH, -0.8, 0.14, (196, 92, 40))),
        (_part(STEEL, (0.04, 0.03), (-0.06, 0.03), (-0.02, -0.2), (0.04, -0.2)),),
    ),
    "tunnel_needle": _needle((240, 120, 30), width=0.09, length=0.55),
    "washer": Tool(
        ((-_REACH, -0.15, 0.24, (150, 206, 236)),),
        (_part((200, 230, 244), (0, 0.05), (-0.25, 0.14), (-0.25, -0.14), (0, -0.05)),),
    ),
    # Knives.
    "keratome": _knife(
        ((0, 0), (-0.32, 0.2), (-0.62, 0.2), (-0.62, -0.2), (-0.32, -0.2)), 0.6, (120, 66, 156)
    ),
    "stab_knife": _knife(((0, 0), (-0.55, 0.1), (-0.55, -0.05)), 0.52, (224, 196, 56)),
    "crescent": Tool(
        ((-_REACH, -0.36, 0.17, (50, 132, 128)),), (_plate((226, 230, 236), 0.22, 0.15),)
    ),
    "scalpel": _knife(((0, 0), (-0.12, 0.1), (-0.5, 0.1), (-0.5, -0.05)), 0.48, (40, 40, 46)),
    "dual_blade": Tool(
        ((-_REACH, 0.0, 0.08, (208, 210, 214)),),
        (_part((90, 96, 110), (0.06, 0.1), (-0.1, 0.1), (-0.1, -0.1), (0.06, -0.1)),),
    ),
    # Forceps, scissors, holders.
    "rhexis_forceps": _jaws((92, 124, 198), 0.95, 0.055, (92, 124, 198), gape=7.0),
    "forceps": _jaws(STEEL, 0.7, 0.09, (150, 156, 166)),
    "tying_forceps": _jaws((214, 190, 120), 0.8, 0.07, (184, 160, 96), gape=12.0),
    "scissors": _jaws((220, 224, 230), 0.62, 0.12, (84, 88, 98), gape=26.0),
    "corneal_scissors": _jaws((130, 160, 210), 0.5, 0.1, (56, 84, 140), gape=26.0),
    "needle_holder": Tool(
        ((-_REACH, -0.1, 0.2, DARK),),
        (
            _part((120, 124, 132), (0.02, 0.05), (-0.2, 0.1), (-0.2, -0.1), (0.02, -0.05)),
            Part((24, 24, 30), np.concatenate([arc(0.27, 150, -30), arc(0.2, -30, 150)]) + 0.06),
        ),
    ),
    "bipolar": Tool(
        ((-_REACH, -0.75, 0.18, (28, 28, 30)),),
        (
            _part((28, 28, 30), (-0.15, 0), (-0.75, 0.1), (-0.75, -0.02), (-0.15, -0.04), jaw=1),
            _part((28, 28, 30), (-0.15, 0), (-0.75, -0.1), (-0.75, 0.02), (-0.15, 0.04), jaw=-1),
            _part((222, 142, 72), (0.03, 0), (-0.2, 0.04), (-0.2, -0.05), jaw=1),
            _part((222, 142, 72), (0.03, 0), (-0.2, 0.05), (-0.2, -0.04), jaw=-1),
        ),
        hinge=-0.75,
    ),
    "cautery_pen": Tool(
        ((-_REACH, -0.4, 0.26, (206, 44, 44)),),
        (_part((240, 170, 60), (0, 0.03), (-0.4, 0.09), (-0.4, -0.09), (0, -0.03)),),
    ),
    # Powered handpieces.
    "phaco": Tool(
        ((-0.2, 0.0, 0.1, (230, 232, 236)), (-_REACH, -0.2, 0.22, (62, 180, 196))),
        (_part((60, 66, 74), (0.03, 0.05), (-0.05, 0.03), (-0.03, -0.04), (0.0, -0.05)),),
    ),
    "coaxial_ia": Tool(
        ((-_REACH, -0.08, 0.19, (218, 86, 148)),),
        (_plate((236, 150, 190), 0.12, 0.09), _plate((40, 20, 30), 0.05, 0.04, back=0.06)),
    ),
    "aspiration_port": Tool(((-_REACH, 0.0, 0.1, (158, 92, 204)),), (_plate(DARK, 0.05, 0.04),)),
    "irrigation_port": Tool(((-_REACH, 0.0, 0.1, (232, 188, 56)),), (_plate(DARK, 0.05, 0.04),)),
    "manual_ia": Tool(
        ((-_REACH, -0.7, 0.3, (224, 226, 220)),),
        (
            _part(STEEL, (0.02, 0.1), (-0.7, 0.1), (-0.7, 0.03), (0.02, 0.03)),
            _part(shade(STEEL, 0.75), (-0.1, -0.03), (-0.7, -0.03), (-0.7, -0.1), (-0.1, -0.1)),
        ),
    ),
    "vitrector": Tool(
        ((-0.9, 0.0, 0.12, (216, 218, 206)), (-_REACH, -0.9, 0.3, (196, 216, 40))),
        (_part((20, 20, 20), (-0.04, 0.06), (-0.14, 0.06), (-0.14, -0.02), (-0.04, -0.02)),),
    ),
    # Hooks, spatulas, manipulators.
    "chopper": Tool(
        ((-_REACH, 0.0, 0.09, (168, 176, 190)),),
        (_part((168, 176, 190), (0.04, 0.04), (-0.05, 0.04), (-0.02, -0.24), (0.05, -0.24)),),
    ),
    "hook": Tool(
        ((-0.9, 0.0, 0.07, STEEL), (-_REACH, -0.9, 0.14, (202, 152, 60))),
        (_plate(STEEL, 0.06, 0.06),),
    ),
    "spatula": Tool(
        ((-_REACH, -0.2, 0.08, (222, 186, 96)),), (_plate((244, 214, 130), 0.24, 0.1),)
    ),
    "graft_spatula": Tool(((-_REACH, -0.5, 0.12, STEEL),), (_plate((214, 218, 224), 0.42, 0.36),)),
    "lens_loop": Tool(
        ((-_REACH, -0.5, 0.1, STEEL),),
        (Part(STEEL, np.concatenate([arc(0.32, 0, 360), arc(0.24, 360, 0)]) - [0.3, 0.0]),),
    ),
    "muscle_hook": Tool(
        ((-_REACH, 0.0, 0.13, STEEL),),
        (_part(STEEL, (0.06, 0.5), (-0.07, 0.5), (-0.07, -0.14), (0.06, -0.14)),),
    ),
    "caliper": _jaws((228, 230, 234), 1.2, 0.09, (120, 124, 134), gape=44.0),
    # Single-purpose devices.
    "trephine": Tool(
        ((-_REACH, -0.7, 0.2, (120, 124, 134)),),
        (_annulus(0.78, 0.58, (206, 210, 216)), _annulus(0.68, 0.63, (90, 94, 102))),
    ),
    "punch": Tool(
        ((-_REACH, -0.22, 0.17, (70, 74, 84)),),
        (
            _part((226, 230, 236), (0.04, 0.15), (-0.07, 0.15), (-0.07, -0.15), (0.04, -0.15)),
            _part(STEEL, (-0.05, 0.05), (-0.25, 0.05), (-0.25, -0.05), (-0.05, -0.05)),
        ),
    ),
    "lens_injector": Tool(
        ((-_REACH, -0.5, 0.4, (52, 128, 146)),),
        (_part((120, 196, 206), (0, 0.09), (-0.55, 0.2), (-0.55, -0.2), (0, -0.09)),),
    ),
    "ring_injector": Tool(
        ((-_REACH, -0.35, 0.26, (40, 76, 206)),),
        (_part((150, 170, 240), (0, 0.04), (-0.38, 0.1), (-0.38, -0.1), (0, -0.04)),),
    ),
    "shunt_inserter": Tool(
        (
            (-0.6, 0.0, 0.06, STEEL),
            (-0.9, -0.6, 0.2, (40, 44, 52)),
            (-_REACH, -0.9, 0.34, (238, 238, 240)),
        ),
    ),
    "marker_pen": Tool(
        ((-_REACH, -0.3, 0.22, (240, 240, 244)),),
        (_part((112, 44, 168), (0.0, 0.03), (-0.32, 0.11), (-0.32, -0.11), (0.0, -0.03)),),
    ),
    "paper_strip": Tool(
        ((-_REACH, -0.35, 0.26, (246, 246, 240)), (-0.35, 0.0, 0.26, (244, 150, 20))),
    ),
    "swab": Tool(((-_REACH, -0.4, 0.09, (216, 184, 136)),), (_plate((248, 248, 246), 0.34, 0.2),)),
    "sponge_spear": Tool(
        ((-_REACH, -0.5, 0.08, (120, 160, 220)),),
        (_part((250, 250, 244), (0, 0.02), (-0.55, 0.26), (-0.55, -0.26), (0, -0.02)),),
    ),
    "ring_keratoscope": Tool(
        ((-_REACH, -1.1, 0.24, (36, 38, 44)),), (_annulus(1.2, 0.98, (36, 38, 44)),)
    ),
    # Used by rare procedures only ("Others").
    "laser_probe": Tool(
        ((-_REACH, 0.0, 0.15, (60, 64, 72)),), (_plate((90, 255, 110), 0.1, 0.08),)
    ),
    "burr": Tool(((-_REACH, -0.2, 0.16, (160, 166, 150)),), (_plate((120, 110, 90), 0.14, 0.14),)),
    "magnet": Tool(((-_REACH, 0.0, 0.34, (150, 96, 60)),), (_plate((60, 60, 66), 0.08, 0.17),)),
}


def _thickened(points: Points, share: float) -> Points:
    """A thin piece made wider across its shaft, as 64 rows need; wide ones stay as they are."""
    width = float(np.abs(points[:, 1]).max())
    factor = 1.0 + share * float(np.clip((_WIDE - width) / (_WIDE - _THIN), 0.0, 1.0))
    return points * [1.0, factor]


@lru_cache(maxsize=2048)
def _finish(colour: Colour, metal: float, hue: float, saturation: float) -> Colour:
    """The colour that a case's instrument maker gives a part."""
    h, s, v = rgb_to_hsv(*(c / 255 for c in colour))
    turned = hsv_to_rgb((h + hue / 360) % 1.0, s * saturation, min(v * metal, 1.0))
    red, green, blue = (round(c * 255) for c in turned)
    return red, green, blue


def draw_tool(canvas: Canvas, tool: Tool, pose: Pose, appearance: CaseAppearance) -> None:
    """Draw shadow, outline, shaft and tip in the case's finish and size."""
    if not pose.visible:
        return
    tip = np.array([pose.x, pose.y])
    turn = pose.angle - 180.0  # the tool frame's +x points away from the hand

    def place(points: Points) -> Points:
        wide = _thickened(points, appearance.thicker)
        return rotate(wide * appearance.tool_scale, turn) + tip

    def finish(colour: Colour, factor: float = 1.0) -> Colour:
        return _finish(
            colour,
            appearance.metal * factor,
            appearance.tool_hue,
            appearance.tool_saturation,
        )

    mask, canvas.mask = canvas.mask, None
    for start, stop, width, _ in tool.shaft:
        canvas.line(place(np.array([[start, 0.0], [stop, 0.0]])) + 0.07, (20, 10, 8), width, 0.25)
    canvas.mask = mask
    for start, stop, width, colour in tool.shaft:
        half = width / 2
        box = np.array([[start, half], [stop, half], [stop, -half], [start, -half]])
        canvas.polygon(place(box), finish(colour, 0.55))
        canvas.polygon(place(box * [1.0, 0.62]), finish(colour))
    for part in tool.parts:
        points = part.points
        if part.jaw:
            hinge = np.array([tool.hinge, 0.0])
            points = rotate(points - hinge, part.jaw * tool.gape * pose.jaw) + hinge
        canvas.polygon(place(points), finish(part.colour), part.alpha)
