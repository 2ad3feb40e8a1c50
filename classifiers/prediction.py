"""Frames -> logits or penultimate features, for evaluation, filters and metrics alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.networks import MEAN, STD, Classifier, normalise

__all__ = ["MEAN", "STD", "normalise", "penultimate_features", "predict"]
BATCH_CLIPS = 64


def predict(
    model: Classifier,
    frames: NDArray[Any],
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    batch_size: int = BATCH_CLIPS,
) -> NDArray[np.float32]:
    """Logits of clips, without dropout -> (N, num_classes) float32.

    Args: frames: (M, T, size, size, 3) uint8 (of a probe, its features), may be memory-mapped;
    rows: which of them, in order (None: all). The model keeps its device and its training or
    evaluation mode.
    """
    return _run(model, model, frames, rows, batch_size)


def penultimate_features(
    model: Classifier,
    frames: NDArray[Any],
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    batch_size: int = BATCH_CLIPS,
) -> NDArray[np.float32]:
    """What the linear layer sees, as `predict` -> (N, D) float32."""
    return _run(model, model.features, frames, rows, batch_size)


def _run(
    model: Classifier,
    function: Callable[[Tensor], Tensor],
    frames: NDArray[Any],
    rows: Sequence[int] | NDArray[np.int64] | None,
    batch_size: int,
) -> NDArray[np.float32]:
    chosen = np.arange(len(frames)) if rows is None else np.asarray(rows, dtype=np.int64)
    if not len(chosen):
        raise ValueError("no clip to predict")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            outputs = [
                function(model.prepare(torch.from_numpy(frames[part]).to(device))).float().cpu()
                for part in _parts(chosen, batch_size)
            ]
    finally:
        model.train(was_training)
    return torch.cat(outputs).numpy()


def _parts(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
