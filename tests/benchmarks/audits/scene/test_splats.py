"""Gaussian splatting without CUDA: what needs no gsplat, and the loop with a stand-in for it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.audits.scene import splats
from benchmarks.audits.scene.views import psnr_db, split
from core.errors import UserError
from tests.benchmarks.audits.scene.world import film, moving

CPU = torch.device("cpu")


def test_auto_is_the_field_without_cuda_and_gsplat_is_refused() -> None:
    assert splats.chosen("auto", CPU) == splats.chosen("field", CPU) == "field"
    with pytest.raises(UserError, match=r"^--method gsplat: it needs CUDA; --method field"):
        splats.chosen("gsplat", CPU)


def test_with_cuda_it_is_gsplat_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(splats.importlib.util, "find_spec", lambda name: None)
    assert splats.chosen("auto", cuda) == "field"
    with pytest.raises(UserError, match="gsplat is not installed"):
        splats.chosen("gsplat", cuda)
    monkeypatch.setattr(splats.importlib.util, "find_spec", lambda name: object())
    assert splats.chosen("auto", cuda) == "gsplat"


def test_gaussians_start_on_the_points() -> None:
    cameras = moving(5)
    found = splats.gaussians(cameras, 0)
    assert {name: tuple(part.shape[1:]) for name, part in found.items()} == {
        "means": (3,), "scales": (3,), "quats": (4,), "opacities": (), "colors": (3,),
    }  # fmt: skip
    assert len(found["means"]) == splats.FEWEST
    np.testing.assert_allclose(found["means"][: len(cameras.points)], cameras.points, rtol=1e-6)
    assert torch.allclose(found["quats"].norm(dim=-1), torch.ones(splats.FEWEST))


class Strategy:
    """Takes the calls of gsplat's DefaultStrategy, and splits nothing."""

    calls: list[str] = []

    def __init__(self, refine_stop_iter: int) -> None:
        self.calls.clear()

    def check_sanity(self, params: Any, optimizers: dict[str, Any]) -> None:
        assert set(params) == set(optimizers)

    def initialize_state(self, scene_scale: float) -> dict[str, Any]:
        assert scene_scale > 0
        return {}

    def step_pre_backward(self, *arguments: Any) -> None:
        self.calls.append("pre")

    def step_post_backward(self, *arguments: Any, packed: bool) -> None:
        self.calls.append("post")


def rasterization(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor,
    viewmats: Tensor, Ks: Tensor, width: int, height: int, *, render_mode: str, packed: bool,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """A blur of round Gaussians without occlusion: the signature and the shapes of gsplat's."""
    assert render_mode == "RGB+ED" and not packed and quats.shape == (len(means), 4)
    before = means @ viewmats[0, :3, :3].T + viewmats[0, :3, 3]
    projected = before @ Ks[0].T
    at = projected[:, :2] / projected[:, 2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([x, y], dim=-1).reshape(-1, 2)
    sizes = scales.mean(dim=-1) * Ks[0, 0, 0] / before[:, 2] + 0.5
    distances = ((pixels[:, None] - at) / sizes[:, None]).square().sum(dim=-1)
    weights = torch.exp(-distances / 2) * opacities + 1e-9
    values = torch.cat([colors, before[:, 2:]], dim=-1)
    shown = weights @ values / weights.sum(dim=-1, keepdim=True)
    return shown.reshape(1, height, width, 4), weights.sum(-1).reshape(1, height, width, 1), {}


def test_the_loop_fits_the_training_views(monkeypatch: pytest.MonkeyPatch) -> None:
    gsplat = ModuleType("gsplat")
    gsplat.DefaultStrategy, gsplat.rasterization = Strategy, rasterization  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", gsplat)
    monkeypatch.setattr(splats, "FEWEST", 100)
    cameras = moving(5, (24, 16), 0.2)
    frames, _ = film(cameras)
    views = split(5)
    errors = []
    for steps in (1, 25):
        settings = splats.SplatSettings(steps=steps)
        render = splats.reconstruct(cameras, frames, views.training, settings, CPU)
        assert Strategy.calls == ["pre", "post"] * steps
        shown = render(views.training[0])
        assert shown.colour.shape == (16, 24, 3) and shown.depth.shape == (16, 24)
        assert 2 < np.median(shown.depth) < 8
        errors.append(psnr_db(shown.colour, frames[views.training[0]] / 255))
    assert errors[1] > errors[0] + 0.5
