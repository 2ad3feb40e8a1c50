"""Motion primitives: how an instrument's tip moves around its site.

A primitive maps s (0 to 1, the time while the tool is at its site) to an offset (forward, lateral)
in the tool's own frame, plus a turn of the shaft in degrees and a swing about the eye's centre.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True)
class Offset:
    """Eye units and degrees; `swing` carries site and tool around the pupil's centre."""

    forward: float = 0.0
    lateral: float = 0.0
    turn: float = 0.0
    swing: float = 0.0
    east: float = 0.0  # along the eye's own axes, for motions that follow a circle of tissue
    south: float = 0.0


@dataclass(frozen=True)
class Stroke:
    """Parameters of a primitive: amplitude (eye units), cycles, phase and turn (degrees)."""

    amplitude: float
    cycles: float
    phase: float
    turn: float


Primitive = Callable[[float, Stroke], Offset]


def _wave(s: float, stroke: Stroke) -> float:
    return 2 * np.pi * stroke.cycles * s + float(np.deg2rad(stroke.phase))


def _hold(s: float, stroke: Stroke) -> Offset:
    return Offset()


def _advance(s: float, stroke: Stroke) -> Offset:
    return Offset(forward=stroke.amplitude * (2 * s - 1))


def _stab(s: float, stroke: Stroke) -> Offset:
    """In and out: starts and ends outside, deepest half-way through each cycle."""
    return Offset(forward=stroke.amplitude * (abs(np.sin(_wave(s, stroke) / 2)) * 2 - 1))


def _saw(s: float, stroke: Stroke) -> Offset:
    return Offset(forward=stroke.amplitude * float(np.sin(_wave(s, stroke))))


def _sweep(s: float, stroke: Stroke) -> Offset:
    return Offset(lateral=stroke.amplitude * float(np.sin(_wave(s, stroke))))


def _line(s: float, stroke: Stroke) -> Offset:
    return Offset(lateral=stroke.amplitude * (2 * s - 1))


def _spread(s: float, stroke: Stroke) -> Offset:
    """One half of two tools that move apart; the other tool has a negative amplitude."""
    return Offset(lateral=stroke.amplitude * s)


def _pull(s: float, stroke: Stroke) -> Offset:
    return Offset(forward=-stroke.amplitude * s)


def _circle(s: float, stroke: Stroke) -> Offset:
    """Around the site, starting at `phase` degrees from the eye's +x axis."""
    wave = _wave(s, stroke)
    return Offset(
        east=stroke.amplitude * float(np.cos(wave)), south=stroke.amplitude * float(np.sin(wave))
    )


def _rotate(s: float, stroke: Stroke) -> Offset:
    return Offset(turn=stroke.turn * float(np.sin(_wave(s, stroke))))


def _loop(s: float, stroke: Stroke) -> Offset:
    """The needle's bite: a turn of the wrist in, through and up, once a cycle."""
    part = (stroke.cycles * s) % 1.0
    bite = float(np.sin(np.pi * part))
    return Offset(
        forward=stroke.amplitude * (bite - 0.5),
        lateral=stroke.amplitude * (2 * part - 1),
        turn=stroke.turn * (part - 0.5),
    )


def _chop(s: float, stroke: Stroke) -> Offset:
    """Pull towards the other tool, then separate sideways."""
    if s < 0.5:
        return Offset(forward=stroke.amplitude * (1 - 4 * s) * 0.6)
    return Offset(forward=-0.6 * stroke.amplitude, lateral=stroke.amplitude * (2 * s - 1) * 1.2)


def _wander(s: float, stroke: Stroke) -> Offset:
    wave = _wave(s, stroke)
    return Offset(
        forward=stroke.amplitude * float(np.sin(2 * wave + 0.4)),
        lateral=stroke.amplitude * float(np.sin(3 * wave)),
    )


def _orbit(s: float, stroke: Stroke) -> Offset:
    """Along the limbus: `turn` degrees around the pupil's centre."""
    return Offset(swing=stroke.turn * (s - 0.5))


def _orbit_saw(s: float, stroke: Stroke) -> Offset:
    """Along the limbus with small cuts in and out."""
    return Offset(
        forward=stroke.amplitude * float(np.sin(_wave(s, stroke))), swing=stroke.turn * (s - 0.5)
    )


PRIMITIVES: Final[dict[str, Primitive]] = {
    "hold": _hold,
    "advance": _advance,
    "stab": _stab,
    "saw": _saw,
    "sweep": _sweep,
    "line": _line,
    "spread": _spread,
    "pull": _pull,
    "circle": _circle,
    "rotate": _rotate,
    "loop": _loop,
    "chop": _chop,
    "wander": _wander,
    "orbit": _orbit,
    "orbit_saw": _orbit_saw,
}
