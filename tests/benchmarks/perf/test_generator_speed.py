"""The speed scripts run and measure what they say; their numbers are not tested."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.perf import generator_sampling, generator_training
from core.optimisation import Optimisation
from generator.base import Sampling
from generator.ophora.pipeline import load_pipeline
from tests.generator.tiny import SHAPE, ophora_base


def test_loop_and_bare_network_are_timed_in_turn(tmp_path: Path) -> None:
    pipeline = load_pipeline(ophora_base(tmp_path).weights(), text=False)
    settings = Optimisation(steps=3, batch_size=4, lr=1e-6, ema_decay=0.9)
    found = generator_training.compare(
        pipeline.transformer, pipeline.scheduler, settings, torch.device("cpu"), rounds=2
    )
    assert found["loop_s_per_step"] > 0 and found["bare_s_per_step"] > 0


def test_ways_of_sampling_are_held_against_the_first(tmp_path: Path) -> None:
    weights = ophora_base(tmp_path).weights()
    ways = ["eager", "tiled", "pyramid"]
    arguments = (SHAPE, Sampling(steps=4, guidance_scale=3.0), ways, [2], 1)
    rows = generator_sampling.compare(weights, *arguments)
    assert [row["way"] for row in rows] == ways and all(row["s_per_clip"] > 0 for row in rows)
    assert [row["ssim"] == 1 for row in rows] == [True, True, False]
    assert ["psnr_db" in row for row in rows] == [False, False, True]
