"""Training end to end on real mp4 files: learning, kill and resume, divergence, matched steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from classifiers import fitting
from classifiers.checkpoints import Checkpoint
from classifiers.networks import Network
from classifiers.prediction import predict
from classifiers.recipe import FixMatch, Recipe
from classifiers.slowfast import SlowFast
from classifiers.training import ClassifierTraining
from core.errors import UserError
from core.mixture import MIXTURE_NAME, Chosen
from core.runtime import Runtime
from core.training import Losses
from tests.classifiers.toy import CLASSES, TINY, ToyClips, ToyMixture
from tests.presets import MVITV2_NANO, SLOWFAST_NANO

TINY_SLOWFAST = SlowFast(depth=18, stem_dim_outs=(8, 1), stem_kernel=3)
ADAMW = Recipe(
    optimiser="adamw",
    lr=2e-3,
    weight_decay=0.05,
    epochs=3,
    batch_size=4,
    warmup_epochs=1,
    grad_clip=1.0,
)


def stage_in(
    folder: Path,
    network: Network = TINY,
    recipe: Recipe = ADAMW,
    sources: tuple[dict[str, int], ...] = ({},),
    seed: int = 0,
    size: int = 16,
    start: Path | None = None,
    mixture: type[ToyMixture] = ToyMixture,
) -> ClassifierTraining:
    """A training stage over toy data; `sources`: fields of each ToyClips, the first evaluates;
    start: a checkpoint's file."""
    infra = {"folder": str(folder)}
    toys = [ToyClips(**fields, infra=infra) for fields in sources]
    return ClassifierTraining(
        task="phase",
        num_classes=CLASSES,
        network=network,
        recipe=recipe,
        mixture=mixture(sources=toys, infra=infra),
        evaluation=toys[0],
        size=size,
        start=None if start is None else Checkpoint.at(start, infra=infra, runtime=Runtime()),
        seed=seed,
        infra=infra,
        runtime=Runtime(workers=1),
    )


def _epochs(stage: ClassifierTraining) -> list[dict[str, float]]:
    text = (stage.folder / "epochs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _bytes(stage: ClassifierTraining) -> dict[str, bytes]:
    names = ("logits_val.npy", "logits_test.npy", "model.safetensors", "epochs.jsonl")
    return {name: (stage.folder / name).read_bytes() for name in (*names, "result.json")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "lr"),
    [(SLOWFAST_NANO.model_copy(update={"dropout": 0.2}), 3e-3), (MVITV2_NANO, 1e-3)],
    ids=["SlowFast", "MViTv2"],
)
def test_both_networks_learn_motion_from_mp4_files(
    tmp_path: Path, network: Network, lr: float
) -> None:
    recipe = ADAMW.model_copy(update={"lr": lr, "epochs": 6, "batch_size": 8})
    result = stage_in(tmp_path, network, recipe, sources=({"videos": 100},), size=32).run()
    assert result["train_clips"] == 34 * CLASSES and not result["diverged"]
    assert result["val_top1"] > 0.6  # chance is 0.25, and no single frame tells the classes


