import csv
import hashlib
import re

import decord
import numpy as np
import pytest

from benchmarks.datasets.biomed_sim import BIOMED_SIM
from benchmarks.datasets.captioned import Drawer, draw_corpus
from benchmarks.datasets.natural_motions import CAMERAS, MOTIONS, STICK_MOTIONS, Motion
from benchmarks.datasets.natural_sim import NATURAL_SIM
from core.errors import UserError

DRAWERS = [NATURAL_SIM, BIOMED_SIM]


def _hashes(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _rows(root):
    with (root / "clips.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("drawer", DRAWERS, ids=lambda drawer: drawer.name)
def test_render_is_pure_and_moves(drawer: Drawer):
    moving = 0
    for seed in range(12):
        frames = drawer.render(seed, 9, 96, 64)
        assert frames.shape == (9, 64, 96, 3)
        assert frames.dtype == np.uint8
        assert (drawer.render(seed, 9, 96, 64) == frames).all()
        assert drawer.caption(seed) == drawer.caption(seed)
        moving += np.abs(frames[-1].astype(int) - frames[0]).mean() > 4
    assert moving >= 8


@pytest.mark.parametrize("drawer", DRAWERS, ids=lambda drawer: drawer.name)
def test_captions_are_plain_words_and_rarely_repeat(drawer: Drawer):
    captions = [drawer.caption(seed) for seed in range(200)]
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", caption) for caption in captions)
    assert len(set(captions)) > 150
    assert not any(re.search(r"\b(eye|surgeon|cornea|pupil|lens)\b", c) for c in captions)


def test_natural_scenes_draw_at_any_size():
    small, large = NATURAL_SIM.render(3, 9, 96, 64), NATURAL_SIM.render(3, 9, 288, 192)
    shrunk = large.reshape(9, 64, 3, 96, 3, 3).mean(axis=(2, 4))
    # Textures are drawn anew, so only the colours of the scene agree.
    assert np.abs(shrunk.mean(axis=(0, 1, 2)) - small.mean(axis=(0, 1, 2))).max() < 25


@pytest.mark.parametrize("motion", [*MOTIONS, *STICK_MOTIONS], ids=lambda m: m.phrase)
def test_motions_change_the_pose_over_time(motion: Motion):
    poses = {motion.pose(time, 1.0, 1) for time in np.linspace(0, 1, 9)}
    assert (len(poses) > 1) == (not motion.phrase.startswith(("stay", "rest")))


def test_camera_words_mean_what_they_say():
    start, end = (CAMERAS["the camera zooms in"](time, 1.0).scale for time in (0.0, 1.0))
    assert end > start
    # What the camera sees moves the other way.
    assert CAMERAS["the camera moves to the right"](1.0, 1.0).x < 0


@pytest.mark.parametrize("drawer", DRAWERS, ids=lambda drawer: drawer.name)
def test_written_corpus_reads_back(drawer: Drawer, tmp_path):
    draw_corpus(drawer, tmp_path, seed=5, num_clips=6, num_frames=9)
    rows = _rows(tmp_path)
    assert list(rows[0]) == ["clip id", "caption"]
    assert len({row["clip id"] for row in rows}) == 6
    for row in rows:
        assert re.fullmatch(rf"{drawer.name}_\d+_\d+", row["clip id"])
        reader = decord.VideoReader(str(tmp_path / "clips" / f"{row['clip id']}.mp4"))
        assert reader[0].shape == (64, 96, 3)
        assert len(reader) == 9
        assert reader.get_avg_fps() == pytest.approx(8.0)


def test_workers_and_interruptions_do_not_change_the_files(tmp_path):
    draw_corpus(NATURAL_SIM, tmp_path / "one", seed=1, num_clips=5, workers=1)
    draw_corpus(NATURAL_SIM, tmp_path / "two", seed=1, num_clips=5, workers=2)
    expected = _hashes(tmp_path / "one")
    assert _hashes(tmp_path / "two") == expected

    (tmp_path / "two" / "clips.csv").unlink()
    (tmp_path / "two" / "clips" / "natural_00000_2.mp4").unlink()
    draw_corpus(NATURAL_SIM, tmp_path / "two", seed=1, num_clips=5)
    assert _hashes(tmp_path / "two") == expected


def test_another_seed_never_mixes_into_a_folder(tmp_path):
    draw_corpus(NATURAL_SIM, tmp_path, seed=1, num_clips=2)
    with pytest.raises(UserError, match="with seed 1, asked for 2"):
        draw_corpus(NATURAL_SIM, tmp_path, seed=2, num_clips=2)
