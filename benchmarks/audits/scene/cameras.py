"""Pinhole cameras of one lens, and the points that they see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.files import read_json, write_json

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cameras:
    """T cameras with one focal length, looked through by frames of one size.

    A point X of the world is at R X + t before a camera: x to the right, y down, z forward. Pixel
    (0, 0) is the corner of the picture, its first pixel's centre (0.5, 0.5), the optical axis meets
    the middle, as in COLMAP. Where the cameras come from pictures alone, the world's unit is any.

    focal_px: of a picture (width, height) = size. rotations: (T, 3, 3). translations: (T, 3).
    frames: T numbers of frames of the clip, rising. points: (P, 3), in the world.
    """

    focal_px: float
    size: tuple[int, int]
    rotations: Floats
    translations: Floats
    frames: tuple[int, ...]
    points: Floats

    def __len__(self) -> int:
        return len(self.frames)

    def centres(self) -> Floats:
        """(T, 3): where the cameras stand."""
        return -np.einsum("tji,tj->ti", self.rotations, self.translations)

    def directions(self, view: int, pixels: Floats) -> Floats:
        """(N, 2) x, y of pixels -> (N, 3): how the world's place changes with a unit of depth."""
        middle = np.array(self.size) / 2
        before = np.column_stack([(pixels - middle) / self.focal_px, np.ones(len(pixels))])
        return before @ self.rotations[view]

    def before(self, points: Floats) -> Floats:
        """(P, 3) in the world -> (T, P, 3) before each camera."""
        turned = np.einsum("tij,pj->tpi", self.rotations, points)
        return turned + self.translations[:, None]

    def save(self, path: Path) -> None:
        """As a JSON file."""
        found = {name: np.asarray(value).tolist() for name, value in vars(self).items()}
        write_json(path, found)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        found = read_json(path)
        arrays = {name: np.array(found[name]) for name in ("rotations", "translations", "points")}
        size = (found["size"][0], found["size"][1])
        return cls(found["focal_px"], size, frames=tuple(found["frames"]), **arrays)


def pixel_centres(size: tuple[int, int]) -> Floats:
    """(width * height, 2) x, y, row by row."""
    y, x = np.mgrid[: size[1], : size[0]]
    return np.column_stack([x.ravel(), y.ravel()]) + 0.5
