"""A small world of textured boxes before a wall, filmed by cameras that are known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.audits.scene.cameras import Cameras, Floats, pixel_centres
from core.video import Frames, write_video

FOCAL = 1.1  # of the picture's width
# Middle and half the size of each box; the last one is the wall.
BOXES = (
    ((-0.9, 0.3, 3.2), (0.5, 0.5, 0.4)),
    ((0.7, -0.4, 4.0), (0.5, 0.6, 0.4)),
    ((0.2, 0.9, 2.8), (0.4, 0.25, 0.3)),
    ((0.0, 0.0, 7.0), (9.0, 9.0, 0.5)),
)


def moving(count: int = 16, size: tuple[int, int] = (192, 128), step: float = 0.09) -> Cameras:
    """Cameras on an arc from the left to the right, turned towards the boxes."""
    along = (np.arange(count) - (count - 1) / 2) * step
    places = np.column_stack([along, 0.25 * np.sin(1.5 * along), 0.1 * along**2])
    return looking(places, -0.22 * along, size)


def turning(count: int = 16, size: tuple[int, int] = (192, 128)) -> Cameras:
    """A camera that stands and turns."""
    return looking(np.zeros((count, 3)), np.linspace(-0.12, 0.12, count), size)


def standing(count: int = 16, size: tuple[int, int] = (192, 128)) -> Cameras:
    """A camera that neither moves nor turns."""
    return looking(np.zeros((count, 3)), np.zeros(count), size)


def looking(places: Floats, yaws: Floats, size: tuple[int, int]) -> Cameras:
    """Cameras at (T, 3) places, turned by (T,) radians about the vertical; sees the boxes."""
    zero, one = np.zeros_like(yaws), np.ones_like(yaws)
    rows = [
        [np.cos(yaws), zero, -np.sin(yaws)],
        [zero, one, zero],
        [np.sin(yaws), zero, np.cos(yaws)],
    ]
    rotations = np.moveaxis(np.array(rows), -1, 0)
    return Cameras(
        focal_px=FOCAL * size[0],
        size=size,
        rotations=rotations,
        translations=-np.einsum("tij,tj->ti", rotations, places),
        frames=tuple(range(len(places))),
        points=_corners(),
    )


def film(cameras: Cameras, zoom: Floats | None = None) -> tuple[Frames, Floats]:
    """(T, H, W, 3) uint8 frames and (T, H, W) depths. zoom: times the focal length, by frame."""
    zoom = np.ones(len(cameras)) if zoom is None else zoom
    shown = [_look(cameras, view, zoom[view]) for view in range(len(cameras))]
    return np.stack([frame for frame, _ in shown]), np.stack([depth for _, depth in shown])


def clip(path: Path, frames: Frames) -> Path:
    """The frames as a real mp4."""
    write_video(path, frames, fps=8, crf=14)
    return path


def _look(cameras: Cameras, view: int, zoom: float) -> tuple[NDArray[np.uint8], Floats]:
    """A frame at twice the size, made smaller, and the depth of each pixel."""
    width, height = cameras.size
    fine = Cameras(
        2 * zoom * cameras.focal_px,
        (2 * width, 2 * height),
        cameras.rotations,
        cameras.translations,
        cameras.frames,
        cameras.points,
    )
    rays = fine.directions(view, pixel_centres(fine.size)).reshape(2 * height, 2 * width, 3)
    start = cameras.centres()[view]
    depth = np.full(rays.shape[:2], np.inf)
    colour = np.zeros(rays.shape, np.float32)
    for number, (middle, half) in enumerate(BOXES):
        sides = np.array([np.subtract(middle, half), np.add(middle, half)]) - start
        with np.errstate(divide="ignore", invalid="ignore"):
            crossed = sides[:, None, None] / rays
        entry = crossed.min(axis=0).max(axis=-1)
        hit = (entry < crossed.max(axis=0).min(axis=-1)) & (entry > 0) & (entry < depth)
        depth[hit] = entry[hit]
        colour[hit] = _painted(start + entry[..., None] * rays, number)[hit]
    small = cv2.resize(colour, cameras.size, interpolation=cv2.INTER_AREA)
    return small.round().astype(np.uint8), depth[::2, ::2]


@cache
def _texture(seed: int) -> NDArray[np.float32]:
    """(512, 512, 3) 0..255: noise of several grains that tiles."""
    rng = np.random.default_rng(seed)
    picture = np.full((512, 512, 3), 128, np.float32)
    for cells, strength in ((32, 45), (96, 45), (256, 40)):
        noise = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        picture += strength * cv2.resize(noise, (512, 512), interpolation=cv2.INTER_LINEAR)
    return np.clip(picture, 0, 255)


def _painted(places: Floats, seed: int) -> NDArray[np.float32]:
    """(H, W, 3) places on a box -> (H, W, 3) colours 0..255."""
    x, y = (64 * (places[..., axis] + places[..., 2] / 2) % 510 for axis in (0, 1))
    mapped = np.stack([x, y], axis=-1).astype(np.float32)
    return cv2.remap(_texture(seed), mapped, None, cv2.INTER_LINEAR)


def _corners() -> Floats:
    """Points on the boxes' front faces and on the part of the wall that is seen."""
    faces = [*((middle, half) for middle, half in BOXES[:-1]), ((0.0, 0.0, 7.0), (3.0, 2.0, 0.5))]
    grid = np.array([(x, y, -1.0) for x in np.linspace(-1, 1, 5) for y in np.linspace(-1, 1, 5)])
    return np.concatenate([np.array(middle) + grid * np.array(half) for middle, half in faces])
