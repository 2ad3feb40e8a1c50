"""The split of views and the numbers of novel ones, by closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.audits.scene.views import (
    Shown,
    Split,
    depth_variation,
    means,
    psnr_db,
    scores,
    shuffled,
    split,
)


def test_novel_views_lie_between_training_views() -> None:
    assert split(9) == Split((0, 1, 3, 4, 5, 7, 8), (2, 6))
    for count in range(5, 40):
        training, novel = split(count)
        assert novel and sorted(training + novel) == list(range(count))
        assert {0, count - 1} <= set(training)


def test_psnr_of_a_known_error() -> None:
    picture = np.full((4, 6, 3), 0.5)
    assert psnr_db(picture + 0.1, picture) == pytest.approx(20.0)
    assert psnr_db(picture, picture) == math.inf


def test_total_variation_of_a_wall_a_ramp_and_another_unit() -> None:
    assert depth_variation(np.full((8, 8), 3.0)) == 0
    ramp = np.tile(np.arange(1.0, 10.0), (5, 1))  # median 5, 8 steps of 1 in each of 5 rows
    assert depth_variation(ramp) == pytest.approx(100 * 40 / 45 / 5)
    assert depth_variation(7 * ramp) == pytest.approx(depth_variation(ramp))


def test_no_frame_keeps_its_place_and_a_seed_gives_the_same_order() -> None:
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None]
    found = shuffled(frames, 3)
    assert sorted(found.ravel()) == list(range(9)) and not (found == frames).any()
    assert np.array_equal(found, shuffled(frames, 3))
    assert not np.array_equal(found, shuffled(frames, 4))


def test_scores_are_of_the_novel_views_alone() -> None:
    frames = np.zeros((9, 4, 6, 3), np.uint8)
    frames[2] = 51  # a fifth of white
    looked = []

    def render(view: int) -> Shown:
        looked.append(view)
        return Shown(frames[view] / 255 + 0.1, np.ones((4, 6)))

    found = scores(render, frames, split(9))
    assert looked == [2, 6]
    assert found["psnr_db"] == pytest.approx(20.0) and found["depth_tv"] == 0
    assert found["nearest_db"] == pytest.approx((20 * math.log10(5) + 99) / 2, abs=1e-3)


def test_no_rows_have_no_mean() -> None:
    assert means([]) == {}
    assert means([{"a": 1.0}, {"a": 2.0}]) == {"a": 1.5}
