"""Frames -> logits or penultimate features, for evaluation, filters and metrics alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.networks import Classifier

# Source: the Kinetics recipes of pytorchvideo (SlowFast) and mmaction2 (MViTv2), which agree.
MEAN, STD = 0.45, 0.225
BATCH_CLIPS = 64


def normalise(frames: Tensor) -> Tensor:
    """(B, T, H, W, 3) uint8 RGB -> (B, 3, T, H, W) float32 in about -2..2.44.

    The memory is not moved, so the result lies in channels_last_3d.
    """
    return frames.permute(0, 4, 1, 2, 3).to(torch.float32).sub_(255 * MEAN).div_(255 * STD)


def predict(
    model: Classifier,
    frames: NDArray[np.uint8],
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    batch_size: int = BATCH_CLIPS,
) -> NDArray[np.float32]:
    """Logits of clips, without dropout -> (N, num_classes) float32.

    Args: frames: (M, T, size, size, 3) uint8, may be memory-mapped; rows: which of them, in order
    (None: all). The model keeps its device and its training or evaluation mode.
    """
    return _run(model, model, frames, rows, batch_size)


def penultimate_features(
    model: Classifier,
    frames: NDArray[np.uint8],
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    batch_size: int = BATCH_CLIPS,
) -> NDArray[np.float32]:
    """What the linear layer sees, as `predict` -> (N, D) float32."""
    return _run(model, model.features, frames, rows, batch_size)


def _run(
    model: Classifier,
    function: Callable[[Tensor], Tensor],
    frames: NDArray[np.uint8],
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
                function(normalise(torch.from_numpy(frames[part]).to(device))).float().cpu()
                for part in _parts(chosen, batch_size)
            ]
    finally:
        model.train(was_training)
    return torch.cat(outputs).numpy()


def _parts(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
