"""The speed scripts run and measure what they say; their numbers are not tested."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.perf import generator_sampling, generator_training
from core.optimisation import Optimisation
from generator.base import Sampling
from generator.ophora.pipeline import load_pipeline
from tests.generator.tiny import SHAPE, TRANSFORMER, ophora_base


def test_loop_and_bare_network_are_timed_in_turn(tmp_path: Path) -> None:
    pipeline = load_pipeline(ophora_base(tmp_path).weights(), text=False)
    settings = Optimisation(steps=3, batch_size=4, lr=1e-6, ema_decay=0.9)
    found = generator_training.compare(
        pipeline.transformer, pipeline.scheduler, settings, torch.device("cpu"), rounds=2
    )
    assert found["loop_s_per_step"] > 0 and found["bare_s_per_step"] > 0


@pytest.mark.parametrize("way", ["first-block", "faster", "pyramid"])
def test_ways_of_sampling_leave_the_pipeline_as_it_was(way: str, tmp_path: Path) -> None:
    deeper = TRANSFORMER.model_copy(update={"num_layers": 2})  # a first block and others
    pipeline = load_pipeline(ophora_base(tmp_path, transformer=deeper).weights())
    sampling = Sampling(steps=4, guidance_scale=3.0)
    rows = generator_sampling.compare(pipeline, SHAPE, sampling, ["eager", way, "eager"], [2], 1)
    assert [row["way"] for row in rows] == ["eager", way, "eager"]
    assert rows[0]["against_eager"] == rows[2]["against_eager"] == "equal"
    assert all(row["s_per_clip"] > 0 for row in rows)
