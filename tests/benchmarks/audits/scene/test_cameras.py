"""Cameras: from the world to pixels and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.audits.scene.cameras import Cameras, pixel_centres
from tests.benchmarks.audits.scene.world import moving


def test_a_ray_leads_back_to_the_point_that_its_pixel_shows() -> None:
    cameras = moving(count=5)
    before = cameras.before(cameras.points)
    for view in range(5):
        pixels = before[view, :, :2] / before[view, :, 2:] * cameras.focal_px
        rays = cameras.directions(view, pixels + np.array(cameras.size) / 2)
        found = cameras.centres()[view] + before[view, :, 2:] * rays
        np.testing.assert_allclose(found, cameras.points, atol=1e-9)


def test_the_middle_of_the_picture_is_straight_ahead() -> None:
    cameras = moving(count=3)
    ahead = cameras.directions(1, np.array([[96.0, 64.0]]))
    np.testing.assert_allclose(ahead[0], cameras.rotations[1, 2], atol=1e-12)
    assert pixel_centres((3, 2)).tolist()[:4] == [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5]]


def test_cameras_come_back_from_their_file(tmp_path: Path) -> None:
    cameras = moving(count=4)
    cameras.save(tmp_path / "cameras.json")
    found = Cameras.load(tmp_path / "cameras.json")
    assert (found.focal_px, found.size, found.frames) == (
        cameras.focal_px,
        (192, 128),
        (0, 1, 2, 3),
    )
    for name in ("rotations", "translations", "points"):
        assert np.array_equal(getattr(found, name), getattr(cameras, name))
