"""Natural-sim: captioned moving shapes over textures, seen by a moving camera.

Stands for the natural video that a base text-to-video model is pre-trained on. It shows no eye and
no surgery, but shares its words for colours, numbers, directions and motions.
Source of every range: our choice, by eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.captioned import Drawer
from benchmarks.datasets.natural_motions import (
    CAMERAS,
    LIGHTS,
    MOTIONS,
    SIDES,
    STICK_MOTIONS,
    Motion,
)
from benchmarks.datasets.patterns import (
    SHAPES,
    TEXTURES,
    Colour,
    Part,
    Rng,
    draw_colour,
    mix,
    stick,
)
from core.video import Frames

_MARGIN: Final = 1.6  # background size over frame size, so that the camera can move
_NUMBERS: Final = ("a", "two", "three", "four", "several")


@dataclass(frozen=True)
class Thing:
    """One or several equal shapes with one motion."""

    parts: tuple[Part, ...]
    colour: Colour
    places: tuple[tuple[float, float], ...]  # frame heights from the centre
    size: float  # frame heights per shape unit
    angle: float
    motion: Motion
    amplitude: float
    soft: bool


def _pick(rng: Rng, items: list[str]) -> str:
    return items[int(rng.integers(len(items)))]


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _article(number: str, noun: str) -> str:
    return f"an {noun}" if number == "a" and noun[0] in "aeiou" else f"{number} {noun}"


def _draw_shape(rng: Rng, background: str) -> tuple[Thing, str]:
    colour_words, colour = draw_colour(rng, avoid=background)
    shape = _pick(rng, list(SHAPES))
    number = int(rng.choice(5, p=[0.5, 0.2, 0.12, 0.08, 0.1]))
    count = number + 1 if number < 4 else int(rng.integers(5, 9))
    sizes = {"small ": 0.07, "": 0.13, "large ": 0.24}
    size_word = _pick(rng, list(sizes))
    size = sizes[size_word] * rng.uniform(0.8, 1.25) / count**0.3
    spread = 0.12 if count == 1 else 0.3
    places = rng.uniform((-1.6 * spread, -spread), (1.6 * spread, spread), (count, 2))
    motion = MOTIONS[int(rng.integers(len(MOTIONS)))]
    speed = _pick(rng, ["", "", "slowly ", "quickly "]) if motion.paced else ""
    amplitude = {"": 1.0, "slowly ": 0.55, "quickly ": 1.5}[speed] * rng.uniform(0.85, 1.15)
    soft = bool(rng.random() < 0.2)
    adjective = "soft " if soft else ""
    ending = "" if count > 1 else "s"
    noun = f"{size_word}{adjective}{colour_words} {shape if count == 1 else _plural(shape)}"
    words = f"{_article(_NUMBERS[number], noun)} {speed}{motion.phrase.format(s=ending)}"
    angle = rng.uniform(0, 2 * np.pi) if shape != "thread" else rng.uniform(-0.5, 0.5)
    thing = Thing(
        parts=tuple(SHAPES[shape](rng)),
        colour=colour,
        places=tuple((float(x), float(y)) for x, y in places),
        size=float(size),
        angle=float(angle),
        motion=motion,
        amplitude=float(amplitude),
        soft=soft,
    )
    return thing, words


def _draw_stick(rng: Rng, background: str) -> tuple[Thing, str]:
    colour_words, colour = draw_colour(rng, avoid=background)
    side = _pick(rng, list(SIDES))
    motion = STICK_MOTIONS[int(rng.integers(len(STICK_MOTIONS)))]
    wide = bool(rng.random() < 0.4)
    words = f"a {'wide' if wide else 'thin'} {colour_words} stick "
    thing = Thing(
        parts=tuple(stick(rng)),
        colour=colour,
        places=((float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.2, 0.2))),),
        size=0.35 if wide else 0.2,
        angle=SIDES[side] + float(rng.uniform(-0.5, 0.5)),
        motion=motion,
        amplitude=float(rng.uniform(0.8, 1.2)),
        soft=False,
    )
    return thing, words + motion.phrase.format(s="s", es="es", side=side)


@dataclass(frozen=True)
class Scene:
    """Everything that one seed decides."""

    caption: str
    texture: str
    low: Colour
    high: Colour
    things: tuple[Thing, ...]
    camera: str
    camera_amplitude: float
    light: str
    blur: float  # sigma in pixels at 64 rows
    noise: float  # sigma in grey levels

    @classmethod
    def draw(cls, seed: int) -> Scene:
        """One clip's scene."""
        rng = np.random.default_rng([4_211, seed])
        texture = _pick(rng, list(TEXTURES))
        low_words, low = draw_colour(rng)
        high_words, high = draw_colour(rng, avoid=low_words)
        ground = low_words if texture == "plain" else f"{low_words} and {high_words}"
        count = int(rng.choice([1, 2, 3], p=[0.5, 0.38, 0.12]))
        drawn = [
            (_draw_stick if rng.random() < 0.3 else _draw_shape)(rng, ground) for _ in range(count)
        ]
        camera = _pick(rng, ["", *CAMERAS])
        light = _pick(rng, ["", "", "", *LIGHTS])
        place = f"over a {texture} {ground} background"
        action = " while ".join(words for _, words in drawn)
        scene = f"{place} {action}" if rng.random() < 0.3 else f"{action} {place}"
        caption = " and ".join(words for words in (scene, camera, light) if words)
        return cls(
            caption=caption,
            texture=texture,
            low=low,
            high=high,
            things=tuple(thing for thing, _ in drawn),
            camera=camera,
            camera_amplitude=float(rng.uniform(0.6, 1.2)),
            light=light,
            blur=float(rng.uniform(0, 0.8)),
            noise=float(rng.uniform(0, 5)),
        )


