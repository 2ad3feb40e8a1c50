"""The judge: closed forms, and a real one on real clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.audits.faithfulness import markdown
from benchmarks.audits.judge import (
    JudgeConfig,
    judge_of,
    ship,
    trained_judge,
)
from benchmarks.config.files import load_config, load_yaml
from benchmarks.datasets.simulated import OphSim
from benchmarks.plan import Inputs, Plan
from classifiers.agreement import Agreement, agreement
from classifiers.checkpoints import Checkpoint
from classifiers.recipe import Recipe
from classifiers.slowfast import SlowFast
from classifiers.trained import GivenClassifier, TrainedClassifier
from classifiers.training import ClassifierTraining
from core.clip import MANIFEST_NAME, Manifest
from core.errors import UserError
from core.runtime import Runtime
from core.stage import ClipStage, Stage
from tests.classifiers.toy import CLASSES, ToyClips, ToyMixture


class Mislabelled(ClipStage):
    """The clips of `clips`, each said to show the next class."""

    clips: ClipStage

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        wrong = [
            clip.labelled("phase", (clip.label("phase") + 1) % CLASSES) for clip in manifest.clips
        ]
        Manifest(root=manifest.root, clips=tuple(wrong)).save(folder / MANIFEST_NAME)
        return {}


def test_agreement_weighs_classes_equally() -> None:
    logits = np.eye(7)[[0, 0, 0, 1, 6]] * 3 - np.arange(7) / 10
    found = agreement(logits, np.array([0, 0, 0, 1, 5]))  # the last: 6, 0, 1, 2, 3 are nearer
    assert found["clips"] == 5 and found["top1_by_class"] == {"0": 100.0, "1": 100.0, "5": 0.0}
    assert found["top1"] == found["top5"] == 66.67


def test_a_judge_tells_right_from_wrong_clips(tmp_path: Path) -> None:
    common = {"infra": {"folder": tmp_path}, "runtime": Runtime(workers=1)}
    real = ToyClips(videos=30, **common)
    judge = ClassifierTraining(
        task="phase",
        num_classes=CLASSES,
        network=SlowFast(depth=18, stem_dim_outs=(8, 1), dropout=0.0),
        recipe=Recipe(optimiser="adamw", lr=5e-3, weight_decay=0.05, epochs=8, batch_size=8),
        mixture=ToyMixture(sources=(real,), **common),
        evaluation=real,
        size=32,
        **common,
    )
    other = ToyClips(videos=6, seed=1, **common)
    right = Agreement(judge=judge, clips=other, **common).run()
    wrong = Agreement(judge=judge, clips=Mislabelled(clips=other, **common), **common).run()
    assert right["clips"] == wrong["clips"] == 24
    assert right["top1"] > wrong["top1"] + 20
    ship(judge, "cmd", "abc", tmp_path / "judge_phase")
    assert "`cmd` at commit abc" in (tmp_path / "judge_phase" / "CARD.md").read_text()
    names = set(TrainedClassifier.model_fields) - set(Stage.model_fields)
    given = {name: getattr(judge, name) for name in names} | common
    given["checkpoint"] = Checkpoint.at(tmp_path / "judge_phase" / "model.safetensors", **common)
    shipped = GivenClassifier(**given)
    again = Agreement(judge=shipped, clips=other, **common).run()
    assert abs(again["top1"] - right["top1"]) < 5  # weights are rounded to fp16
    larger = SlowFast(depth=18, stem_dim_outs=(16, 2))
    with pytest.raises(UserError, match=r"model\.safetensors: of another network \(size mismatch"):
        GivenClassifier(**{**given, "network": larger}).model()
    table = markdown({"phase": {"Real (test)": right, "mine": wrong}})
    assert "100.0" in table and "mine" in table


def test_a_shipped_judge_needs_its_test_cases_only(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    config = JudgeConfig.model_validate(
        load_yaml("_judge_nano") | {"weights": {"phase": str(file)}}
    )
    plan = Plan(load_config("ophnet_phase"), Inputs(tmp_path / "results"))
    shipped, trained = (of(plan, "phase", config) for of in (judge_of, trained_judge))
    assert isinstance(shipped.classifier, GivenClassifier)
    assert isinstance(trained.classifier, ClassifierTraining)
    drawn, all_of_them = (
        next(stage for stage in judge.cases.tower() if isinstance(stage, OphSim))
        for judge in (shipped, trained)
    )
    assert drawn.train_clips < 200 < all_of_them.train_clips
    assert (drawn.seed, drawn.test_cases, drawn.test_clips) == (401, 40, 1200)
    gone = config.model_copy(update={"weights": {"phase": "gone.safetensors"}})
    with pytest.raises(UserError, match=r"gone\.safetensors: no such file"):
        judge_of(plan, "phase", gone)


def test_the_judges_cases_are_in_no_table() -> None:
    judge = JudgeConfig.model_validate(load_yaml("_judge_nano"))
    config = load_config("ophnet_phase")
    seeds = {config.ophsim.seed, config.corpus.seed, config.quality.corpus.seed, 1001}
    assert judge.ophsim.seed not in seeds and judge.ophsim.train_clips >= 5000
