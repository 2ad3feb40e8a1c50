"""Biomed-sim: captioned clips of other anatomy (endoscopy, ultrasound, cells under a microscope).

Stands for the biomedical video on which Bora and Endora were trained before they saw an eye.
Source of every range: our choice, by eye.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import cv2
import numpy as np

from benchmarks.datasets.captioned import Drawer
from benchmarks.datasets.patterns import Colour, Plane, Rng, cloudy, mix, noise, veined
from core.video import Frames

T = TypeVar("T")
Painter = Callable[[float], Frames]  # time 0-1 -> (H, W, 3) uint8
# A modality draws its caption from the first generator and its pixels from the second, so that
# the caption does not depend on the frame's size.
Modality = Callable[[Rng, Rng, int, int], tuple[str, Painter]]

_DRIFTS: Final[dict[str, tuple[float, float]]] = {
    "to the left": (-1.0, 0.0),
    "to the right": (1.0, 0.0),
    "upward": (0.0, -1.0),
    "downward": (0.0, 1.0),
}


def _pick(rng: Rng, items: dict[str, T]) -> tuple[str, T]:
    name = list(items)[int(rng.integers(len(items)))]
    return name, items[name]


_LININGS: Final[dict[str, tuple[Colour, Colour]]] = {
    "pink": ((226, 140, 130), (168, 78, 76)),
    "red": ((196, 74, 60), (120, 34, 30)),
    "pale": ((238, 196, 176), (196, 128, 112)),
    "brown": ((206, 134, 88), (132, 66, 40)),
}
_ADVANCES: Final[dict[str, float]] = {
    "moves forward through": 1.0,
    "is drawn back through": -1.0,
    "rests in": 0.0,
}
_FOLDS: Final[dict[str, float]] = {"round folds": 0.9, "deep folds": 1.6, "a smooth wall": 0.15}
_POLYPS: Final[dict[str, bool]] = {"": False, " and a pale polyp on its wall": True}


def _endoscopy(words: Rng, rng: Rng, height: int, width: int) -> tuple[str, Painter]:
    """A tunnel: a wall texture in (depth, angle), looked at along its axis."""
    lining, (light, dark) = _pick(words, _LININGS)
    advance_words, advance = _pick(words, _ADVANCES)
    fold_words, folds = _pick(words, _FOLDS)
    polyp_words, polyp = _pick(words, _POLYPS)
    drift_words, drift = _pick(words, _DRIFTS)
    caption = (
        f"an endoscope {advance_words} a {lining} tunnel with {fold_words}{polyp_words} "
        f"and its dark centre drifts {drift_words}"
    )

    rows, columns = 4 * height, 2 * height  # depth, angle
    depth = np.arange(rows, dtype=np.float32)[:, None] / rows
    bend = noise(rng, rows, columns, 5) * 0.6
    creases = (np.sin((depth * rng.integers(7, 13) + bend) * 2 * np.pi) * 0.5 + 0.5) ** 2
    wall = mix(np.clip(cloudy(rng, rows, columns) * 0.5 + folds * 0.5 * creases, 0, 1), light, dark)
    vessels = veined(rng, rows, columns)[..., None] * 0.5
    wall = (wall * (1 - vessels) + vessels * np.array(dark)).astype(np.uint8)
    if polyp:
        spot = (int(rng.integers(columns // 4, 3 * columns // 4)), rows // 2)
        cv2.ellipse(wall, spot, (height // 5, height // 4), 0, 0, 360, light, -1, cv2.LINE_AA)
        cv2.circle(wall, spot, height // 14, (250, 236, 226), -1, cv2.LINE_AA)
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    start, spin = rng.uniform(-0.22, 0.22, 2), rng.uniform(-0.8, 0.8)
    lobes, turn = rng.uniform(0.1, 0.32, 2), rng.uniform(0, 6, 2)

    def mirrored(value: Plane) -> Plane:
        return np.abs(value % 2 - 1)  # a triangle wave: the texture repeats without a seam

    def paint(time: float) -> Frames:
        move = 0.3 * (time - 0.5)
        dx, dy = x - width / height / 2 - start[0] - move * drift[0], y - 0.5 - start[1]
        dy = dy - move * drift[1]
        angle = np.arctan2(dy, dx)
        # Three muscle bands pull the opening into a triangle with an uneven rim.
        rim = 1 + lobes[0] * np.sin(3 * angle + turn[0]) + lobes[1] * np.sin(2 * angle + turn[1])
        radius = np.hypot(dx, dy) * rim + 0.02
        # Perspective: depth falls with the logarithm of the distance from the axis.
        map_y = mirrored(0.5 - 0.3 * np.log(radius) + 0.25 * advance * time) * (rows - 1)
        map_x = mirrored(angle / np.pi + spin * time) * (columns - 1)
        seen = cv2.remap(wall, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR)
        lit = np.clip(2.4 * radius**1.2, 0, 1.05)
        return np.clip(seen * lit[..., None], 0, 255).astype(np.uint8)

    return caption, paint


_ECHOES: Final[dict[str, tuple[Colour, Colour]]] = {
    "grey": ((8, 8, 10), (225, 228, 230)),
    "brown": ((12, 8, 4), (230, 205, 165)),
    "blue": ((4, 8, 16), (190, 215, 240)),
}
_CAVITIES: Final[dict[str, tuple[float, float]]] = {
    "a small dark cyst": (0.10, 0.9),
    "a large dark cyst": (0.2, 0.8),
    "a long dark vessel": (0.3, 0.25),
    "a bright stone": (-0.08, 0.7),
}
_PULSES: Final[dict[str, Callable[[float], float]]] = {
    "stays still": lambda t: 1.0,
    "swells and shrinks again": lambda t: 1 + 0.35 * float(np.sin(2 * np.pi * t)),
    "grows": lambda t: 0.6 + 0.7 * t,
    "shrinks": lambda t: 1.3 - 0.7 * t,
}


def _ultrasound(words: Rng, rng: Rng, height: int, width: int) -> tuple[str, Painter]:
    """Speckle in layers inside a fan, with one cavity."""
    colour, (low, high) = _pick(words, _ECHOES)
    cavity_words, (size, squash) = _pick(words, _CAVITIES)
    pulse_words, pulse = _pick(words, _PULSES)
    drift_words, drift = _pick(words, _DRIFTS)
    caption = (
        f"a {colour} ultrasound scan with speckle shows {cavity_words} that {pulse_words} "
        f"while the probe moves {drift_words}"
    )

    rows, columns = 2 * height, 2 * width
    grain = cv2.GaussianBlur(rng.rayleigh(0.5, (rows, columns)), (0, 0), 0.8)
    layers = 0.35 + 0.65 * noise(rng, rows, columns, 7, stretch=3.0)
    tissue = np.clip(grain * layers, 0, 1).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    x -= width / height / 2
    spread = rng.uniform(0.5, 0.9)
    fan = (np.abs(np.arctan2(x, y + 0.15)) < spread) & (np.hypot(x, y + 0.15) < 1.12)
    place, tilt = rng.uniform((-0.2, 0.35), (0.2, 0.65)), rng.uniform(-0.5, 0.5)

    def paint(time: float) -> Frames:
        dx, dy = 0.35 * (time - 0.5) * drift[0], 0.35 * (time - 0.5) * drift[1]
        shift = np.array([[1, 0, -(width / 2 + dx * height)], [0, 1, -(height / 2 + dy * height)]])
        echo = cv2.warpAffine(
            tissue, shift, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        u, v = x - place[0] + dx, y - place[1] + dy
        u, v = u * np.cos(tilt) - v * np.sin(tilt), u * np.sin(tilt) + v * np.cos(tilt)
        distance = np.hypot(u, v / squash) / (abs(size) * pulse(time))
        inside = np.clip((1.15 - distance) / 0.3, 0, 1)
        echo = np.clip(echo + inside * (0.55 if size < 0 else -0.9), 0, 1) * fan
        return mix(echo.astype(np.float32), low, high)

    return caption, paint


_STAINS: Final[dict[str, tuple[Colour, Colour]]] = {
    "violet": ((176, 130, 190), (92, 48, 130)),
    "pink": ((232, 160, 178), (176, 66, 110)),
    "green": ((120, 196, 120), (40, 120, 60)),
    "brown": ((196, 150, 110), (110, 66, 36)),
    "blue": ((140, 168, 222), (44, 62, 142)),
}
_GROUNDS: Final[dict[str, Colour]] = {
    "white": (240, 238, 236),
    "pale pink": (244, 218, 222),
    "dark grey": (42, 44, 48),
    "black": (12, 12, 16),
}
_COUNTS: Final[dict[str, int]] = {"two": 2, "three": 3, "four": 4, "several": 8, "many": 18}
_FATES: Final[dict[str, str]] = {
    "": "none",
    " and one of them splits in two": "split",
    " and one of them grows": "grow",
    " and one of them fades": "fade",
}


def _cells(words: Rng, rng: Rng, height: int, width: int) -> tuple[str, Painter]:
    """Stained cells that drift; one of them may divide, grow or fade."""
    ground_words, ground = _pick(words, _GROUNDS)
    stain, (body, nucleus) = _pick(words, _STAINS)
    count_words, count = _pick(words, _COUNTS)
    drift_words, drift = _pick(words, _DRIFTS)
    fate_words, fate = _pick(words, _FATES)
    caption = (
        f"{count_words} {stain} cells drift {drift_words} under the microscope over a "
        f"{ground_words} background{fate_words}"
    )

    backdrop = mix(cloudy(rng, height, width) * 0.15, ground, (128, 128, 128))
    aspect = width / height
    places = rng.uniform((-0.1, -0.1), (aspect + 0.1, 1.1), (count, 2))
    places[0] = (aspect / 2, 0.5)  # the one that changes is in view
    radii = rng.uniform(0.05, 0.12, count)
    squash, wobble = rng.uniform(0.7, 1.0, count), rng.uniform(0, 6, count)
    speed = rng.uniform(0.2, 0.5)

    def blob(image: Frames, x: float, y: float, radius: float, number: int, time: float) -> None:
        centre = (round(x * height * 16), round(y * height * 16))
        angle = float(np.rad2deg(wobble[number] + 0.6 * time))
        for colour, share in ((body, 1.0), (nucleus, 0.45)):
            axes = (radius * share * height * 16, radius * share * squash[number] * height * 16)
            size = (round(axes[0]), round(axes[1]))
            cv2.ellipse(image, centre, size, angle, 0, 360, colour, -1, cv2.LINE_AA, 4)

    def paint(time: float) -> Frames:
        image = backdrop.copy()
        for number, (x, y) in enumerate(places):
            x = x + speed * (time - 0.5) * drift[0] + 0.02 * np.sin(6 * time + wobble[number])
            y = y + speed * (time - 0.5) * drift[1]
            radius = radii[number]
            changing = fate if number == 0 else "none"
            if changing == "grow":
                radius *= 0.7 + 1.3 * time
            if changing == "fade":
                layer = image.copy()
                blob(layer, x, y, radius, number, time)
                image = cv2.addWeighted(image, time, layer, 1 - time, 0)
            elif changing == "split":
                for side in (-1, 1):
                    blob(image, x + side * 0.12 * time, y, radius, number, time)
            else:
                blob(image, x, y, radius, number, time)
        return image

    return caption, paint


MODALITIES: Final[tuple[Modality, ...]] = (_endoscopy, _ultrasound, _cells)


def _draw(seed: int, width: int, height: int) -> tuple[str, Painter]:
    words = np.random.default_rng([5_301, seed])
    modality = MODALITIES[int(words.integers(len(MODALITIES)))]
    return modality(words, np.random.default_rng([5_302, seed]), height, width)


def render(seed: int, num_frames: int, width: int, height: int) -> Frames:
    """See `Drawer`."""
    _, paint = _draw(seed, width, height)
    rng = np.random.default_rng([5_303, seed])
    sigma = rng.uniform(1, 6)
    grain = rng.normal(0, sigma, (2 * height, 2 * width, 1)).astype(np.float32)
    frames = []
    for time in np.linspace(0, 1, num_frames):
        y, x = int(rng.integers(height)), int(rng.integers(width))
        noisy = paint(float(time)) + grain[y : y + height, x : x + width]
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return np.stack(frames)


def caption_of(seed: int) -> str:
    """See `Drawer`."""
    return _draw(seed, width=32, height=32)[0]


BIOMED_SIM: Final = Drawer("biomed", "1", render, caption_of)
