"""From configuration to stages: choices that change which stages there are."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.config import load_config
from benchmarks.plan import Inputs, Plan
from classifiers.checkpoints import Checkpoint
from generator.base import BeforehandTraining
from generator.bora.training import BoraTraining
from generator.ophora.training import GivenOphora, OphoraTraining
from tests.presets import MVITV2_NANO

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


def test_a_classifier_starts_from_the_checkpoint_that_its_section_names(tmp_path: Path) -> None:
    network = MVITV2_NANO.build(400, 8, 64)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "mvit.pth")
    weights = f"classifiers.mvit_v2.weights={tmp_path / 'mvit.pth'}"
    plan = Plan(load_config("ophnet_phase", [weights, "sources=[source]"]), Inputs(tmp_path / "r"))
    starts = {cell.classifier: cell.stage.start for cell in plan.cells}
    assert starts["SlowFast"] is None
    assert isinstance(starts["MViTv2"], Checkpoint)
    assert starts["MViTv2"].path == tmp_path / "mvit.pth"
    assert [name for name, stages, _ in plan.waves() if starts["MViTv2"] in stages] == ["data"]
