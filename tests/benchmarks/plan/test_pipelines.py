"""Pipelines of diffusers as sources: from a folder or hub id to clips of every class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import generator.base
from augment.first_frames import FirstFrames
from augment.synthesis import ClassSynthesis
from benchmarks.audits.findings import stages_of
from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from core.clip import Manifest
from core.errors import UserError
from core.video import Frames, probe, read_span
from generator.base import ClipShape, HubWeights
from generator.hub.pipeline import PipelineGenerator, PipelineSampler
from tests.benchmarks.datasets.cataract_folders import cataract_101
from tests.command import run_here
from tests.generator.hub_pipelines import pipeline_folder

SMALL = "{steps: 1, clip: {num_frames: 9, width: 32, height: 32}}"


def plan_of(root: Path, *sources: str, **inputs: Any) -> Plan:
    """With ten classes of Cataract-101, one clip of each in every case, and no other generator."""
    if not (root / "data").is_dir():
        cataract_101(root / "data", cases=(1, 2, 3))
        rows = ["video_id,split", "case_1,train", "case_2,val", "case_3,test"]
        (root / "data" / "splits.csv").write_text("\n".join(rows) + "\n")
    names = ", ".join(source.partition("=")[0] + ": " + SMALL for source in sources)
    overrides = [
        f"sources=[source, {', '.join(sources)}]", f"pipelines={{{names}}}",
        "taxonomy=cataract_101", "synthesis.clips_per_class=2", "quality.rows=[]",
    ]  # fmt: skip
    config = load_config("smoke", overrides)
    return Plan(config, Inputs(root / "results", data_root=root / "data", **inputs))


def synthesis_of(plan: Plan, name: str) -> ClassSynthesis:
    found = plan.arms.synthetic["phase"][plan.arms.named(name)]
    assert isinstance(found, ClassSynthesis)
    return found


def test_a_folder_with_a_pipeline_makes_clips_of_every_class(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"ltx={pipeline_folder('LTXPipeline', tmp_path)}")
    plan.check()
    synthesis = synthesis_of(plan, "ltx")
    assert synthesis.generator.shape == ClipShape(num_frames=9, width=32, height=32)
    assert synthesis.cost() == "20 clips x 1 steps"
    assert synthesis.sampling.guidance_scale == 3.0  # the class's own
    manifest = synthesis.manifest()
    assert [clip.label("phase") for clip in manifest.clips] == [n // 2 for n in range(20)]
    assert {clip.source for clip in manifest.clips} == {"ltx"}
    info = probe(manifest.path_of(manifest.clips[7]))
    assert (info.num_frames, info.width, info.height) == (9, 32, 32)


def played_on(self: PipelineSampler, prompt: str, seed: int, sampling: Any) -> Frames:
    """A pipeline that has learnt its training clips by heart."""
    path, clip = self.starts[seed]
    return read_span(path, start_s=clip.start_s, end_s=clip.end_s, num_frames=9, size=(32, 32))


def test_first_frames_are_of_training_clips_of_the_class_and_the_audit_looks_for_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PipelineSampler, "_clip", played_on)
    plan = plan_of(tmp_path, f"go={pipeline_folder('LTXImageToVideoPipeline', tmp_path)}")
    synthesis = synthesis_of(plan, "go")
    made = synthesis.manifest()
    assert isinstance(synthesis.generator, PipelineGenerator)
    starts = synthesis.generator.first_frames
    assert isinstance(starts, FirstFrames)
    real = {clip.clip_id: clip for clip in plan.data.labelled["phase"].manifest().clips}
    for clip, start in zip(made.clips, starts.manifest().clips, strict=True):
        assert (start.clip_id, start.seed) == (clip.clip_id, clip.seed)
        origin = real[(start.caption or "").removeprefix("first frame of ")]
        assert origin.split == "train" and origin.labels == clip.labels
        assert (start.path, start.start_s) == (origin.path, origin.start_s)
    copies = stages_of(plan, "phase", synthesis)["train"].run()["copies"]
    assert len(copies) == 20 and {pair["split"] for pair in copies} == {"train"}


def test_a_hub_id_is_known_by_its_revision_and_only_described_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, str, str | None]] = []
    folder = pipeline_folder("LTXPipeline", tmp_path)

    def snapshot(repository: str, revision: str, *, only: str | None = None) -> Path:
        fetched.append((repository, revision, only))
        return folder

    monkeypatch.setattr(generator.base, "hub_snapshot", snapshot)
    plan = plan_of(tmp_path, "wan=hub:Some/Model-1.3B@0a1b2c")
    plan.check()
    assert set(fetched) == {("Some/Model-1.3B", "0a1b2c", "*.json")}
    other = synthesis_of(plan_of(tmp_path, "wan=hub:Some/Model-1.3B"), "wan")
    assert other.infra.uid() != synthesis_of(plan, "wan").infra.uid()
    (weights,) = plan.generators.downloads  # whole, before hours of work
    assert isinstance(weights, HubWeights)
    weights.run()
    assert fetched[-1][2] is None
    wrong = plan_of(tmp_path, "wan=hub:Model")
    with pytest.raises(UserError, match="^source wan=hub:Model: give hub:ORG/NAME, or hub:ORG/"):
        wrong.check()


@pytest.mark.parametrize(
    ("kind", "gone", "fault"),
    [
        ("StableDiffusionPipeline", "", "a StableDiffusionPipeline takes no number of frames: it"),
        ("LTXPipeline", "model_index.json", r"it holds \w+/config.json and no model_index.json"),
    ],
)
def test_a_folder_that_is_no_pipeline_of_videos_is_refused(
    kind: str, gone: str, fault: str, tmp_path: Path
) -> None:
    folder = pipeline_folder(kind, tmp_path)
    if gone:
        (folder / gone).unlink()
    with pytest.raises(UserError, match=fault):
        plan_of(tmp_path, f"wan={folder}").check()


def test_a_class_without_training_clips_has_no_first_frames(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"go={pipeline_folder('LTXImageToVideoPipeline', tmp_path)}")
    data = plan.data.labelled["phase"]
    data.run()
    path = data.folder / "manifest.jsonl"
    manifest = Manifest.load(path)
    manifest.keep(clip for clip in manifest.clips if clip.label("phase") != 4).save(path)
    with pytest.raises(UserError, match="no readable training clip of phase 4, and clips of it"):
        synthesis_of(plan, "go").run()


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_of(tmp_path)  # the data
    monkeypatch.chdir(tmp_path)
    pipeline_folder("LTXPipeline", tmp_path).rename(tmp_path / "my_pipeline")
    words = ["--config", "smoke", "--data-root", "data", "--sources", "source", "mine=my_pipeline"]
    words += ["--set", "taxonomy=cataract_101", "quality.rows=[]", f"pipelines.mine={SMALL}"]
    done = run_here("run_benchmark", *words, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "10 clips x 1 steps" in done.stdout and "Source + mine" in done.stdout
