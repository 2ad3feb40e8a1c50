"""What is wrong with raw clips: frozen, shaky, cut to pieces, too small. Frames in, frames out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import cv2
import numpy as np

from core.video import Frames

Dynamics = Literal["normal", "static", "shaky", "hard_cut"]
CUT_EVERY: Final = 2  # frames between hard cuts; a quarter of a second at 8 fps


def freeze(frames: Frames) -> Frames:
    """The middle frame, repeated."""
    return np.repeat(frames[len(frames) // 2 : len(frames) // 2 + 1], len(frames), axis=0)


def shake(rng: np.random.Generator, frames: Frames) -> Frames:
    """A hand-held camera that jumps at every frame while its exposure hunts.

    Source of the ranges: our choice, large enough that most frames differ strongly.
    """
    height, width = frames.shape[1:3]
    shaken = np.empty_like(frames)
    for index, frame in enumerate(frames):
        zoom, angle = rng.uniform(1.1, 1.5), rng.uniform(-16, 16)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
        matrix[:, 2] += rng.uniform(-0.16, 0.16, 2) * (width, height)
        moved = cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        shaken[index] = np.clip(moved * rng.uniform(0.55, 1.45), 0, 255).astype(np.uint8)
    return shaken


def cut_together(scenes: Sequence[Frames], num_frames: int) -> Frames:
    """Hard cuts: `CUT_EVERY` frames of each scene in turn, scenes going on where they stopped.

    Args: scenes: each (T, H, W, 3) uint8, T at least num_frames / len(scenes) + CUT_EVERY.
    """
    turns = [index // CUT_EVERY for index in range(num_frames)]
    shown = [0] * len(scenes)
    frames = []
    for turn in turns:
        scene = turn % len(scenes)
        frames.append(scenes[scene][shown[scene]])
        shown[scene] += 1
    return np.stack(frames)
