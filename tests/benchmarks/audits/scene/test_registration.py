"""Structure from motion of an mp4 whose cameras are known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmarks.audits.scene import registration
from benchmarks.audits.scene.cameras import Floats
from core.errors import UserError
from core.video import read_span
from tests.benchmarks.audits.scene.world import clip, film, moving


def similarity(found: Floats, known: Floats) -> tuple[Floats, float]:
    """The rotation and the scale that bring (N, 3) places best to others, middles aside.

    Source: Umeyama, "Least-squares estimation of transformation parameters" (1991).
    """
    found, known = found - found.mean(axis=0), known - known.mean(axis=0)
    left, values, right = np.linalg.svd(known.T @ found)
    signs = np.array([1, 1, np.linalg.det(left @ right)]).round()
    return left @ np.diag(signs) @ right, float((values * signs).sum() / (found**2).sum())


def test_the_alignment_undoes_a_similarity() -> None:
    known = moving(9).centres() + np.random.default_rng(0).normal(size=(9, 3))
    turn = moving(9).rotations[0]
    rotation, scale = similarity((known @ turn + 4) / 3, known)
    np.testing.assert_allclose(rotation, turn, atol=1e-9)
    assert scale == pytest.approx(3)


def test_recovered_cameras_are_the_known_ones_up_to_similarity(tmp_path: Path) -> None:
    importlib.import_module("decord")  # its zlib must not come between COLMAP and the frames
    known = moving(9, (96, 64), 0.15)
    found = registration.register(read_span(clip(tmp_path / "clip.mp4", film(known)[0])))
    assert found is not None and found.frames == known.frames
    assert found.size == (96, 64) and found.focal_px == pytest.approx(known.focal_px, rel=0.15)
    rotation, scale = similarity(found.centres(), known.centres())
    middle = known.centres().mean(axis=0)
    moved = scale * (found.centres() - found.centres().mean(axis=0)) @ rotation.T + middle
    path = np.linalg.norm(known.centres()[-1] - known.centres()[0])
    assert np.linalg.norm(moved - known.centres(), axis=1).max() < 0.02 * path
    # A camera on a line may as well be turned about it: turns are held against the first one's.
    turns = [each.rotations @ each.rotations[0].T for each in (found, known)]
    cosines = (np.einsum("tij,tij->t", *turns) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 2


def test_frames_without_features_are_not_placed() -> None:
    assert registration.register(np.full((5, 64, 96, 3), 128, np.uint8)) is None


def test_without_pycolmap_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pycolmap is not installed; `pip install"):
        registration.register(np.zeros((5, 64, 96, 3), np.uint8))
