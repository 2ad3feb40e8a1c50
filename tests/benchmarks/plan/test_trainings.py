"""Which training a classifier's section becomes: whole networks, probes, video transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from benchmarks.plan.ledger import _amount, _Count
from benchmarks.scoring.evaluation import cell_path
from classifiers.features import FrozenFeatures
from classifiers.probe import ProbeTraining
from classifiers.training import ClassifierTraining
from classifiers.transformers import TransformerWeights, VideoTransformer
from core.errors import UserError
from core.frame_cache import FrameCache
from tests.classifiers.tiny_transformers import FRAMES, SIDE, saved


def plan_of(config: str, results: Path, *overrides: str) -> Plan:
    return Plan(load_config(config, overrides), Inputs(results))


def test_a_probes_features_are_made_before_it_once_for_all_seeds(tmp_path: Path) -> None:
    plan = plan_of("probe", tmp_path, "sources=[source,bora]", "seeds=2", "one_synthetic_set=true")
    waves = {name: stages for name, stages, _ in plan.waves()}
    assert len(waves["classifiers"]) == 4
    assert all(isinstance(stage, ProbeTraining) for stage in waves["classifiers"])
    assert {cell.classifier for cell in plan.cells} == {"SlowFast, probe"}
    features, caches = waves["features"], waves["decoding"]
    assert len(features) == len(caches) == 2  # the real clips' and bora's
    frames = [stage.frames for stage in features if isinstance(stage, FrozenFeatures)]
    assert [stage.infra.uid() for stage in frames] == [stage.infra.uid() for stage in caches]
    assert list(waves).index("decoding") < list(waves).index("features")
    assert plan.trainings.starts["slowfast"] in waves["data"]
    cell = plan.cells[0]
    count = _Count(plan)
    costs = {type(stage): _amount(stage, count) for stage in (features[0], cell.stage)}
    assert costs[FrozenFeatures].gpu_hours > 0 and not costs[ProbeTraining]  # seconds
    path = cell_path(cell.task, cell.classifier, cell.arm, cell.seed, cell.schedule)
    assert path == Path("cells/phase/slowfast_probe/source/seed0.json")


def test_a_video_transformer_brings_its_frames_and_size(tmp_path: Path) -> None:
    folder = saved("ViViT", tmp_path / "model")
    chosen = ["sources=[source]", "chosen_classifiers=[transformers]"]
    chosen.append(f"classifiers.transformers.weights={folder}")
    for mode, kind, stages in (("probe", ProbeTraining, 1), ("full", ClassifierTraining, 0)):
        plan = plan_of("probe", tmp_path, *chosen, f"classifiers.transformers.mode={mode}")
        (cell,) = plan.cells
        assert type(cell.stage) is kind and isinstance(cell.stage.network, VideoTransformer)
        assert (cell.stage.num_frames, cell.stage.size) == (FRAMES, SIDE)
        waves = {name: found for name, found, _ in plan.waves()}
        assert len(waves["features"]) == stages and len(waves["decoding"]) == 1
        (cache,) = waves["decoding"]
        assert isinstance(cache, FrameCache) and cache.num_frames == FRAMES
        assert isinstance(waves["data"][0], TransformerWeights)


def test_what_cannot_be_probed_is_refused_before_anything_runs(tmp_path: Path) -> None:
    def fault(*overrides: str) -> str:
        with pytest.raises(UserError) as found:
            plan_of("probe", tmp_path / "r", "sources=[source]", *overrides).check()
        assert "\n" not in str(found.value)
        return str(found.value)

    assert "classifiers.mvit_v2.weights null: a probe freezes a trained network" in fault(
        "chosen_classifiers=[mvit_v2]"
    )
    full = ("chosen_classifiers=[transformers]", "classifiers.transformers.mode=full")
    assert "classifiers.transformers.weights null: name a video transformer" in fault(*full)
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    line = fault(*full, f"classifiers.transformers.weights={tmp_path / 'bert'}")
    assert f"classifiers.transformers.weights {tmp_path / 'bert'}" in line
    assert "model_type 'bert' is no video transformer: name one of" in line
    unlabelled = ("arms.plain={kind: unlabelled, of: bora}", "sources=[source,plain]")
    assert "source 'plain': clips without labels teach by being augmented" in fault(*unlabelled)
