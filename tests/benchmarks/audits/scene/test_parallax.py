"""Motion of real mp4s whose cameras are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.audits.scene.cameras import Cameras, Floats
from benchmarks.audits.scene.parallax import Motion, motion_of
from core.video import read_span
from tests.benchmarks.audits.scene.world import clip, film, moving, standing, turning

NANO = (96, 64)


def motion(folder: Path, cameras: Cameras, zoom: Floats | None = None) -> Motion:
    return motion_of(read_span(clip(folder / "clip.mp4", film(cameras, zoom)[0])))


@pytest.mark.parametrize("step", [0.05, 0.15])
def test_a_camera_that_moves_past_boxes_shows_parallax(tmp_path: Path, step: float) -> None:
    found = motion(tmp_path, moving(9, NANO, step))
    assert found.kind == "parallax" and found.explained < 0.75


def test_a_camera_that_turns_shows_none(tmp_path: Path) -> None:
    found = motion(tmp_path, turning(9, NANO))
    assert found.kind == "flat" and found.explained > 0.9 and found.shift_px > 10


def test_a_camera_that_zooms_shows_none(tmp_path: Path) -> None:
    found = motion(tmp_path, standing(9, NANO), np.linspace(1, 1.3, 9))
    assert found.kind == "flat" and found.explained > 0.9


def test_a_camera_that_stands_is_still(tmp_path: Path) -> None:
    found = motion(tmp_path, standing(9, NANO))
    assert found.kind == "still" and found.shift_px < 0.5


def test_grey_frames_have_no_features() -> None:
    assert motion_of(np.full((9, 64, 96, 3), 128, np.uint8)) == Motion("featureless")


def test_frames_of_nine_worlds_have_too_little_in_common() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 16, 24, 3), np.uint8)
    assert motion_of(noise.repeat(4, axis=1).repeat(4, axis=2)).kind == "featureless"
