"""How much a clip moves and how steady it is: one number a clip.

Frame metrics see no time at all. The distance between the real and the generated clips' numbers
(Wasserstein-1, in the number's own unit) tells clips that freeze or flicker from those that move
as real ones do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def frame_change(frames: NDArray[np.uint8]) -> Array:
    """Mean absolute difference of a pixel from one frame to the next.

    Args: frames: (..., T, H, W, 3) uint8.  Returns: (...) in [0, 255], 0 for a frozen clip.
    Raises: ValueError: if there is only one frame.
    Source: VBench (arXiv 2311.17982), temporal flickering, which is 1 - change / 255.
    """
    _need_two(frames.shape[-4])
    before, after = frames[..., :-1, :, :, :], frames[..., 1:, :, :, :]
    # uint8 throughout: a difference of signed numbers would take eight times the memory.
    change = np.maximum(before, after) - np.minimum(before, after)
    result: Array = change.mean(axis=(-4, -3, -2, -1), dtype=np.float64)
    return result


def frame_consistency(embeddings: NDArray[np.floating]) -> Array:
    """Mean cosine between the embeddings of neighbouring frames.

    Args: embeddings: (..., T, E).  Returns: (...) in [-1, 1], 1 for a frozen clip.
    Raises: ValueError: if there is only one frame.
    Source: Esser et al. 2023 (Gen-1, arXiv 2302.03011), frame consistency.
    """
    _need_two(embeddings.shape[-2])
    vectors = np.asarray(embeddings, np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    cosines: Array = (unit[..., :-1, :] * unit[..., 1:, :]).sum(axis=-1).mean(axis=-1)
    return cosines


def _need_two(num_frames: int) -> None:
    if num_frames < 2:
        raise ValueError(f"a change over time needs two frames, got {num_frames}")
