"""The radiance field on a scene whose cameras are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.audits.scene.cameras import pixel_centres
from benchmarks.audits.scene.field import FieldSettings, Volume, reconstruct
from benchmarks.audits.scene.views import depth_variation, scores, shuffled, split
from core.optimisation import Optimisation
from tests.benchmarks.audits.scene.world import film, moving, turning

CPU = torch.device("cpu")
SETTINGS = FieldSettings(
    planes=24,
    cells_per_pixel=0.4,
    rays=192,
    optimisation=FieldSettings().optimisation.model_copy(update={"steps": 80}),
)


@pytest.mark.parametrize("cameras", [moving(9, (96, 64), 0.15), turning(9, (96, 64))])
def test_the_volume_holds_what_all_cameras_see(cameras) -> None:  # type: ignore[no-untyped-def]
    volume = Volume.around(cameras)
    near, far = volume.depths
    assert near < cameras.before(cameras.points)[..., 2].mean() < far
    rng = np.random.default_rng(0)
    pixels = pixel_centres(cameras.size)
    for view, place in enumerate(cameras.centres()):
        depths = rng.uniform(near, far, (len(pixels), 1))
        before = place + depths * cameras.directions(view, pixels) - volume.centre
        before = before @ volume.rotation.T
        inside = np.column_stack([before[:, :2], np.ones(len(before))]) / before[:, 2:]
        assert (before[:, 2] > 0).all()
        assert (inside >= volume.low - 1e-9).all() and (inside <= volume.high + 1e-9).all()


def test_novel_views_and_depth_of_a_known_scene_come_out(tmp_path: Path) -> None:
    cameras = moving(9, (96, 64), 0.15)
    frames, depths = film(cameras)
    views = split(9)
    render = reconstruct(cameras, frames, views.training, SETTINGS, tmp_path / "scene", CPU)
    found = scores(render, frames, views)
    assert found["psnr_db"] > found["nearest_db"] + 3
    shown = render(2)
    assert shown.colour.shape == (64, 96, 3) and shown.depth.shape == (64, 96)
    assert np.corrcoef(1 / shown.depth.ravel(), 1 / depths[2].ravel())[0, 1] > 0.8
    assert depth_variation(shown.depth) < 3 * depth_variation(depths[2])

    mixed = shuffled(frames, 0)
    render = reconstruct(cameras, mixed, views.training, SETTINGS, tmp_path / "shuffled", CPU)
    assert scores(render, mixed, views)["psnr_db"] < found["psnr_db"] - 2


def test_the_same_seed_gives_the_same_field(tmp_path: Path) -> None:
    cameras = moving(5, (48, 32), 0.2)
    frames, _ = film(cameras)
    short = SETTINGS.model_copy(
        update={"optimisation": Optimisation(steps=3, batch_size=2, lr=0.1)}
    )
    one, other = (
        reconstruct(cameras, frames, split(5).training, short, tmp_path / name, CPU)(2).colour
        for name in ("one", "other")
    )
    assert np.array_equal(one, other)
