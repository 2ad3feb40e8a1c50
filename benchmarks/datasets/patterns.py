"""Colours, still textures and filled outlines that the captioned corpora are drawn from.

Source of every number: our choice, by eye.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Colour = tuple[int, int, int]  # RGB, 0-255
Plane = NDArray[np.float32]  # (H, W), 0-1
Points = NDArray[np.float64]  # (N, 2), x to the right, y down

COLOURS: Final[dict[str, Colour]] = {
    "red": (200, 45, 40),
    "orange": (232, 136, 45),
    "yellow": (235, 210, 70),
    "green": (70, 160, 80),
    "blue": (50, 95, 195),
    "violet": (135, 75, 175),
    "pink": (235, 165, 170),
    "brown": (120, 80, 50),
    "grey": (135, 138, 142),
    "white": (238, 236, 230),
    "black": (24, 22, 24),
}
SHADES: Final[dict[str, float]] = {"dark": 0.55, "pale": 1.35, "bright": 1.2}


def draw_colour(rng: Rng, avoid: str = "") -> tuple[str, Colour]:
    """A colour's words ("dark blue") and a shade of it; its hue is not that of `avoid`."""
    names = [name for name in COLOURS if name not in avoid.split()]
    name = names[int(rng.integers(len(names)))]
    words, factor = name, 1.0
    if name not in ("white", "black") and rng.random() < 0.4:
        shade = list(SHADES)[int(rng.integers(len(SHADES)))]
        words, factor = f"{shade} {name}", SHADES[shade]
    value = np.asarray(COLOURS[name]) * factor + (30 if factor > 1.3 else 0)
    red, green, blue = np.clip(value + rng.uniform(-18, 18, 3), 0, 255).astype(int).tolist()
    return words, (red, green, blue)


