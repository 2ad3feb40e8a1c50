"""LVDM, StyleGAN-V and MoStGAN-V from smoke's clips to rows of Table 1 and clips without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.config.catalogue import SOURCES
from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from benchmarks.plan.cost import a100_hours
from core.errors import UserError
from core.runtime import Runtime
from generator.diffusion import DenoiserTraining
from generator.families import GENERATORS
from generator.lvdm.pipeline import LVDMAssembly
from generator.lvdm.training import LVDMTraining
from generator.video_gan.training import GANTraining
from tests.generator.tiny import SHAPE, CaptionedClips, common

RIVALS = ("lvdm", "stylegan_v", "mostgan_v")


def plan_of(root: Path, **fields: Any) -> Plan:
    config = {
        "extends": "smoke",
        "name": "rivals",
        "sources": [],
        "corpus": {"seed": 21, "num_clips": 16},
        "quality": {"rows": list(RIVALS), "num_clips": 4},
        "runtime": Runtime(workers=1).model_dump(mode="json"),
        **fields,
    }
    (root / "rivals.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return Plan(load_config(str(root / "rivals.yaml")), Inputs(root / "results"))


class Tiny:
    """Materials of tiny clips, as far as a GAN asks for them."""

    clip = SHAPE

    def __init__(self, root: Path) -> None:
        self.common = common(root)
        self.curated = CaptionedClips(num_clips=3, **self.common)


@pytest.mark.parametrize("name", RIVALS[1:])
def test_a_gan_that_its_family_builds_trains_and_draws(name: str, tmp_path: Path) -> None:
    section = plan_of(tmp_path).config.section(name)
    optimisation = section.training.optimisation.model_copy(update={"steps": 1, "batch_size": 2})
    training = section.training.model_copy(update={"optimisation": optimisation})
    section = section.model_copy(update={"training": training})
    materials: Any = Tiny(tmp_path)
    model = GENERATORS[name].build(name, section, materials)
    assert model.run()["samples"] == 2 and isinstance(model, GENERATORS[name].stages)
    clips = model.sampler(section.sampling)([""], [1], section.sampling)
    assert clips.shape == (1, SHAPE.num_frames, SHAPE.height, SHAPE.width, 3)


def test_rivals_are_rows_beside_endora(tmp_path: Path) -> None:
    assert list(plan_of(tmp_path).generators.models) == list(RIVALS)
    plan = Plan(load_config("endora"), Inputs(tmp_path / "results"))
    labels = ["Endora (w/ Ophora-160K)", "LVDM", "StyleGAN-V", "MoStGAN-V"]
    assert [row.model for row in plan.quality.rows] == labels
    assert not any(row.stage.prompted for row in plan.quality.rows)  # no CLIPScore


def test_rivals_are_as_large_as_ophora(tmp_path: Path) -> None:
    models = plan_of(tmp_path, extends="_nano").generators.models
    lvdm = models["lvdm"]
    assert isinstance(lvdm, LVDMTraining) and isinstance(lvdm.init, LVDMAssembly)
    with torch.device("meta"):
        networks = [lvdm.init.unet.build((9, 4, 8, 12))]
        for name in ("stylegan_v", "mostgan_v"):
            gan = models[name]
            assert isinstance(gan, GANTraining)
            networks.append(gan.generator())
    for network in networks:
        size = sum(parameter.numel() for parameter in network.parameters())
        assert size == pytest.approx(3_661_120, rel=0.1)


def test_rivals_are_listed_and_priced(tmp_path: Path) -> None:
    assert set(RIVALS) < set(SOURCES)
    paper = load_config("paper/generation_quality", [f"quality.rows=[{','.join(RIVALS)}]"])
    models = Plan(paper, Inputs(tmp_path)).generators.models
    lvdm = models["lvdm"]
    assert isinstance(lvdm, DenoiserTraining)
    assert a100_hours(lvdm) == pytest.approx(45.8, abs=0.1)  # 3 passes over 69,500 x 128 clips
    assert models["stylegan_v"].cost() == "390,625 steps x 64, 3 frames a clip"
    assert models["mostgan_v"].cost() == models["stylegan_v"].cost()


def test_clips_of_no_class_are_no_labelled_source(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, sources=["source", "lvdm"])
    with pytest.raises(UserError, match=r"'lvdm': its clips are of no class; name an arm \{kind: "):
        plan.check()
    arms = {"unlabelled": {"kind": "unlabelled", "of": "stylegan_v"}}
    plan = plan_of(tmp_path, sources=["source", "unlabelled"], arms=arms, quality={})
    assert list(plan.generators.models) == ["stylegan_v"]


def test_weights_that_are_named_are_not_trained(tmp_path: Path) -> None:
    (tmp_path / "trained" / "generator").mkdir(parents=True)
    section = {"weights": str(tmp_path / "trained")}
    plan = plan_of(tmp_path, quality={"rows": ["mostgan_v"]}, mostgan_v=section)
    assert type(plan.generators.models["mostgan_v"]).__name__ == "GivenMoStGANV"
