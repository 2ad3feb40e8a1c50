"""Seconds a clip of a CogVideoX pipeline, and what the faster ways change in the clips.

    python -m benchmarks.perf.generator_sampling --batches 1 8 32
    python -m benchmarks.perf.generator_sampling --weights THUDM-CogVideoX-2b --shape 49 720 480 \\
        --steps 50 --guidance 6 --batches 1 --ways eager compiled first-block faster pyramid

Each way draws the same seeds with the same captions; its clips are compared with those of the first
way at the same batch size (PSNR in dB; "equal" where no pixel differs).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from diffusers import FasterCacheConfig, FirstBlockCacheConfig, PyramidAttentionBroadcastConfig

from benchmarks.plan import PROJECT_ROOT
from core.runtime import Precision, Runtime, dtype_of
from core.video import Frames
from generator.backbone.autoencoder import psnr_db
from generator.base import ClipShape, Sampling
from generator.ophora.pipeline import OphoraSampler, load_pipeline

NANO = PROJECT_ROOT / "generator" / "weights" / "ophora_base"
PROMPTS = (
    "A phaco tip breaks the nucleus of the lens while a chopper holds it.",
    "Forceps tear a round opening into the front capsule of the lens.",
    "A folded lens is pushed into the capsular bag and unfolds.",
    "The eye before the operation, no instrument in view.",
)


def caches(pipeline: Any) -> dict[str, Any]:
    """The settings of the three caches, as their papers recommend for CogVideoX.

    Source: diffusers' documentation of each.
    """

    def timestep() -> Any:
        return pipeline.current_timestep

    return {
        "first-block": FirstBlockCacheConfig(threshold=0.1),
        "faster": FasterCacheConfig(
            unconditional_batch_timestep_skip_range=(-1, 641),
            attention_weight_callback=lambda _: 0.5,
            tensor_format="BFCHW",
            current_timestep_callback=timestep,
        ),
        "pyramid": PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2, current_timestep_callback=timestep
        ),
    }


def prepare(way: str, pipeline: Any) -> Callable[[], None]:
    """Switch the pipeline to one way of sampling; call what comes back to leave it."""
    transformer = pipeline.transformer
    if way == "compiled":
        eager = transformer.forward
        transformer.forward = torch.compile(eager)
        return lambda: setattr(transformer, "forward", eager)
    if way != "eager":
        transformer.enable_cache(caches(pipeline)[way])
        return lambda: transformer.disable_cache()
    return lambda: None


def measure(
    pipeline: Any, shape: ClipShape, sampling: Sampling, repeats: int
) -> tuple[float, Frames]:
    """Median seconds a clip after one batch to warm up, and the clips."""
    sampler = OphoraSampler(pipeline, shape)
    prompts = [PROMPTS[index % len(PROMPTS)] for index in range(sampling.batch_size)]
    seeds = list(range(sampling.batch_size))
    frames = sampler(prompts, seeds, sampling)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()  # the frames come back to the host: nothing is left running
        frames = sampler(prompts, seeds, sampling)
        seconds.append((time.perf_counter() - start) / sampling.batch_size)
    return float(np.median(seconds)), frames


def compare(
    pipeline: Any,
    shape: ClipShape,
    sampling: Sampling,
    ways: list[str],
    batches: list[int],
    repeats: int,
) -> list[dict[str, Any]]:
    """One record a batch size and way."""
    found = []
    for batch in batches:
        settings = sampling.model_copy(update={"batch_size": batch})
        reference: Frames | None = None
        for way in ways:
            leave = prepare(way, pipeline)
            seconds, frames = measure(pipeline, shape, settings, repeats)
            leave()
            reference = frames if reference is None else reference
            equal = np.array_equal(frames, reference)
            change = "equal" if equal else round(psnr_db(frames, reference), 1)
            record = {"batch": batch, "way": way, "s_per_clip": round(seconds, 3)}
            found.append({**record, f"against_{ways[0]}": change})
    return found


def main() -> None:
    """Print the measurements as JSON."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--weights", type=Path, default=NANO, help="a CogVideoX pipeline folder")
    command.add_argument("--shape", nargs=3, type=int, default=[9, 96, 64], metavar=("T", "W", "H"))
    command.add_argument("--steps", type=int, default=16)
    command.add_argument("--guidance", type=float, default=4.0)
    command.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    ways = ["eager", "compiled", "first-block", "faster", "pyramid"]
    command.add_argument("--ways", nargs="+", choices=ways, default=["eager"])
    command.add_argument("--repeats", type=int, default=3)
    command.add_argument("--precision", default="auto", choices=get_args(Precision))
    options = command.parse_args()
    runtime = Runtime()
    runtime.apply()
    num_frames, width, height = options.shape
    shape = ClipShape(num_frames=num_frames, width=width, height=height)
    pipeline = load_pipeline(options.weights, dtype_of(options.precision, runtime.torch_device()))
    pipeline.to(runtime.torch_device())
    sampling = Sampling(steps=options.steps, guidance_scale=options.guidance)
    arguments = (options.ways, options.batches, options.repeats)
    print(json.dumps(compare(pipeline, shape, sampling, *arguments), indent=2))


if __name__ == "__main__":
    main()
