"""Anti-aliased drawing in eye coordinates.

Eye coordinates: origin at the pupil's centre, unit = radius of the limbus, x to the right, y down.
A `View` maps them to pixels, so that the same programme draws at any frame size.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) for a mask
Points = NDArray[np.float64]  # (N, 2) eye coordinates
Colour = tuple[int, int, int]  # RGB, 0-255

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_ONE = 1 << _SHIFT


@dataclass(frozen=True)
class View:
    """Similarity from eye coordinates to pixels: rotate (and mirror), scale, translate."""

    scale: float  # pixels per eye unit
    angle: float  # radians, clockwise on screen
    centre_x: float  # pixels
    centre_y: float
    mirror: bool = False

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 2) linear part."""
        cos, sin = np.cos(self.angle) * self.scale, np.sin(self.angle) * self.scale
        flip = -1.0 if self.mirror else 1.0
        return np.array([[cos * flip, -sin], [sin * flip, cos]])

    def shifted(self, dx: float, dy: float) -> "View":
        """The view moved by (dx, dy) pixels."""
        return View(
            self.scale, self.angle, self.centre_x + dx, self.centre_y + dy, mirror=self.mirror
        )


def polar(radius: float | NDArray[np.float64], degrees: float | NDArray[np.float64]) -> Points:
    """Point(s) at `radius` and angle (degrees clockwise from +x), shape (..., 2)."""
    radians = np.deg2rad(degrees)
    return np.stack([radius * np.cos(radians), radius * np.sin(radians)], axis=-1)


def rotate(points: ArrayLike, degrees: float) -> Points:
    """Points (N, 2) turned about the origin."""
    radians = np.deg2rad(degrees)
    cos, sin = np.cos(radians), np.sin(radians)
    return np.asarray(points, dtype=np.float64) @ np.array([[cos, sin], [-sin, cos]])


@lru_cache(maxsize=512)
def _unit_arc(start: float, stop: float) -> Points:
    count = max(int(abs(stop - start) / 12.0), 2) + 1
    points = polar(1.0, np.linspace(start, stop, count))
    points.setflags(write=False)
    return points


def arc(radius: float, start: float, stop: float, squash: float = 1.0) -> Points:
    """Arc about the origin from `start` to `stop` degrees, a point every 12 degrees."""
    return _unit_arc(start, stop) * np.array([radius, radius * squash])


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` made lighter (factor > 1) or darker."""
    red, green, blue = (int(min(max(c * factor, 0), 255)) for c in colour)
    return red, green, blue


class Canvas:
    """An RGB image being drawn on in eye coordinates; `alpha` < 1 blends.

    While `mask` is set, opaque shapes are also drawn on it (the instruments' mask).
    """

    def __init__(self, image: Image, view: View) -> None:
        self.image = image
        self.view = view
        self.mask: Image | None = None
        self._matrix = view.matrix.T * _ONE
        self._origin = np.array([view.centre_x, view.centre_y]) * _ONE

    def _pixels(self, points: ArrayLike) -> NDArray[np.int32]:
        located = np.asarray(points, dtype=np.float64) @ self._matrix + self._origin
        return np.clip(np.rint(located), -30000, 30000).astype(np.int32)

    def _width(self, width: float) -> int:
        return max(round(width * self.view.scale), 1)

    def _region(self, pixels: NDArray[np.int32], pad: int) -> tuple[slice, slice] | None:
        """Rows and columns that a shape can touch; None when it lies outside the image."""
        low = (pixels.min(axis=0) >> _SHIFT) - pad - 1
        high = (pixels.max(axis=0) >> _SHIFT) + pad + 2
        height, width = self.image.shape[:2]
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]), width), min(int(high[1]), height)
        return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None

    def polygon(self, points: ArrayLike, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a simple polygon."""
        pixels = self._pixels(points)
        if alpha >= 1.0:
            cv2.fillPoly(self.image, [pixels], colour, cv2.LINE_AA, _SHIFT)
            if self.mask is not None:
                cv2.fillPoly(self.mask, [pixels], (255,), cv2.LINE_8, _SHIFT)
            return
        region = self._region(pixels, 1)
        if region is None or alpha <= 0.01:
            return
        base = self.image[region]
        over = base.copy()
        offset = np.array([region[1].start, region[0].start], dtype=np.int32) * _ONE
        cv2.fillPoly(over, [pixels - offset], colour, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(over, alpha, base, 1.0 - alpha, 0.0, dst=over)
        base[...] = over

    def line(
        self,
        points: ArrayLike,
        colour: Colour,
        width: float,
        alpha: float = 1.0,
        closed: bool = False,
    ) -> None:
        """Stroke a polyline; `width` in eye units."""
        pixels = self._pixels(points)
        thickness = self._width(width)
        if alpha >= 1.0:
            cv2.polylines(self.image, [pixels], closed, colour, thickness, cv2.LINE_AA, _SHIFT)
            if self.mask is not None:
                cv2.polylines(self.mask, [pixels], closed, (255,), thickness, cv2.LINE_8, _SHIFT)
            return
        region = self._region(pixels, thickness)
        if region is None or alpha <= 0.01:
            return
        base = self.image[region]
        over = base.copy()
        offset = np.array([region[1].start, region[0].start], dtype=np.int32) * _ONE
        cv2.polylines(over, [pixels - offset], closed, colour, thickness, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(over, alpha, base, 1.0 - alpha, 0.0, dst=over)
        base[...] = over

    def disc(
        self,
        centre: ArrayLike,
        radius: float,
        colour: Colour,
        alpha: float = 1.0,
        squash: float = 1.0,
    ) -> None:
        """Fill a circle, or an ellipse when `squash` (height over width) is not 1."""
        if radius > 0.005:
            self.polygon(arc(radius, 0, 348, squash) + np.asarray(centre), colour, alpha)

    def ring(
        self,
        centre: ArrayLike,
        radius: float,
        colour: Colour,
        width: float,
        alpha: float = 1.0,
        start: float = 0.0,
        stop: float = 360.0,
    ) -> None:
        """Stroke a circle or the part of it between two angles (degrees)."""
        if radius > 0.005 and abs(stop - start) > 1.0:
            self.line(arc(radius, start, stop) + np.asarray(centre), colour, width, alpha)
