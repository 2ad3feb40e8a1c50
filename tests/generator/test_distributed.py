"""Training in several ranks: real gloo processes against one process with the same batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.files import read_json
from core.launching import launch
from core.runtime import Runtime
from core.training import LOG_NAME
from generator.bora.training import BoraTraining
from generator.denoising import DiffusionSettings
from generator.diffusion import DenoiserTraining
from generator.ophora.training import OphoraTraining
from tests.core.stages import refuse
from tests.generator.sharded import shard_endora
from tests.generator.tiny import denoiser_training, endora_network

STEPS = 20


def training(
    root: Path, kind: type[DenoiserTraining], optimiser: str = "adamw", **runtime: Any
) -> DenoiserTraining:
    """Twenty real steps of a tiny generator, logged step by step."""
    stage = denoiser_training(root, kind, STEPS)
    changes = {"batch_size": 8, "ema_decay": 0.9, "optimiser": optimiser}
    return denoiser_training(
        root,
        kind,
        STEPS,
        held_out=stage.encoding,
        diffusion=DiffusionSettings(timestep_strata=8, caption_dropout=0.1),
        optimisation=stage.optimisation.model_copy(update=changes),
        runtime=Runtime(workers=1, **runtime),
    )


def losses(stage: DenoiserTraining) -> torch.Tensor:
    rows = [json.loads(line) for line in (stage.folder / LOG_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return torch.tensor([row["last"] for row in rows])


Trained = Callable[[type[DenoiserTraining], str], tuple[Path, DenoiserTraining]]


@pytest.fixture(scope="module")
def in_one(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The training that ended in one process, and its folder; each is done once."""
    done: dict[tuple[type[DenoiserTraining], str], tuple[Path, DenoiserTraining]] = {}

    def trained(kind: type[DenoiserTraining], optimiser: str) -> tuple[Path, DenoiserTraining]:
        if (kind, optimiser) not in done:
            root = tmp_path_factory.mktemp("one")
            stage = training(root, kind, optimiser)
            stage.run()
            done[kind, optimiser] = root, stage
        return done[kind, optimiser]

    return trained


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        (OphoraTraining, {"processes": 2, "optimiser": "muon"}),
        (OphoraTraining, {"processes": 2, "sharding": "shard", "micro_batch": 2}),
        (BoraTraining, {"processes": 2, "sharding": "shard"}),
        (OphoraTraining, {"micro_batch": 3}),
    ],
    ids=["replicate-muon", "shard", "bora", "micro-batch"],
)
def test_ranks_train_as_one_process_does(
    kind: type[DenoiserTraining], runtime: dict[str, Any], in_one: Trained, tmp_path: Path
) -> None:
    root, alone = in_one(kind, runtime.get("optimiser", "adamw"))
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)  # clips and encodings
    together = training(tmp_path, kind, **runtime)
    shutil.rmtree(together.folder)
    one, two = alone.run(), together.run()
    assert (losses(alone) - losses(together)).abs().max() < 1e-5
    assert two["held_out_loss"]["before"] == one["held_out_loss"]["before"]
    assert two["held_out_loss"]["after"] == pytest.approx(one["held_out_loss"]["after"], abs=1e-5)
    assert two["held_out_loss"]["after"] != two["held_out_loss"]["before"]


def test_blocks_are_sharded_wherever_they_lie_and_one_rank_keeps_the_whole(tmp_path: Path) -> None:
    """Endora's lie in the wrapper of its prior; gathered weights are one copy of 2, not 2."""
    launch(shard_endora, tmp_path, runtime=Runtime(), ranks=2)
    first, second = (read_json(tmp_path / f"rank-{number}.json") for number in range(2))
    blocks = [f"denoiser.blocks.{number}" for number in range(endora_network().config.depth)]
    assert first["sharded"] == ["", *blocks] == second["sharded"]
    assert first["kept"] == first["states"] > 0 == second["kept"]


def test_a_batch_that_ranks_cannot_share_is_one_line(tmp_path: Path) -> None:
    stage = training(tmp_path, OphoraTraining, processes=3)
    with pytest.raises(UserError, match=r"^batch_size 8: not a multiple of 3 ranks$"):
        stage.run()


def test_a_wrong_input_in_a_rank_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^clips: none can be read$"):
        launch(refuse, "clips: none can be read", runtime=Runtime(), ranks=2)


def test_a_rank_that_dies_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="a training process failed"):
        launch(torch.zeros, -1, runtime=Runtime(), ranks=2)