def noise(rng: Rng, height: int, width: int, cells: int, stretch: float = 1.0) -> Plane:
    """Smooth random field in 0-1, about `cells` bumps high; `stretch` > 1 makes them wide."""
    rows = max(cells, 2)
    columns = max(int(rows * width / height / stretch), 2)
    grid = rng.random((rows, columns), dtype=np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def cloudy(rng: Rng, height: int, width: int) -> Plane:
    """Sum of three octaves of smooth noise."""
    field = sum(noise(rng, height, width, int(3 * 2**k)) / 2**k for k in range(3))
    return np.clip((field / 1.75 - 0.5) * 1.6 + 0.5, 0, 1).astype(np.float32)


def _axes(rng: Rng, height: int, width: int) -> tuple[Plane, Plane]:
    """Coordinates in units of the height, turned by a random angle."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos - y * sin, x * sin + y * cos


def _shaded(rng: Rng, height: int, width: int) -> Plane:
    x, _ = _axes(rng, height, width)
    return (x - x.min()) / np.ptp(x)


def _striped(rng: Rng, height: int, width: int) -> Plane:
    x, _ = _axes(rng, height, width)
    wave = np.sin(x * np.float32(rng.uniform(14, 45)))
    return np.clip(wave * rng.uniform(1, 6) + 0.5, 0, 1).astype(np.float32)


def _checked(rng: Rng, height: int, width: int) -> Plane:
    x, y = _axes(rng, height, width)
    rate = np.float32(rng.uniform(10, 26))
    return np.clip(np.sin(x * rate) * np.sin(y * rate) * 5 + 0.5, 0, 1)


def _dotted(rng: Rng, height: int, width: int) -> Plane:
    x, y = _axes(rng, height, width)
    rate = np.float32(rng.uniform(18, 36))
    return np.clip((np.cos(x * rate) + np.cos(y * rate) - rng.uniform(0.6, 1.2)) * 4, 0, 1)


def _wavy(rng: Rng, height: int, width: int) -> Plane:
    x, y = _axes(rng, height, width)
    bend = np.sin(y * np.float32(rng.uniform(5, 14))) * np.float32(rng.uniform(0.03, 0.1))
    return np.sin((x + bend) * np.float32(rng.uniform(16, 34))) * 0.5 + 0.5


def _rippled(rng: Rng, height: int, width: int) -> Plane:
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    radius = np.hypot(x - rng.uniform(0, width / height), y - rng.uniform(0, 1))
    return np.sin(radius * rng.uniform(14, 40)).astype(np.float32) * 0.5 + 0.5


def _streaked(rng: Rng, height: int, width: int) -> Plane:
    return noise(rng, height, width, height // 2, stretch=rng.uniform(8, 24))


def _patchy(rng: Rng, height: int, width: int) -> Plane:
    field = noise(rng, height, width, int(rng.integers(3, 9)))
    return np.clip((field - np.float32(0.5)) * 9 + 0.5, 0, 1).astype(np.float32)


def _grainy(rng: Rng, height: int, width: int) -> Plane:
    return cv2.GaussianBlur(rng.random((height, width), dtype=np.float32), (0, 0), 0.7)


def veined(rng: Rng, height: int, width: int) -> Plane:
    """Thin wandering lines that start at a border."""
    plane = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(4, 14))):
        start = np.array([rng.uniform(0, width), rng.choice([0.0, height])])
        heading = rng.uniform(0.2, np.pi - 0.2) * (1 if start[1] == 0 else -1)
        turns = heading + np.cumsum(rng.normal(0, 0.35, 14))
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * height * 0.06
        path = np.round((start + np.cumsum(steps, axis=0)) * 16).astype(np.int32)
        thickness = int(rng.integers(1, 3))
        cv2.polylines(plane, [path], False, int(rng.integers(110, 256)), thickness, cv2.LINE_AA, 4)
    return plane.astype(np.float32) / np.float32(255)


TEXTURES: Final[dict[str, Callable[[Rng, int, int], Plane]]] = {
    "plain": lambda _, height, width: np.zeros((height, width), np.float32),
    "shaded": _shaded,
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "cloudy": cloudy,
    "wavy": _wavy,
    "rippled": _rippled,
    "streaked": _streaked,
    "patchy": _patchy,
    "grainy": _grainy,
    "veined": veined,
}


def mix(plane: Plane, low: Colour, high: Colour) -> NDArray[np.uint8]:
    """(H, W) 0-1 -> (H, W, 3) uint8, from `low` at 0 to `high` at 1."""
    blend = np.asarray(low, np.float32) + plane[..., None] * (np.asarray(high) - np.asarray(low))
    return np.clip(blend, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Part:
    """One outline of a shape in shape units (radius about 1), filled or drawn as a line.

    `tone` multiplies the shape's colour; above 1 it also lightens (a gloss, a rim of light).
    """

    points: Points
    tone: float = 1.0
    line: float = 0.0  # width in shape units; 0 fills the outline

    def colour(self, base: Colour) -> Colour:
        lift = 90 * max(self.tone - 1, 0)
        red, green, blue = (int(min(value * self.tone + lift, 255)) for value in base)
        return red, green, blue


def _round(radius: float = 1.0, squash: float = 1.0, x: float = 0.0, y: float = 0.0) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([np.cos(angle) * radius + x, np.sin(angle) * radius * squash + y], axis=1)


def _spiky(corners: int, inner: float, turn: float = -np.pi / 2) -> Points:
    """Regular polygon of `corners` tips; `inner` < 1 pulls the points between them in."""
    angle = turn + np.arange(2 * corners) * np.pi / corners
    radius = np.where(np.arange(2 * corners) % 2 == 0, 1.0, inner)
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1)


def _blob(rng: Rng) -> Points:
    outline = _round()
    waves = np.arange(2, 5)[:, None] * np.arctan2(outline[:, 1], outline[:, 0])
    swell = (np.sin(waves + rng.uniform(0, 6, (3, 1))) * rng.uniform(0.05, 0.2, (3, 1))).sum(axis=0)
    return outline * (0.85 + swell[:, None])


def _thread(rng: Rng) -> Points:
    x = np.linspace(-1.6, 1.6, 20)
    return np.stack([x, np.sin(x * rng.uniform(1.5, 4) + rng.uniform(0, 6)) * 0.5], axis=1)


def _box(half_width: float, half_height: float, x: float = 0.0) -> Points:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    return corners * (half_width, half_height) + (x, 0.0)


def stick(rng: Rng) -> list[Part]:
    """A long stick whose tip is at the origin and whose shaft runs off along +x."""
    thin = rng.uniform(0.05, 0.14)
    shaft = _box(3.0, thin, x=3.3)
    gloss = Part(np.array([[0.3, -thin / 3], [6.0, -thin / 3]]), tone=1.5, line=thin / 2)
    kind = int(rng.integers(4))
    if kind == 0:  # pointed
        return [Part(shaft), Part(np.array([[0.0, 0.0], [0.5, -thin], [0.5, thin]])), gloss]
    if kind == 1:  # forked
        prongs = [Part(np.array([[0.0, s * 0.2], [0.6, s * thin]]), line=thin) for s in (-1, 1)]
        return [Part(shaft), *prongs, gloss]
    if kind == 2:  # bent
        hook = np.array([[0.05, 0.3], [0.0, 0.0], [0.4, 0.0]])
        return [Part(shaft), Part(hook, line=thin), gloss]
    return [Part(shaft), Part(_round(0.22)), gloss]


# name -> parts; "a <name>", "two <name>s".
SHAPES: Final[dict[str, Callable[[Rng], list[Part]]]] = {
    "disc": lambda _: [Part(_round())],
    "ball": lambda _: [
        Part(_round(), tone=0.75), Part(_round(0.8, x=-0.1, y=-0.1)),
        Part(_round(0.35, x=-0.3, y=-0.3), tone=1.4),
    ],
    "ring": lambda rng: [Part(_round(), line=rng.uniform(0.12, 0.45))],
    "oval": lambda rng: [Part(_round(squash=rng.uniform(0.4, 0.65)))],
    "bubble": lambda _: [
        Part(_round(), tone=1.25), Part(_round(), tone=0.7, line=0.1),
        Part(_round(0.2, x=-0.4, y=-0.4), tone=2.0),
    ],
    "square": lambda _: [Part(_box(0.9, 0.9))],
    "bar": lambda _: [Part(_box(1.3, 0.3))],
    "triangle": lambda _: [Part(_spiky(3, 0.5))],
    "star": lambda rng: [Part(_spiky(int(rng.integers(5, 8)), 0.45))],
    "cross": lambda _: [Part(_box(1.0, 0.25)), Part(_box(0.25, 1.0))],
    "blob": lambda rng: [Part(_blob(rng))],
    "thread": lambda rng: [Part(_thread(rng), line=rng.uniform(0.06, 0.12))],
}  # fmt: skip
