"""From configuration to stages: choices that change which stages there are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.config import load_config
from benchmarks.plan import Inputs, Plan
from generator.base import BeforehandTraining
from generator.bora.training import BoraTraining
from generator.ophora.training import GivenOphora, OphoraTraining

BEFOREHAND = [
    "ophora.tpt_weights=generator/weights/ophora_base",
    "bora.start=generator/weights/bora_base",
]


def test_trainings_done_beforehand_are_gone_on_from(tmp_path: Path) -> None:
    given = Plan(load_config("smoke", BEFOREHAND), Inputs(tmp_path)).generators
    live = Plan(
        load_config("smoke", ["ophora.tpt_weights=null", "bora.start=null"]), Inputs(tmp_path)
    ).generators
    assert isinstance(given["ophora_tpt"], GivenOphora)
    assert isinstance(given["ophora_tpt"].given, BeforehandTraining)
    assert isinstance(live["ophora_tpt"], OphoraTraining)
    for plan, tpt in ((given, given["ophora_tpt"]), (live, live["ophora_tpt"])):
        assert isinstance(plan["ophora"], OphoraTraining) and plan["ophora"].init == tpt
    bora = given["bora"]
    assert isinstance(bora, BoraTraining) and isinstance(bora.init, BeforehandTraining)
    folder = bora.init.weights()  # real files: transformer of one folder, the rest of the other
    assert {path.name for path in folder.iterdir()} >= {"transformer", "vae", "tokenizer"}
