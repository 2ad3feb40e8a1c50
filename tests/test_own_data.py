"""Real videos as labelled data, and one's own folders of clips as a row of Table 2."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from core.video import probe, read_span, write_video
from tests.command import ROOT, run_here, smoke_here

REAL_VIDEOS = ROOT.parent / "shared" / "data" / "real_videos"


def real_dataset(root: Path) -> Path:
    """OphNet2024's layout from two real videos, cut into cases; csv with BOM and CRLF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["video_id", "start", "end", "split", "surgery_id", "phase_id"])
    case = 0
    for video, phase in zip(sorted(REAL_VIDEOS.iterdir()), (6, 7), strict=True):
        info = probe(video)
        for part in range(6):
            start, end = (info.duration_s * (part + offset) / 6 for offset in (0, 0.95))
            frames = read_span(video, start_s=start, end_s=end, size=(170, 128))
            path = root / "videos" / f"case_{case:04d}.mp4"
            write_video(path, frames, fps=info.fps)
            split = ("train", "train", "train", "train", "val", "test")[part]
            length = len(frames) / info.fps
            writer.writerow([path.stem, 0, round(length * 0.5, 2), split, 0, phase])
            # Ends after the video does; phase 0 is in no other split than train.
            other = 0 if split == "train" and part == 0 else phase
            writer.writerow([path.stem, round(length * 0.5, 2), length + 1, split, 0, other])
            case += 1
    name = "OphNet2024_loca_challenge_phase.csv"
    (root / name).write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    return root


@pytest.mark.slow
@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason="the real test videos are not here")
def test_real_videos_with_ones_own_augmentation(tmp_path: Path) -> None:
    data = real_dataset(tmp_path / "data")
    mine = tmp_path / "mine"
    arguments = [
        "--data-root", str(data), "--sources", "source", f"mine={mine}",
        "--classifiers", "slowfast",
        # Few clips: a smaller batch, so that an epoch has more than one step.
        "--set", "classifiers.slowfast.recipe.batch_size=4", "runtime.workers=1",
    ]  # fmt: skip
    rows = []
    for level in (30, 200):  # two different folders at one path, one after the other
        frames = np.full((12, 64, 96, 3), level, np.uint8)
        frames[::2] += 20
        write_video(mine / "Capsulorhexis" / "a.mp4", frames)
        write_video(mine / "6" / "b.mp4", frames[::-1].copy())
        smoke_here(tmp_path / "results", *arguments)
        folder = tmp_path / "results" / "smoke"
        table = json.loads((folder / "table2.json").read_text())
        assert table["data"] == "OphNet2024"
        assert {row["training_data"] for row in table["rows"]} == {"Source", "Source + mine"}
        cell = json.loads((folder / "cells/phase/slowfast/mine/seed0.json").read_text())
        rows.append(cell["provenance"]["key"])
    assert rows[0] != rows[1]
    run = ("run_benchmark", "--config", "smoke", "--results", tmp_path / "results")
    refused = run_here(*run, "--data-root", data)
    assert refused.returncode == 2 and "--corpus-root" in refused.stderr
