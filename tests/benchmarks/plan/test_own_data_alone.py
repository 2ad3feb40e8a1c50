"""Arms that ask what a generator adds beyond its data: taught by Source alone, or not there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

import generator.base
from augment.synthesis import ClassSynthesis
from augment.training_set import PromptedTrainingClips
from benchmarks.audits.findings import broken_rules, stages_of
from benchmarks.config.files import load_config
from benchmarks.metrics.encoders import EncoderFolder
from benchmarks.metrics.transformers_clip import HubClip
from benchmarks.plan import Inputs, Plan
from benchmarks.plan.selection import RetrievedClips
from core.errors import UserError
from core.stage import Stage
from generator.bora.training import BoraTraining
from generator.ophora.training import OphoraTraining
from tests.benchmarks.datasets.cataract_folders import cataract_101
from tests.benchmarks.metrics.test_published_encoders import clip_folder

FEW = ["taxonomy=cataract_101", "quality.rows=[]", "runtime={workers: 1, device: cpu}"]


def plan_of(root: Path, *overrides: str) -> Plan:
    """Real clips of ten classes, one of each in every case, and no narrated ones."""
    if not (root / "data").is_dir():
        cataract_101(root / "data", cases=(1, 2, 3, 4))
        rows = ["case_1,train", "case_2,train", "case_3,val", "case_4,test"]
        (root / "data" / "splits.csv").write_text("\n".join(["video_id,split", *rows]) + "\n")
    config = load_config("smoke", [*FEW, *overrides])
    return Plan(config, Inputs(root / "results", data_root=root / "data"))


def keys(stages: Iterable[Stage]) -> set[str]:
    return {stage.infra.uid() for stage in stages}


def test_a_generator_is_taught_by_the_labelled_training_clips_alone(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, "arms.same_budget.steps=2", "sources=[source, same_budget]",
        "ophora.sampling.batch_size=10",
    )  # fmt: skip
    plan.check()  # without a corpus
    clips = plan.arms.clips_of("same_budget", "phase")
    assert isinstance(clips, ClassSynthesis)
    trained = clips.generator
    assert isinstance(trained, OphoraTraining) and trained.optimisation.steps == 2
    assert trained.name == "labelled" and trained.held_out is None
    assert not keys(trained.tower()) & keys([plan.data.narrated])
    waves = {name: keys(stages) for name, stages, _ in plan.waves()}
    assert waves["generators"] == keys([trained]) and keys([trained.encoding]) <= waves["encoding"]
    assert not waves["data"] & keys([plan.data.curated, plan.data.clean])
    made = clips.manifest()
    assert [clip.label("phase") for clip in made.clips] == [*range(10)]
    seen = trained.encoding.clips
    assert isinstance(seen, PromptedTrainingClips)
    own = plan.data.labelled["phase"].manifest().of_split("train").clips
    assert [clip.clip_id for clip in seen.manifest().clips] == [clip.clip_id for clip in own]
    asked = [request.prompt for request in clips.requests()]
    assert asked == [clip.caption for clip in seen.manifest().clips][: len(asked)]
    found = {name: stage.run() for name, stage in stages_of(plan, "phase", clips).items()}
    assert found["memorisation"]["per_side"] == len(own) / 2  # val: one case of three
    assert found["of_real"]["generated"] == 10 and found["corpus"] == found["train"]
    assert found["corpus_held_out"]["suspects"] == len(own)
    assert "clips of the generator's corpus like" in " ".join(
        broken_rules(found)
    )  # they are drawn so


def test_how_it_is_taught(tmp_path: Path) -> None:
    arms = [
        "arms.b={kind: same_budget, of: bora}",
        "arms.half={kind: subset, of: b, clips_per_class: 1}",
    ]
    plan = plan_of(tmp_path, *arms, "sources=[source, half]", "mixing.real_per_class=1")
    assert plan.generators.models == {}
    (trained,) = plan.generators.on_labelled.values()
    section = plan.config.section("bora")
    assert isinstance(trained, BoraTraining) and trained.name == "labelled"
    assert trained.optimisation.steps == section.fine_tuning.optimisation.steps  # type: ignore[attr-defined]
    clips = trained.encoding.clips
    assert isinstance(clips, PromptedTrainingClips) and clips.real_per_class == 1
    for wrong, words in (
        ("{kind: same_budget, of: endora}", "no generator 'endora' that reads captions: did you"),
        ("{kind: same_budget, of: shuffled}", "no generator 'shuffled' that reads captions: known"),
    ):
        with pytest.raises(UserError, match=words):
            plan_of(tmp_path, f"arms.b={wrong}")
    with pytest.raises(UserError, match="source 'ophora': the configuration has no section"):
        plan_of(tmp_path, "ophora=null", "sources=[source, same_budget]")


def test_narrated_clips_are_filed_by_a_named_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(*overrides: str) -> Plan:
        return Plan(
            load_config("smoke", ["sources=[source, retrieved]", *overrides]), Inputs(tmp_path)
        )

    shipped = plan().arms.clips_of("retrieved", "phase")
    assert isinstance(shipped, RetrievedClips) and isinstance(
        shipped.zero_shot.encoder, EncoderFolder
    )
    assert shipped.zero_shot.encoder.path.name == "ophclip_nano"
    assert keys([shipped.clips, shipped.zero_shot.clips, plan().data.curated]) == keys(
        [shipped.clips]
    )
    clean = plan("arms.retrieved.without_text=true").arms.clips_of("retrieved", "phase")
    assert isinstance(clean, RetrievedClips) and keys([clean.clips]) == keys([plan().data.clean])
    with pytest.raises(UserError, match="encoder nowhere: expected a folder with"):
        plan("arms.retrieved.encoder=nowhere").check()
    with pytest.raises(
        UserError, match=r"^retrieved: an arm of narrated clips needs --corpus-root"
    ):
        plan_of(tmp_path, "sources=[source, retrieved]").check()

    fetched: list[str | None] = []
    folder = clip_folder(tmp_path / "clip")

    def snapshot(repository: str, revision: str, *, only: str | None = None) -> Path:
        fetched.append(only)
        return folder

    monkeypatch.setattr(generator.base, "hub_snapshot", snapshot)
    of_hub = plan("arms.retrieved.encoder=hub:Some/CLIP@0a1b")
    of_hub.check()
    assert set(fetched) == {"*.json"}  # of a plan, the small files alone
    clips = of_hub.arms.clips_of("retrieved", "phase")
    assert isinstance(clips, RetrievedClips) and isinstance(clips.zero_shot.encoder, HubClip)
    data = next(stages for name, stages, _ in of_hub.waves() if name == "data")
    assert keys([clips.zero_shot.encoder.given]) <= keys(data)  # whole, before hours of work
    assert (clips.zero_shot.encoder.weights() / "model.safetensors").is_file()
    (folder / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(UserError, match="encoder hub:Some/CLIP: a model of type 'siglip', no CLIP"):
        plan("arms.retrieved.encoder=hub:Some/CLIP").check()
    with pytest.raises(UserError, match=r"^encoder hub:CLIP: give hub:ORG/NAME"):
        plan("arms.retrieved.encoder=hub:CLIP").check()


def test_a_retrieved_clip_never_comes_from_the_labelled_set(tmp_path: Path) -> None:
    plan = Plan(load_config("smoke", ["sources=[source, retrieved]"]), Inputs(tmp_path))
    clips = plan.arms.clips_of("retrieved", "phase")
    assert not keys(clips.tower()) & keys([plan.data.labelled["phase"]])
