"""Fingerprints by which a clip is known again after re-encoding, mirroring or a slight crop.

    frames -> four small grey frames without their coarse brightness -> one vector a clip
    vectors - mean of the references -> cosine, where the mean colours are alike -> nearest one

The coarse brightness goes because all eyes share it: what is left are vessels, lids, instruments
and where they are. Views of the room, which differ in little but their light, need the colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.video import uniform_indices

SIDE_PX = 16
BLUR_PX = 2.0  # what is coarser than this is taken away
NUM_FRAMES = 4
CROPS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)  # of a side, tried on the references
COLOUR_LEVELS = 16.0  # most that a channel's mean may differ between copies, of 255
# Source: our choice. OphSim's copies reach it, and 3 of 7.9 million other pairs (docs/log.md).
SAME = 0.98
CHUNK = 512
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Nearest:
    """For every suspect the most similar reference: cosine in -1..1 and its index, (N,) each."""

    similarity: Array
    index: NDArray[np.int64]


def fingerprints(
    frames: NDArray[np.uint8], *, crop: float = 0.0, mirrored: bool = False
) -> NDArray[np.float32]:
    """One vector a clip, not yet centred.

    Args: frames: (N, T, H, W, 3) uint8, may be memory-mapped; crop: the share of each side that
    is cut off around the centre.  Returns: (N, 1024) float32.
    """
    height, width = frames.shape[2:4]
    top, left = round(height * crop / 2), round(width * crop / 2)
    moments = uniform_indices(frames.shape[1], NUM_FRAMES)
    found = np.empty((len(frames), NUM_FRAMES, SIDE_PX, SIDE_PX), np.float32)
    for clip, target in zip(frames, found, strict=True):
        for number, moment in enumerate(moments):
            image = clip[moment, top : height - top, left : width - left]
            grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
            small = cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
            fine = small.astype(np.float32)
            target[number] = fine - cv2.GaussianBlur(fine, (0, 0), BLUR_PX)
    if mirrored:
        found = found[..., ::-1]
    return found.reshape(len(frames), -1)


def nearest(suspects: NDArray[np.uint8], references: NDArray[np.uint8]) -> Nearest:
    """The reference of which every suspect is most likely a copy, mirrored or cropped or not.

    Args: clips, (N, T, H, W, 3) and (M, T', H', W', 3) uint8.  Raises: ValueError: if M is 0.
    """
    if not len(references):
        raise ValueError("no reference to compare with")
    plain = fingerprints(references)
    mean = plain.mean(axis=0)
    sides = [_unit(fingerprints(suspects, mirrored=mirrored) - mean) for mirrored in (False, True)]
    colours = mean_colours(suspects), mean_colours(references)
    best = np.full(len(suspects), -1.0, np.float32)
    index = np.zeros(len(suspects), np.int64)
    for crop in CROPS:
        vectors = _unit((plain if crop == 0 else fingerprints(references, crop=crop)) - mean)
        for side in sides:
            for start in range(0, len(side), CHUNK):
                part = slice(start, start + CHUNK)
                cosines = _cosines(side[part], vectors, colours[0][part], colours[1])
                place = cosines.argmax(axis=1)
                value = np.take_along_axis(cosines, place[:, None], axis=1)[:, 0]
                better = value > best[part]
                best[part] = np.where(better, value, best[part])
                index[part] = np.where(better, place, index[part])
    return Nearest(best, index)


def chance_matches(frames: NDArray[np.uint8], cases: NDArray[np.str_]) -> dict[str, float]:
    """How alike clips of different cases are, none of which is a copy of another.

    Returns: the number of `pairs`, the `largest` similarity among them and how many the threshold
    would call the `same`: were that not next to nothing, the threshold would not do for the data.
    """
    plain = fingerprints(frames)
    vectors, colours = _unit(plain - plain.mean(axis=0)), mean_colours(frames)
    pairs, largest, same = 0, -1.0, 0
    everyone = np.arange(len(vectors))
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        apart = (everyone > everyone[part, None]) & (cases[part, None] != cases)
        cosines = _cosines(vectors[part], vectors, colours[part], colours)[apart]
        pairs += len(cosines)
        same += int((cosines >= SAME).sum())
        largest = max(largest, float(cosines.max(initial=-1.0)))
    return {"pairs": pairs, "largest": round(largest, 4), "same": same}


def mean_colours(frames: NDArray[np.uint8]) -> Array:
    """(N, T, H, W, 3) uint8 -> (N, 3) float32, 0..255."""
    return np.stack([clip.mean(axis=(0, 1, 2), dtype=np.float32) for clip in frames])


def _cosines(left: Array, right: Array, left_colours: Array, right_colours: Array) -> Array:
    """(A, D) and (B, D) unit vectors -> (A, B); -1 where the colours (A, 3), (B, 3) are unlike."""
    unlike = np.zeros((len(left), len(right)), bool)
    for channel in range(3):
        apart = left_colours[:, None, channel] - right_colours[None, :, channel]
        unlike |= np.abs(apart) > COLOUR_LEVELS
    return np.where(unlike, np.float32(-1.0), left @ right.T)


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = vectors / np.maximum(lengths, 1e-6)
    return unit
