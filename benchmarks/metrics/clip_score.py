"""CLIPScore: how well a clip's frames fit its prompt, 100 * max(cos, 0), in two variants.

The paper does not say how frames become one score, so both readings exist, under two names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

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


def class_probabilities(
    frames: NDArray[np.floating], texts: Sequence[NDArray[np.floating] | None], logit_scale: float
) -> Array:
    """How likely each class is to be what a clip shows, by its nearness to the class's texts.

    Args: frames: (N, T, E) frame embeddings; texts: by class, (P, E) of its P texts, which count as
    one, the mean of their unit vectors; None: a class without any, whose probability is 0.
    logit_scale: the encoder's, > 0.  Returns: (N, C), rows sum to 1.
    Source: Radford et al. 2021 (arXiv 2103.00020), Sec. 3.1.4 (ensembles of prompts).
    """
    clips = _unit(_unit(np.asarray(frames, np.float64)).mean(axis=1))
    logits = np.full((len(clips), len(texts)), -np.inf)
    for number, group in enumerate(texts):
        if group is not None:
            text = _unit(_unit(np.asarray(group, np.float64)).mean(axis=0))
            logits[:, number] = logit_scale * clips @ text
    return np.asarray(softmax(logits, axis=1))


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Array = vectors / np.maximum(lengths, 1e-12)
    return unit


def _score(cosines: Array) -> Array:
    return 100.0 * np.maximum(cosines, 0.0)
