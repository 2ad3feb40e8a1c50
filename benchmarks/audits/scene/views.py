"""Training and novel views of a clip, and the numbers of the novel ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.runtime import derive_seed
from core.video import Frames

HOLD_OUT = 4  # our choice: every fourth; the usual eighth would leave one view of nine frames


class Shown(NamedTuple):
    """A view as it was reconstructed: (H, W, 3) float in 0..1, and (H, W) depths."""

    colour: NDArray[np.floating]
    depth: NDArray[np.floating]


Render = Callable[[int], Shown]  # of a camera, by its place


class Split(NamedTuple):
    """Places of cameras, rising."""

    training: tuple[int, ...]
    novel: tuple[int, ...]


def split(count: int) -> Split:
    """Every `HOLD_OUT`th of `count` views is novel, and never the first or the last: what lies
    beyond the training views cannot be known."""
    novel = tuple(range(HOLD_OUT // 2, count - 1, HOLD_OUT))
    return Split(tuple(place for place in range(count) if place not in novel), novel)


def shuffled(frames: Frames, seed: int) -> Frames:
    """The frames in an order in which none keeps its place.

    Raises: ValueError: if there is one frame alone.
    """
    if len(frames) < 2:
        raise ValueError("one frame cannot change places")
    rng = np.random.default_rng(derive_seed("shuffled frames", seed))
    while True:
        order = rng.permutation(len(frames))
        if (order != np.arange(len(frames))).all():
            return frames[order]


def psnr_db(shown: NDArray[np.floating], real: NDArray[np.floating]) -> float:
    """Peak signal-to-noise ratio of pictures in 0..1, in decibels; infinite for equal ones."""
    error = float(np.mean((np.asarray(shown, np.float64) - real) ** 2))
    return -10 * math.log10(error) if error else math.inf


def depth_variation(depth: NDArray[np.floating]) -> float:
    """Total variation of an (H, W) depth map, (1 / HW) sum |d_x z| + |d_y z|, in percent of its
    median: cameras from pictures alone have no unit of length.

    A flat wall before the camera has 0, a ramp the slope.  Source of the formula: anisotropic total
    variation; the scale is our choice, Endora names none.
    """
    steps = sum(np.abs(np.diff(depth, axis=axis)).sum() for axis in (0, 1))
    return float(100 * steps / depth.size / np.median(depth))


def scores(render: Render, frames: Frames, views: Split) -> dict[str, float]:
    """Means over the novel views.

    psnr_db: of what is reconstructed; nearest_db: of the nearest training frame in its place, which
    takes no reconstruction; depth_tv: `depth_variation`.
    """
    found = []
    for place in views.novel:
        shown, real = render(place), frames[place] / 255
        near = min(views.training, key=lambda other: (abs(other - place), other))
        found.append(
            {
                "psnr_db": psnr_db(shown.colour, real),
                "nearest_db": min(psnr_db(frames[near] / 255, real), 99.0),
                "depth_tv": depth_variation(shown.depth),
            }
        )
    return means(found)


def means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each number; nothing of no rows."""
    names = rows[0] if rows else ()
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in names}
