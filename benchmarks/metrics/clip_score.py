"""CLIPScore: how well a clip's frames fit its prompt, 100 * max(cos, 0), in two variants.

The paper does not say how frames become one score, so both readings exist, under two names.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_embedding_scores(frames: NDArray[np.floating], texts: NDArray[np.floating]) -> Array:
    """Cosine between the text and the mean of the unit frame embeddings.

    Args: frames: (N, T, E) frame embeddings; texts: (N, E).  Returns: (N,) in [0, 100].
    Source: Hessel et al. 2021 (arXiv 2104.08718), with w = 100; the mean over frames is our choice.
    """
    clips = _unit(np.asarray(frames, np.float64)).mean(axis=1)
    return _score((_unit(clips) * _unit(np.asarray(texts, np.float64))).sum(axis=-1))


def mean_frame_scores(frames: NDArray[np.floating], texts: NDArray[np.floating]) -> Array:
    """Mean over frames of the cosine between text and frame; arguments and result as above."""
    unit_texts = _unit(np.asarray(texts, np.float64))[:, np.newaxis]
    cosines = (_unit(np.asarray(frames, np.float64)) * unit_texts).sum(axis=-1)
    return _score(cosines).mean(axis=1)


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Array = vectors / np.maximum(lengths, 1e-12)
    return unit


def _score(cosines: Array) -> Array:
    return 100.0 * np.maximum(cosines, 0.0)
