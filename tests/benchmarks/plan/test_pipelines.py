"""Pipelines of diffusers as sources: from a folder or hub id to clips of every class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

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
from tests.command import ROOT, run_here
from tests.generator.hub_pipelines import pipeline_folder

PAGE = ROOT / "docs" / "any_pipeline.md"
SMALL = "{steps: 1, precision: fp32, clip: {num_frames: 8, width: 64, height: 48}}"


def plan_of(root: Path, *sources: str, **inputs: Any) -> Plan:
    """With ten classes of Cataract-101, one clip of each in every case, and no other generator."""
    if not (root / "data").is_dir():
        cataract_101(root / "data", cases=(1, 2, 3))
        rows = ["video_id,split", "case_1,train", "case_2,val", "case_3,test"]
        (root / "data" / "splits.csv").write_text("\n".join(rows) + "\n")
    names = ", ".join(source.partition("=")[0] + ": " + SMALL for source in sources)
    overrides = [
        f"sources=[source, {', '.join(sources)}]", f"pipelines={{{names}}}",
        "taxonomy=cataract_101", "quality.rows=[]", "runtime={workers: 1, device: cpu}",
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
    assert synthesis.generator.shape == ClipShape(num_frames=8, width=64, height=48)
    assert synthesis.cost() == "10 clips x 1 steps"
    assert synthesis.sampling.guidance_scale == 3.0  # the class's own
    manifest = synthesis.manifest()
    assert [clip.label("phase") for clip in manifest.clips] == [*range(10)]
    assert {clip.source for clip in manifest.clips} == {"ltx"}
    info = probe(manifest.path_of(manifest.clips[7]))
    assert (info.num_frames, info.width, info.height) == (8, 64, 48)


def played_on(self: PipelineSampler, prompt: str, seed: int, sampling: Any) -> Frames:
    """A pipeline that has learnt its training clips by heart."""
    path, clip = self.starts[seed]
    return read_span(path, start_s=clip.start_s, end_s=clip.end_s, num_frames=8)


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
    assert len(copies) == 10 and {pair["split"] for pair in copies} == {"train"}


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
    with pytest.raises(UserError, match=r"^source wan=hub:Model: give hub:ORG/NAME, or hub:ORG/"):
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
    folder = pipeline_folder("LTXPipeline", tmp_path).rename(tmp_path / "my_pipeline")
    monkeypatch.setattr(generator.base, "hub_snapshot", lambda *_, **__: folder)
    few = ["taxonomy=cataract_101", "quality.rows=[]"]
    shown = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith(".venv/bin/python run_benchmark.py "):
            words = line.replace("ophnet_phase", "smoke").split()[2:]
            words += ["--data-root", "data", "--dry-run", "--set", *few]
            done = run_here("run_benchmark", *words)
            assert done.returncode == 0, done.stderr
            shown.append(done.stdout)
    of_hub, of_folder = shown
    assert "10 clips x 50 steps" in of_hub and "10 clips x 20 steps" in of_folder


def test_the_section_of_the_page_is_one() -> None:
    section = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    pipelines = yaml.safe_load(section)["pipelines"]
    found = load_config("smoke", [f"pipelines={json.dumps(pipelines)}"]).pipelines["wan"]
    assert (found.steps, found.precision, found.offload) == (30, "bf16", True)
    assert found.clip == ClipShape(num_frames=81, width=832, height=480)