def test_results_files_and_the_loaded_model_agree(tmp_path: Path) -> None:
    stage = stage_in(tmp_path)
    result = stage.run()
    logits, labels = (np.load(stage.folder / f"{kind}_val.npy") for kind in ("logits", "labels"))
    assert logits.shape == (2 * CLASSES, CLASSES) and logits.dtype == np.float32
    assert np.mean(logits.argmax(1) == labels) == result["val_top1"]
    tops = [line["val_top1"] for line in _epochs(stage)]
    assert len(tops) == 3 and result["best_epoch"] == 1 + tops.index(max(tops))
    clips = json.loads((stage.folder / "clips_test.json").read_text())
    assert clips[0] == {"clip_id": "0/02/0", "video_id": "video_02"}
    model = stage.model()
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    table = stage.cache_of(stage.evaluation).table()
    for split, videos in (("train", "video_00"), ("test", "video_02")):
        clips = json.loads((stage.folder / f"clips_{split}.json").read_text())
        assert {clip["video_id"] for clip in clips} >= {videos}
        rows = [table.rows[clip["clip_id"]] for clip in clips]
        again = predict(model, table.frames, rows)
        np.testing.assert_array_equal(again, np.load(stage.folder / f"logits_{split}.npy"))
    assert not (stage.folder / "checkpoint.pt").exists()


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    runs = [stage_in(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    for stage in runs:
        stage.run()
    first, second, third = (_bytes(stage) for stage in runs)
    assert first == second
    assert first["logits_test.npy"] != third["logits_test.npy"]


def kill_in_the_third_epoch(stage: ClassifierTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the stage until its second step of that epoch."""
    losses = fitting.Fitting.losses

    def losses_until_killed(self: fitting.Fitting, number: int) -> Losses:
        if number == 5:
            raise KeyboardInterrupt
        return losses(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fitting, "losses", losses_until_killed)
        with pytest.raises(KeyboardInterrupt):
            stage.execute(stage.folder)
    assert len(_epochs(stage)) == 2


@pytest.mark.parametrize("network", [TINY, TINY_SLOWFAST], ids=["MViTv2", "SlowFast"])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    recipe = ADAMW
    if isinstance(network, SlowFast):
        recipe = ADAMW.model_copy(update={"optimiser": "sgd", "lr": 0.02})
    whole = stage_in(tmp_path / "whole", network, recipe)
    whole.run()
    killed = stage_in(tmp_path / "killed", network, recipe)
    kill_in_the_third_epoch(killed, monkeypatch)
    torch.rand(7)  # the global generator's state must not matter
    stage_in(tmp_path / "killed", network, recipe).run()
    assert _bytes(killed) == _bytes(whole)


@pytest.mark.slow
def test_kill_9_and_the_same_command_again_give_the_same_bytes(tmp_path: Path) -> None:
    recipe = ADAMW.model_copy(update={"epochs": 12})
    whole = stage_in(tmp_path / "whole", TINY_SLOWFAST, recipe)
    whole.run()
    folder = tmp_path / "killed"
    code = (
        "import pathlib, sys, time\n"
        "from classifiers import fitting\n"
        "from tests.classifiers.test_training import ADAMW, TINY_SLOWFAST, stage_in\n"
        "losses = fitting.Fitting.losses\n"
        "fitting.Fitting.losses = lambda run, n: (time.sleep(0.1), losses(run, n))[1]\n"
        "recipe = ADAMW.model_copy(update={'epochs': 12})\n"
        "stage_in(pathlib.Path(sys.argv[1]), TINY_SLOWFAST, recipe).run()\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL) as process:
        killed = stage_in(folder, TINY_SLOWFAST, recipe)
        while not (killed.folder / "epochs.jsonl").exists() and process.poll() is None:
            time.sleep(0.02)  # ends at the latest when the child has finished all epochs
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and 1 <= len(_epochs(killed)) < 12
    killed.run()
    assert _bytes(killed) == _bytes(whole)


def test_evaluating_less_often_changes_nothing_else(tmp_path: Path) -> None:
    always = stage_in(tmp_path)
    always.run()
    seldom = stage_in(tmp_path, recipe=ADAMW.model_copy(update={"val_interval": 2}))
    assert seldom.run()["best_epoch"] in (2, 3)
    lines, others = _epochs(seldom), _epochs(always)
    assert [("val_top1" in line) for line in lines] == [False, True, True]  # the last one always
    assert lines[0] == {k: v for k, v in others[0].items() if k != "val_top1"}
    assert lines[1:] == others[1:]


class WithoutLabels(ToyMixture):
    """The clips of further sources teach without their labels."""

    def execute(self, folder: Path) -> dict[str, Any]:
        result = super().execute(folder)
        self.save(folder, [
            item.model_copy(update={"unlabelled": item.source > 0}) for item in _chosen(folder)
        ])  # fmt: skip
        return result


def _chosen(folder: Path) -> list[Chosen]:
    lines = (folder / MIXTURE_NAME).read_text(encoding="utf-8").splitlines()
    return [Chosen.model_validate_json(line) for line in lines]


def test_clips_without_labels_teach_what_the_network_is_sure_of(tmp_path: Path) -> None:
    more = ({}, {"videos": 4, "seed": 1, "splits": False})
    alone = stage_in(tmp_path)
    found = alone.run()

    def losses(threshold: float, named: float) -> list[float]:
        recipe = ADAMW.model_copy(update={"fixmatch": FixMatch(threshold=threshold)})
        stage = stage_in(tmp_path, recipe=recipe, sources=more, mixture=WithoutLabels)
        result = stage.run()
        assert result["steps"] == found["steps"]  # a pass is over the labelled ones
        assert (result["train_clips"], result["unlabelled_clips"]) == (found["train_clips"], 16)
        assert result["unlabelled_named"] == named
        return [epoch["train_loss"] for epoch in _epochs(stage)]

    labelled = [epoch["train_loss"] for epoch in _epochs(alone)]
    assert losses(0.999999, 0.0) == labelled  # sure of none
    assert losses(0.01, 1.0)[0] > labelled[0] + 0.1  # sure of all: the guesses' loss comes on top


class OthersAlone(ToyMixture):
    """The first source's clips are counted and not drawn."""

    def execute(self, folder: Path) -> dict[str, Any]:
        result = super().execute(folder)
        self.save(folder, [item for item in _chosen(folder) if item.source > 0])
        return result

    def counted(self) -> list[Chosen]:
        first = self.sources[0].manifest().of_split("train").clips
        return [Chosen(source=0, clip_id=clip.clip_id, label=0) for clip in first]


def test_matched_steps_give_every_arm_the_steps_of_the_first_source(tmp_path: Path) -> None:
    more = ({"videos": 6}, {"videos": 4, "seed": 1, "splits": False})  # 8 real, 16 other clips
    matched = ADAMW.model_copy(update={"schedule": "matched_steps"})
    alone = stage_in(tmp_path, recipe=matched).run()
    both = stage_in(tmp_path, recipe=matched, sources=more)
    assert alone["steps"] == both.run()["steps"] == 3 * 2
    assert both.run()["train_clips"] == 24 and len(_epochs(both)) == 3
    assert stage_in(tmp_path, sources=more).run()["steps"] == 3 * 6
    only_others = stage_in(tmp_path, recipe=matched, sources=more, mixture=OthersAlone).run()
    assert only_others["steps"] == 3 * 2 and only_others["train_clips"] == 16


WILD = ADAMW.model_copy(
    update={"optimiser": "sgd", "lr": 1e18, "warmup_epochs": 0, "grad_clip": None}
)


def test_a_diverging_run_says_so_and_keeps_finite_logits(tmp_path: Path) -> None:
    stage = stage_in(tmp_path, recipe=WILD)
    result = stage.run()
    assert result["diverged"] and result["best_epoch"] == 0 and 0 <= result["val_top1"] <= 1
    assert np.isfinite(np.load(stage.folder / "logits_test.npy")).all()
    untrained = stage.build().state_dict()
    saved = safetensors.torch.load_file(stage.folder / "model.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in untrained.items())


def test_clips_of_a_corrupt_file_drop_out_and_are_counted(tmp_path: Path) -> None:
    result = stage_in(tmp_path, sources=({"videos": 6, "corrupt": 1},)).run()
    assert result["train_clips"] == CLASSES and result["unreadable"] == CLASSES


def test_a_label_beyond_the_classes_is_the_users_error(tmp_path: Path) -> None:
    stage = stage_in(tmp_path).model_copy(update={"num_classes": 3})
    with pytest.raises(UserError, match="label 3 is out of range for num_classes 3"):
        stage.execute(tmp_path)


def test_the_plan_sees_the_frame_caches_and_one_cache_serves_both_uses(tmp_path: Path) -> None:
    kinds = [type(stage).__name__ for stage in stage_in(tmp_path).tower()]
    assert kinds == ["ToyClips", "ToyMixture", "FrameCache", "ClassifierTraining"]
