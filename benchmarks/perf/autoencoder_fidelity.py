"""How much of the instruments does an autoencoder keep?

Clips of cases that nobody trained on are drawn with sensor noise and reconstructed; the error is
measured against the same drawing without the noise, in the whole frame and inside the instruments'
mask. The benchmark's classes are about the instruments: 26 dB there is the aim.

    python -m benchmarks.perf.autoencoder_fidelity generator/weights/ophora_base/vae
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.render import render_clip
from benchmarks.datasets.taxonomy import OPERATIONS
from core.runtime import limit_threads
from generator.backbone.autoencoder import (
    Autoencoder,
    decode,
    load_autoencoder,
    posterior_of,
    to_frames,
    to_network,
)

FRAMES, WIDTH, HEIGHT = 9, 96, 64
BATCH = 8


def drawn(
    count: int, first_seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Noisy and clean clips (N, T, H, W, 3) uint8, and the instruments' masks (N, T, H, W)."""
    noisy, clean, masks = [], [], []
    for index in range(count):
        case = CaseAppearance.draw(first_seed + index)
        what = (index % len(OPERATIONS), case, first_seed + index, FRAMES, WIDTH, HEIGHT)
        frames, mask = render_clip(*what, with_mask=True, noise=False)
        noisy.append(render_clip(*what))
        clean.append(frames)
        masks.append(mask)
    return np.stack(noisy), np.stack(clean), np.stack(masks)


@torch.inference_mode()
def reconstructed(model: Autoencoder, clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Clips through encoder (posterior mean) and decoder, (N, T, H, W, 3) uint8."""
    parts = [
        to_frames(decode(model, posterior_of(model, to_network(clips[start : start + BATCH])).mean))
        for start in range(0, len(clips), BATCH)
    ]
    return np.concatenate(parts)


def decibels(squared_error: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio of squared errors on the 0-255 scale."""
    return round(float(10 * np.log10(255.0**2 / squared_error.mean())), 2)


def main() -> None:
    """Print the fidelity of the autoencoders in the given folders as JSON."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("folders", nargs="+", type=Path)
    command.add_argument("--clips", type=int, default=2 * len(OPERATIONS))
    command.add_argument("--seed", type=int, default=900_000, help="of the first case")
    options = command.parse_args()
    limit_threads(1)
    noisy, clean, masks = drawn(options.clips, options.seed)
    for folder in options.folders:
        error = reconstructed(load_autoencoder(folder), noisy).astype(np.float64) - clean
        result = {
            "autoencoder": str(folder),
            "clips": options.clips,
            "seed": options.seed,
            "frame_db": decibels(error**2),
            "instrument_db": decibels(error[masks] ** 2),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
