"""Does the training loop keep up with the bare network?

Rounds of `fit` as the benchmark calls it (batches from encoded shards, noise, timesteps, clipping,
average, log) and of forward + backward + AdamW of the same transformer on fixed tensors, in turn.

    python -m benchmarks.perf.generator_training
    python -m benchmarks.perf.generator_training --paper --peak-tflops 989    # on a GPU

--paper: a CogVideoX-2b of random weights at 49 frames of 720x480, with the share of the device's
peak that the model's own arithmetic reaches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, get_args

import torch
from diffusers import CogVideoXDPMScheduler, CogVideoXTransformer3DModel
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.perf.turns import per_unit, speed_ratio, take_turns
from benchmarks.plan import PROJECT_ROOT
from core.files import write_json
from core.fitting import fit
from core.optimisation import Optimisation
from core.runtime import Precision, Runtime, autocast, training_attention
from generator.base import ClipShape
from generator.denoising import DiffusionSettings, batch_loss
from generator.latents import LatentDataset
from generator.ophora.pipeline import COGVIDEOX_2B_SCHEDULE, TransformerSettings, load_pipeline
from generator.ophora.training import velocity_loss

NANO = PROJECT_ROOT / "generator" / "weights" / "ophora_base"


def random_shard(folder: Path, transformer: CogVideoXTransformer3DModel, rows: int) -> None:
    """A shard of noise in the form that `generator.encoding` leaves, for `transformer`."""
    config = transformer.config
    frames = (config.sample_frames - 1) // config.temporal_compression_ratio + 1
    latent = (frames, config.in_channels, config.sample_height, config.sample_width)
    text = (config.max_text_seq_length, config.text_embed_dim)
    tensors = {
        "latents": torch.randn(rows, *latent).half(),
        "text": torch.randn(rows, *text).half(),
        "mask": torch.ones(rows, text[0], dtype=torch.bool),
    }
    save_file(tensors, folder / "shard-00000.safetensors")
    write_json(folder / "shard-00000.json", {"captions": [""] * rows})
    empty = {"text": torch.zeros(text).half(), "mask": torch.ones(text[0], dtype=torch.bool)}
    save_file(empty, folder / "empty_prompt.safetensors")


def bare_step(
    transformer: CogVideoXTransformer3DModel, settings: Optimisation, device: torch.device
) -> tuple[Callable[[], None], int]:
    """One step of the network alone, on tensors that stay where they are, and its FLOPs: three
    times those of the forward pass (what gradient checkpointing computes again does not count)."""
    config = transformer.config
    frames = (config.sample_frames - 1) // config.temporal_compression_ratio + 1
    batch = settings.batch_size
    latents = torch.randn(
        batch, frames, config.in_channels, config.sample_height, config.sample_width, device=device
    )
    text = torch.randn(batch, config.max_text_seq_length, config.text_embed_dim, device=device)
    timesteps = torch.randint(1000, (batch,), device=device)
    optimiser = torch.optim.AdamW(transformer.parameters(), lr=1e-6)

    def forward() -> torch.Tensor:
        with autocast(settings.precision, device):
            output = transformer(latents, text, timesteps).sample
            return (output.float() - latents).square().mean()

    def step() -> None:
        with training_attention(settings.precision, device):
            forward().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward()
    return step, 3 * counter.get_total_flops()


def compare(
    transformer: CogVideoXTransformer3DModel,
    scheduler: Any,
    settings: Optimisation,
    device: torch.device,
    rounds: int,
) -> dict[str, Any]:
    """Median seconds a step of the loop and of the bare network, rounds in turn."""
    transformer.to(device).train()
    bare, flops = bare_step(transformer, settings, device)
    numbers = count()

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = 2 * settings.batch_size
        random_shard(folder, transformer, rows)
        data = LatentDataset(folder, [rows], 1.0)
        loss = batch_loss(
            velocity_loss(transformer, scheduler),
            data,
            DiffusionSettings(caption_dropout=0.1),
            scheduler.config.num_train_timesteps,
            device,
        )

        def bare_steps() -> int:
            for _ in range(settings.steps):
                bare()
            return settings.steps

        def loop_steps() -> int:
            own = folder / str(next(numbers))
            fit(transformer, loss, rows, settings, own, description="loop", device=device)
            transformer.train()
            return settings.steps

        ways = {"loop": per_unit(loop_steps, now), "bare": per_unit(bare_steps, now)}
        seconds = take_turns(ways, rounds, "training")
    loop, alone = (statistics.median(seconds[name]) for name in ways)
    return {
        "loop_s_per_step": round(loop, 4),
        "bare_s_per_step": round(alone, 4),
        "rate_of_bare_percent": round(100 * speed_ratio(seconds, "loop", "bare"), 1),
        "samples_per_s": round(settings.batch_size / loop, 2),
        "tflop_per_step": round(flops / 1e12, 3),
        "tflops": round(flops / 1e12 / loop, 3),
    }


def main() -> None:
    """Print the measurement as JSON."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--weights", type=Path, default=NANO, help="a CogVideoX pipeline folder")
    command.add_argument("--paper", action="store_true", help="random weights of CogVideoX-2b")
    command.add_argument("--batch", type=int, help="default 32, with --paper 1")
    command.add_argument("--steps", type=int, default=10, help="a round")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--precision", default="auto", choices=get_args(Precision))
    command.add_argument("--peak-tflops", type=float, help="of the device, for the share reached")
    options = command.parse_args()
    runtime = Runtime()
    runtime.apply()
    if options.paper:
        shape = ClipShape(num_frames=49, width=720, height=480)
        transformer: Any = TransformerSettings().build(shape)
        transformer.enable_gradient_checkpointing()
        scheduler: Any = CogVideoXDPMScheduler(**COGVIDEOX_2B_SCHEDULE)
    else:
        pipeline = load_pipeline(options.weights, text=False)
        transformer, scheduler = pipeline.transformer, pipeline.scheduler
    settings = Optimisation(
        steps=options.steps,
        batch_size=options.batch or (1 if options.paper else 32),
        lr=1e-6,
        precision=options.precision,
        ema_decay=None if options.paper else 0.99,
    )
    found = compare(transformer, scheduler, settings, runtime.torch_device(), options.rounds)
    if options.peak_tflops:
        found["peak_share_percent"] = round(100 * found["tflops"] / options.peak_tflops, 1)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
