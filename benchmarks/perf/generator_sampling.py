"""Seconds a clip of a CogVideoX pipeline, and what the faster ways change in the clips.

    python -m benchmarks.perf.generator_sampling --batches 1 8 32
    python -m benchmarks.perf.generator_sampling --weights THUDM-CogVideoX-2b --shape 49 720 480 \\
        --steps 50 --guidance 6 --batches 1 --ways eager compiled first_block faster pyramid

Each way draws the same seeds with the same captions; its clips are compared with those of the first
way at the same batch size: PSNR in dB and SSIM, 1 where nothing differs (torchmetrics, which is
among the development requirements).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmarks.plan import PROJECT_ROOT
from core.runtime import Precision, Runtime
from core.video import Frames
from generator.backbone.autoencoder import psnr_db
from generator.base import ClipShape, Faster, Sampling
from generator.ophora.pipeline import OphoraSampler

NANO = PROJECT_ROOT / "generator" / "weights" / "ophora_base"
PROMPTS = (
    "A phaco tip breaks the nucleus of the lens while a chopper holds it.",
    "Forceps tear a round opening into the front capsule of the lens.",
    "A folded lens is pushed into the capsular bag and unfolds.",
    "The eye before the operation, no instrument in view.",
)
WAYS = {
    "eager": Faster(),
    "compiled": Faster(compiled=True),
    "first_block": Faster(cache="first_block"),
    "faster": Faster(cache="faster"),
    "pyramid": Faster(cache="pyramid"),
    "int8": Faster(weights="int8"),
    "fp8": Faster(weights="fp8"),
    "tiled": Faster(tiled=True),
    "offload": Faster(offload=True),
}


def measure(sampler: OphoraSampler, sampling: Sampling, repeats: int) -> tuple[float, Frames]:
    """Median seconds a clip after one batch to warm up, and the clips."""
    prompts = [PROMPTS[index % len(PROMPTS)] for index in range(sampling.batch_size)]
    seeds = list(range(sampling.batch_size))
    frames = sampler(prompts, seeds, sampling)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()  # the frames come back to the host: nothing is left running
        frames = sampler(prompts, seeds, sampling)
        seconds.append((time.perf_counter() - start) / sampling.batch_size)
    return float(np.median(seconds)), frames


def ssim(frames: Frames, reference: Frames) -> float:
    """Mean structural similarity of the frames of (B, T, H, W, 3) uint8 clips."""
    pair = (
        torch.from_numpy(clips).flatten(0, 1).permute(0, 3, 1, 2).float()
        for clips in (frames, reference)
    )
    return float(structural_similarity_index_measure(*pair, data_range=255.0))


def compare(
    weights: Path,
    shape: ClipShape,
    sampling: Sampling,
    ways: list[str],
    batches: list[int],
    repeats: int,
) -> list[dict[str, Any]]:
    """One record a batch size and way."""
    device = Runtime().torch_device()
    found = []
    for batch in batches:
        reference: Frames | None = None
        for way in ways:
            changed = {"batch_size": batch, "faster": WAYS[way]}
            settings = Sampling.model_validate({**dict(sampling), **changed})
            sampler = OphoraSampler.load(weights, shape, device, settings)
            seconds, frames = measure(sampler, settings, repeats)
            reference = frames if reference is None else reference
            record = {"batch": batch, "way": way, "s_per_clip": round(seconds, 3)}
            if not np.array_equal(frames, reference):
                record["psnr_db"] = round(psnr_db(frames, reference), 1)
            found.append({**record, "ssim": round(ssim(frames, reference), 4)})
    return found


def main() -> None:
    """Print the measurements as JSON."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--weights", type=Path, default=NANO, help="a CogVideoX pipeline folder")
    command.add_argument("--shape", nargs=3, type=int, default=[9, 96, 64], metavar=("T", "W", "H"))
    command.add_argument("--steps", type=int, default=16)
    command.add_argument("--guidance", type=float, default=4.0)
    command.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    command.add_argument("--ways", nargs="+", choices=WAYS, default=["eager"])
    command.add_argument("--repeats", type=int, default=3)
    command.add_argument("--precision", default="auto", choices=get_args(Precision))
    options = command.parse_args()
    Runtime().apply()
    num_frames, width, height = options.shape
    shape = ClipShape(num_frames=num_frames, width=width, height=height)
    sampling = Sampling(
        steps=options.steps, guidance_scale=options.guidance, precision=options.precision
    )
    arguments = (options.ways, options.batches, options.repeats)
    print(json.dumps(compare(options.weights, shape, sampling, *arguments), indent=2))


if __name__ == "__main__":
    main()
