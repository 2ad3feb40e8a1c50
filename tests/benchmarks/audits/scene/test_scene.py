"""The command on folders of real mp4s; structure from motion is replaced by known cameras."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.audits.scene import stages
from benchmarks.audits.scene.cameras import Cameras
from core.errors import UserError
from core.files import read_json
from core.video import Frames
from tests.benchmarks.audits.scene.world import clip, film, moving, standing, turning
from tests.command import run_here

COMMAND = "benchmarks.audits.scene.__main__"
NANO = (96, 64)
KNOWN = moving(9, NANO, 0.15)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that moves, one that turns, one that stands and one too short."""
    folder = tmp_path_factory.mktemp("films")
    moved = film(KNOWN)[0]
    clip(folder / "moves.mp4", moved)
    clip(folder / "deep" / "turns.MP4", film(turning(9, NANO))[0])
    clip(folder / "stands.mp4", film(standing(9, NANO))[0])
    clip(folder / "short.mp4", moved[:3])
    return folder


def known_cameras(frames: Frames, seed: int) -> Cameras:
    """In the place of structure from motion; the last frame was not placed."""
    assert frames.shape == (9, 64, 96, 3)
    kept = {"rotations": KNOWN.rotations[:8], "translations": KNOWN.translations[:8]}
    return replace(KNOWN, frames=KNOWN.frames[:8], **kept)


def test_a_table_of_folders_each_with_its_control(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "register", known_cameras)
    words = (f"made={films}", "--steps", 3, "--method", "field", "--results", tmp_path)
    done = run_here(COMMAND, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (tmp_path / "scene" / "scene.md").read_text().strip()
    cells = [cell.strip() for cell in done.stdout.splitlines()[2].split("|")[1:-1]]
    assert cells[:5] == ["made", "4", "1", "2", "1"]
    assert all(float(cell) > 0 for cell in cells[5:])
    assert "- made, stands.mp4: no parallax: nothing moves" in done.stdout
    assert "- made, deep/turns.MP4: no parallax: the camera only turns or zooms" in done.stdout
    assert "- made, short.mp4: not registered: 3 frames, of 5 that are needed" in done.stdout
    found = read_json(tmp_path / "scene" / "scene.json")["folders"]["made"]
    assert set(found["views"]["clips"]) == set(found["shuffled"]["clips"]) == {"moves.mp4"}
    assert found["views"]["mean"] != found["shuffled"]["mean"]

    monkeypatch.setattr(stages, "motion_of", None)  # all of it is kept
    assert run_here(COMMAND, *words).stdout == done.stdout


@pytest.mark.parametrize("placed", [0, 7])
def test_a_clip_that_cannot_be_registered_has_a_line_and_no_number(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: int
) -> None:
    some = replace(KNOWN, frames=KNOWN.frames[:placed]) if placed else None
    monkeypatch.setattr(stages, "register", lambda frames, seed: some)
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(films / "moves.mp4", folder)
    done = run_here(COMMAND, f"made={folder}", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    line = f"moves.mp4: not registered: structure from motion placed {placed} of 9 frames; 80%"
    assert f"- made, {line} are needed" in done.stdout
    assert done.stdout.splitlines()[2].count("–") == 5


def test_frames_are_of_the_first_seconds_and_no_larger_than_asked(tmp_path: Path) -> None:
    frames = np.repeat(np.arange(40, dtype=np.uint8)[:, None, None, None] * 6, 100, 1)
    folder = tmp_path / "clips"
    clip(folder / "long.mp4", np.broadcast_to(frames, (40, 100, 200, 3)))
    common = {"infra": {"folder": str(tmp_path / "cache")}}
    source = stages.Filmed.at(folder, 1, tmp_path / "hashes.json", **common)
    stage = stages.SceneCameras(clips=source, num_frames=5, seconds=2.0, side_px=100, **common)
    found = stage.frames(source.manifest().clips[0])
    assert found.shape == (5, 50, 100, 3)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)) / 6, np.arange(5) * 15 / 4, atol=1)


def test_other_contents_at_the_same_place_have_another_key(films: Path, tmp_path: Path) -> None:
    found = []
    for name in ("moves.mp4", "stands.mp4"):
        folder = tmp_path / name / "clips"
        folder.mkdir(parents=True)
        shutil.copy(films / name, folder / "a.mp4")
        found.append(stages.Filmed.at(folder, 5, tmp_path / "hashes.json").infra.uid())
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clips"], "clips: a folder of videos is given as NAME=DIR"),
        (["a=nowhere"], "clips nowhere: no such folder"),
        (["a={empty}"], "no video in it"),
        (["a={films}", "a={films}"], "a name is given twice"),
        (["a={films}", "--frames", "4"], "--frames 4: give 5 or more"),
        (["a={films}", "--steps", "0"], "--steps 0: give 1 or more"),
    ],
)
def test_wrong_input_is_one_line(films: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    given = [word.format(films=films, empty=tmp_path / "empty") for word in words]
    done = run_here(COMMAND, *given, "--results", tmp_path)
    assert done.returncode == 2 and said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_moving_clip_without_pycolmap_says_what_to_install(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(frames: Frames, seed: int) -> Cameras:
        raise UserError("structure from motion: pycolmap is not installed")

    monkeypatch.setattr(stages, "register", missing)
    done = run_here(COMMAND, f"a={films}", "--results", tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: structure from")
