"""The README's picture, from a run's folder and another's clips."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.collect.players import class_scenes
from benchmarks.commands import picture
from benchmarks.plan import PROJECT_ROOT
from benchmarks.report.shown import Shown, write_shown
from benchmarks.report.summary import BEGIN, END
from core.clip import Clip, Manifest
from core.video import write_video

REFERENCE = PROJECT_ROOT / "results" / "reference" / "ophnet_phase"


def clips(root: Path, level: int) -> Manifest:
    frames = np.full((9, 64, 96, 3), (level, 0, 0), np.uint8)
    write_video(root / "clip.mp4", frames)
    clip = Clip(clip_id="c", video_id="v", path="clip.mp4", labels={"phase": 3}, source="s")
    return Manifest(root=root, clips=(clip,))


def test_a_picture_holds_dots_and_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"Real (test)": clips(tmp_path / "a", 250), "Ophora": clips(tmp_path / "b", 150)}
    scenes = class_scenes(sources, "phase", [f"p{k}" for k in range(52)], tmp_path / "run")
    write_shown(Shown(scenes=tuple(scenes)), tmp_path / "run")
    page, png = tmp_path / "page.md", tmp_path / "picture.png"
    page.write_text(f"{BEGIN}\n{END}\n")
    words = [str(REFERENCE), "--clips", str(tmp_path / "run"), "--output", str(png)]
    monkeypatch.setattr(sys, "argv", ["picture", *words, "--readme", str(page)])
    assert picture.main() == 0
    image = cv2.imread(str(png)).astype(int)
    red = image[..., 2] - image[..., :2].max(axis=2) > 100  # BGR; of the clips alone
    assert image.shape == (400, 1100, 3) and red[:, 550:].any() and not red[:, :400].any()
    assert page.read_text().count("| phase") == 4
    monkeypatch.setattr(sys, "argv", ["picture", str(REFERENCE), "--output", str(png)])
    assert picture.main() == 2  # the committed results have no clips
