"""Endora from its own weights to Table 1 and to labelled clips of every class, on smoke's data."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from timm.models.vision_transformer import VisionTransformer

from benchmarks.collect.facts import quality_rows
from benchmarks.config.files import load_config
from benchmarks.datasets.taxonomy import PHASES
from benchmarks.plan import PROJECT_ROOT, Inputs, Plan
from benchmarks.run import execute
from benchmarks.tables.of_run import quality_table
from benchmarks.tables.render import grid
from core.errors import UserError
from core.files import read_json
from core.runtime import Runtime
from generator.base import ClipShape, GivenWeights
from generator.endora.given import EndoraWithClasses
from generator.endora.pipeline import EndoraAssembly, EndoraSettings
from generator.endora.prior import save_vit
from generator.endora.training import EndoraTraining, GivenEndora

VIT = {"img_size": [64, 96], "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Endora behind the shipped image autoencoder, and a tiny ViT; the plans' results beside
    them, so that each corpus is drawn and curated once."""
    root = tmp_path_factory.mktemp("weights")
    machinery = {"infra": {"folder": str(root / "cache")}, "runtime": Runtime(workers=1)}
    vae = PROJECT_ROOT / "generator" / "weights" / "bora_base" / "vae"
    EndoraAssembly(
        autoencoder=GivenWeights.at(vae, **machinery),
        shape=ClipShape(num_frames=9, width=96, height=64),
        transformer=EndoraSettings(depth=4, hidden_size=24, num_heads=2),
        **machinery,
    ).weights().rename(root / "endora")
    save_vit(root / "dino", VisionTransformer(**VIT, num_classes=0), {**VIT, "num_classes": 0})
    return root


def plan_of(weights: Path, **fields: object) -> Plan:
    config = {
        "extends": "smoke",
        "name": "endora",
        "sources": ["endora"],
        "chosen_classifiers": ["slowfast"],
        "corpus": {"seed": 21, "num_clips": 16},
        "endora": {
            "base": str(weights / "endora"),
            "dino": str(weights / "dino"),
            "prior": {"layers": [0, 1], "blocks": [0, 1]},
            "fine_tuning": {"optimisation": {"steps": 2}},
            "classes": {"optimisation": {"steps": 2}},
        },
        "quality": {"rows": ["endora_base", "endora"]},
        "runtime": {"workers": 1},
        **fields,
    }
    (weights / "endora.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return Plan(load_config(str(weights / "endora.yaml")), Inputs(weights / "results"))


def test_endora_makes_clips_of_every_class_and_rows_without_clipscore(weights: Path) -> None:
    plan = plan_of(weights)
    execute(plan, "generation quality")
    by_class, unconditional = (
        plan.generators.models["endora_phase"],
        plan.generators.models["endora"],
    )
    assert isinstance(plan.generators.models["endora_base"], GivenEndora)
    assert isinstance(by_class, EndoraTraining) and isinstance(by_class.init, EndoraWithClasses)
    assert by_class.init.base.infra.uid() == unconditional.infra.uid()
    clips = plan.arms.synthetic["phase"][plan.arms.named("endora")].manifest().clips
    assert [clip.caption for clip in clips] == list(PHASES)
    assert [clip.label("phase") for clip in clips] == list(range(52))
    table = quality_table(quality_rows(plan), plan.config, "OphVL-sim")
    assert table is not None
    assert [row.model for row in table.rows] == ["Endora", "Endora (w/ Ophora-160K)"]
    assert table.rows[0].metrics["fvd_slowfast_nano_8x9"].paper == 1433.29
    assert not any(name.startswith("clipscore") for row in table.rows for name in row.metrics)
    assert "clipscore" not in " ".join(grid(table)[0])


def test_variants_differ_in_parts_and_share_their_clips(weights: Path) -> None:
    given = {"base": str(weights / "endora"), "autoencoder": str(weights / "endora" / "vae")}
    given |= {"dino": str(weights / "dino"), "prior": {"layers": [0], "blocks": [0]}}
    names = ("modified_diffusion", "spatiotemporal", "prior")
    parts = {"plain": (False, False, False), "whole": (True, True, True)}
    variants = {name: dict(zip(names, each, strict=True)) for name, each in parts.items()}
    sizes = {"depth": 2, "hidden_size": 24, "num_heads": 2}
    training = {"fine_tuning": {"optimisation": {"steps": 2}}}
    plan = plan_of(
        weights,
        sources=[],
        quality={"rows": ["endora/plain", "endora/whole"]},
        endora={**given, **training, "transformer": sizes, "variants": variants},
    )
    plain, whole = plan.generators.models["endora/plain"], plan.generators.models["endora/whole"]
    assert isinstance(plain, EndoraTraining) and isinstance(whole, EndoraTraining)
    assert plain.encoding == whole.encoding and plain.prior is None and whole.prior is not None
    results = execute(plan)
    table = quality_table(quality_rows(plan), plan.config, "OphVL-sim")
    assert table is not None
    assert [row.model for row in table.rows] == ["Endora, plain", "Endora, whole"]
    assert {path.stem for path in results.glob("table*.md")} == {"table1"}  # no classifier
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "nearest to real clips by FID: Endora, " in page and "Real (held out)" in page
    assert page.count("<video") == 3 * 8  # a real clip and two models' for each caption
    assert read_json(results / "run.json")["datasets"] == {}
    assert [row.metrics["fvd_slowfast_nano_8x9"].paper for row in table.rows] == [611.9, 460.7]
    wanted = {**given, "transformer": sizes, "variants": variants}
    with pytest.raises(UserError, match=r"no 'endora/wole': did you mean 'endora/whole'"):
        plan_of(weights, sources=[], quality={"rows": ["endora/wole"]}, endora=wanted)


def test_clips_without_labels_need_no_endora_of_classes(weights: Path) -> None:
    plan = plan_of(
        weights,
        sources=["source", "unlabelled"],
        arms={"unlabelled": {"kind": "unlabelled", "of": "endora"}},
    )
    assert list(plan.generators.models) == ["endora_base", "endora"]
    source, arm = (cell.stage.mixture for cell in plan.cells)
    assert source.with_labels and not arm.with_labels  # type: ignore[attr-defined]
    assert not plan.evidence.agreements  # no label to agree with


def test_a_prior_without_a_vit_and_a_checkpoint_without_a_vae_are_refused(weights: Path) -> None:
    with pytest.raises(UserError, match=r"endora.*name its folder as `dino`"):
        plan_of(weights, endora={"base": str(weights / "endora"), "dino": None})
    (weights / "released.pt").write_bytes(b"")
    plan = plan_of(weights, endora={"base": str(weights / "released.pt"), "prior": None})
    with pytest.raises(UserError, match=r"name it as endora\.autoencoder"):
        plan.check()
    absent = {"base": str(weights / "none.pt"), "autoencoder": str(weights / "endora" / "vae")}
    plan = plan_of(weights, endora={**absent, "prior": None})
    with pytest.raises(UserError, match=r"none\.pt: no such file"):
        plan.check()
