"""Motions of things, cameras and lights in Natural-sim: a phrase and a function of time for each.

Source: our choice; verbs and directions are those of the surgical captions where a plain shape can
do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True)
class Pose:
    """A thing's pose relative to its place; lengths in frame heights, angles in radians."""

    x: float = 0.0
    y: float = 0.0
    along: float = 0.0  # along the thing's own axis
    turn: float = 0.0
    scale: float = 1.0
    alpha: float = 1.0
    squash: float = 1.0  # across the thing's own axis


# (time 0-1, amplitude about 1, side of a pair -1 or 1) -> pose
PoseAt = Callable[[float, float, int], Pose]


@dataclass(frozen=True)
class Motion:
    """A verb phrase ("{s}" is the singular's ending) and what it looks like.

    copies: 2 for pairs that part or meet. paced: whether "slowly" and "quickly" mean something.
    """

    phrase: str
    pose: PoseAt
    copies: int = 1
    paced: bool = True


def ease(time: float) -> float:
    return time * time * (3 - 2 * time)


def _wave(time: float, rounds: float) -> float:
    return float(np.sin(2 * np.pi * rounds * time))


MOTIONS: Final[tuple[Motion, ...]] = (
    Motion("stay{s} still", lambda t, k, _: Pose(), paced=False),
    Motion("slide{s} to the left", lambda t, k, _: Pose(x=-0.7 * k * (t - 0.5))),
    Motion("slide{s} to the right", lambda t, k, _: Pose(x=0.7 * k * (t - 0.5))),
    Motion("move{s} upward", lambda t, k, _: Pose(y=-0.6 * k * (t - 0.5))),
    Motion("move{s} downward", lambda t, k, _: Pose(y=0.6 * k * (t - 0.5))),
    Motion("rise{s} and fall{s}", lambda t, k, _: Pose(y=0.3 * k - 0.6 * k * _wave(t, 0.5))),
    Motion("enter{s} from the left edge", lambda t, k, _: Pose(
        x=-1.4 * (1 - ease(t))), paced=False),
    Motion("enter{s} from the right edge", lambda t, k, _: Pose(
        x=1.4 * (1 - ease(t))), paced=False),
    Motion("leave{s} the view to the left", lambda t, k, _: Pose(x=-1.5 * ease(t)), paced=False),
    Motion("leave{s} the view to the right", lambda t, k, _: Pose(x=1.5 * ease(t)), paced=False),
    Motion("circle{s} around the centre", lambda t, k, _: Pose(
        x=0.28 * float(np.cos(6 * k * t)), y=0.28 * float(np.sin(6 * k * t)))),
    Motion("spin{s} like a wheel", lambda t, k, _: Pose(turn=4.5 * k * t)),
    Motion("turn{s} around slowly", lambda t, k, _: Pose(turn=-1.6 * k * t), paced=False),
    Motion("sweep{s} from side to side", lambda t, k, _: Pose(x=0.35 * k * _wave(t, 1))),
    Motion("move{s} back and forth", lambda t, k, _: Pose(y=0.25 * k * _wave(t, 1.5))),
    Motion("swing{s} from side to side", lambda t, k, _: Pose(
        x=0.2 * k * _wave(t, 1), turn=0.8 * k * _wave(t, 1))),
    Motion("shake{s}", lambda t, k, _: Pose(
        x=0.05 * k * _wave(t, 3.3), y=0.05 * k * _wave(t, 2.7))),
    Motion("grow{s}", lambda t, k, _: Pose(scale=0.3 + 1.1 * k * ease(t))),
    Motion("shrink{s}", lambda t, k, _: Pose(scale=1.5 - 1.2 * ease(t)), paced=False),
    Motion("swell{s} and shrink{s} again", lambda t, k, _: Pose(
        scale=0.6 + 0.7 * _wave(t, 0.5)), paced=False),
    Motion("appear{s}", lambda t, k, _: Pose(alpha=min(max(2.2 * t - 0.6, 0), 1)), paced=False),
    Motion("fade{s} and disappear{s}", lambda t, k, _: Pose(
        alpha=min(max(1.6 - 2.2 * t, 0), 1)), paced=False),
    Motion("unfold{s}", lambda t, k, _: Pose(squash=0.1 + 0.9 * ease(t)), paced=False),
    Motion("fold{s} together", lambda t, k, _: Pose(squash=1 - 0.9 * ease(t)), paced=False),
    Motion("split{s} in two", lambda t, k, side: Pose(x=0.28 * k * side * ease(t)), copies=2),
    Motion("come{s} together", lambda t, k, side: Pose(
        x=0.35 * k * side * (1 - ease(t))), copies=2),
    Motion("spread{s} outward", lambda t, k, side: Pose(
        y=0.3 * k * side * ease(t), scale=0.7 + 0.3 * t), copies=2),
)  # fmt: skip

STICK_MOTIONS: Final[tuple[Motion, ...]] = (
    Motion("enter{s} from the {side}", lambda t, k, _: Pose(along=1.1 * (1 - ease(t)))),
    Motion("is drawn back to the {side}", lambda t, k, _: Pose(along=1.1 * ease(t))),
    Motion("move{s} in and out from the {side}", lambda t, k, _: Pose(
        along=0.45 - 0.45 * k * _wave(t, 0.5))),
    Motion("push{es} forward from the {side} again and again", lambda t, k, _: Pose(
        along=0.2 * k * _wave(t, 2))),
    Motion("sweep{s} from side to side at the {side}", lambda t, k, _: Pose(
        turn=0.35 * k * _wave(t, 1))),
    Motion("circle{s} slowly at the {side}", lambda t, k, _: Pose(
        x=0.12 * float(np.cos(6 * t)), y=0.12 * float(np.sin(6 * t)))),
    Motion("rest{s} at the {side}", lambda t, k, _: Pose(along=0.1)),
)  # fmt: skip
SIDES: Final = {"right": 0.0, "lower edge": np.pi / 2, "left": np.pi, "upper edge": -np.pi / 2}

# Camera: (time, amplitude) -> pose of the scene as the camera sees it.
CAMERAS: Final[dict[str, Callable[[float, float], Pose]]] = {
    "": lambda t, k: Pose(),
    "the camera zooms in": lambda t, k: Pose(scale=1 + 0.45 * k * t),
    "the camera zooms out": lambda t, k: Pose(scale=1 + 0.45 * k * (1 - t)),
    "the camera moves to the left": lambda t, k: Pose(x=0.4 * k * (t - 0.5)),
    "the camera moves to the right": lambda t, k: Pose(x=-0.4 * k * (t - 0.5)),
    "the camera moves upward": lambda t, k: Pose(y=0.35 * k * (t - 0.5)),
    "the camera moves downward": lambda t, k: Pose(y=-0.35 * k * (t - 0.5)),
    "the camera turns": lambda t, k: Pose(turn=0.7 * k * (t - 0.5)),
    "the camera shakes": lambda t, k: Pose(x=0.06 * k * _wave(t, 2.9), y=0.05 * k * _wave(t, 3.7)),
}
# Light: time -> gain.
LIGHTS: Final[dict[str, Callable[[float], float]]] = {
    "": lambda t: 1.0,
    "the light fades": lambda t: 1.1 - 0.75 * t,
    "the light becomes bright": lambda t: 0.4 + 0.8 * t,
}