def _affine(
    scale: float, angle: float, x: float, y: float, squash: float = 1.0
) -> NDArray[np.float64]:
    """(3, 3) matrix: squash across the axis, scale, turn, translate."""
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    return np.array([[cos, -sin * squash, x], [sin, cos * squash, y], [0.0, 0.0, 1.0]])


def _paint(
    image: Frames, parts: tuple[Part, ...], matrix: NDArray[np.float64], ink: Colour
) -> None:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    for part in parts:
        points = part.points @ matrix[:2, :2].T + matrix[:2, 2]
        fixed = np.clip(np.round(points * 16), -30_000, 30_000).astype(np.int32)
        if part.line:
            width = max(round(part.line * scale), 1)
            closed = len(points) > 25  # round outlines close, threads and prongs do not
            cv2.polylines(image, [fixed], closed, part.colour(ink), width, cv2.LINE_AA, 4)
        else:
            cv2.fillPoly(image, [fixed], part.colour(ink), cv2.LINE_AA, 4)


def _draw_thing(
    image: Frames, thing: Thing, time: float, world: NDArray[np.float64], height: int
) -> Frames:
    """`image` (H, W, 3) with the thing at `time`; `world` maps frame heights to pixels."""
    layer, alpha = image.copy(), 1.0
    for x, y in thing.places:
        for copy in range(thing.motion.copies):
            pose = thing.motion.pose(time, thing.amplitude, 2 * copy - 1)
            alpha = pose.alpha
            angle = thing.angle + pose.turn
            dx = pose.x + pose.along * np.cos(angle)
            dy = pose.y + pose.along * np.sin(angle)
            local = _affine(thing.size * pose.scale, angle, x + dx, y + dy, pose.squash)
            _paint(layer, thing.parts, world @ local, thing.colour)
    if thing.soft:
        changed = (layer != image).any(axis=2).astype(np.float32)
        weight = cv2.GaussianBlur(changed, (0, 0), height / 28)[..., None] * alpha
        smooth = cv2.GaussianBlur(layer, (0, 0), height / 40)
        return (image + weight * (smooth.astype(np.float32) - image)).astype(np.uint8)
    return layer if alpha >= 1 else cv2.addWeighted(image, 1 - alpha, layer, alpha, 0)


def _render_scene(scene: Scene, seed: int, num_frames: int, width: int, height: int) -> Frames:
    rng = np.random.default_rng([4_212, seed])
    rows, columns = round(height * _MARGIN), round(width * _MARGIN)
    ground = mix(TEXTURES[scene.texture](rng, rows, columns), scene.low, scene.high)
    grain = rng.normal(0, scene.noise, (2 * height, 2 * width, 1)).astype(np.float32)
    to_centre = _affine(1, 0, -columns / 2, -rows / 2)
    frames = []
    for time in np.linspace(0, 1, num_frames):
        view = CAMERAS[scene.camera](float(time), scene.camera_amplitude)
        shift = (width / 2 + view.x * height, height / 2 + view.y * height)
        world = _affine(view.scale * height, view.turn, *shift)
        backdrop = _affine(view.scale, view.turn, *shift) @ to_centre
        image = cv2.warpAffine(
            ground, backdrop[:2], (width, height), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        for thing in scene.things:
            image = _draw_thing(image, thing, float(time), world, height)
        sigma = scene.blur * height / 64
        if sigma > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        y, x = int(rng.integers(height)), int(rng.integers(width))
        lit = image * np.float32(LIGHTS[scene.light](float(time)))
        frames.append(np.clip(lit + grain[y : y + height, x : x + width], 0, 255))
    return np.stack(frames).astype(np.uint8)


def render(seed: int, num_frames: int, width: int, height: int) -> Frames:
    """See `Drawer`."""
    return _render_scene(Scene.draw(seed), seed, num_frames, width, height)


def caption_of(seed: int) -> str:
    """See `Drawer`."""
    return Scene.draw(seed).caption


NATURAL_SIM: Final = Drawer("natural", "1", render, caption_of)
