"""The page on probes, followed: its commands, with small data and a small model for the large."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.video import write_video
from tests.classifiers.tiny_transformers import saved
from tests.command import ROOT, run_here
from tests.test_docs import commands
from tests.test_run_benchmark import dataset

PAGE = ROOT / "docs" / "probe.md"
HUB_IDS = ("MCG-NJU/videomae-base-finetuned-kinetics", "MCG-NJU/videomae-base")
TINY = ["classifiers.transformers.recipe.epochs=2", "classifiers.transformers.recipe.batch_size=4"]


@pytest.mark.slow
def test_the_pages_commands_run(tmp_path: Path) -> None:
    model = saved("VideoMAE", tmp_path / "model")
    rows = [
        [f"v{case}", second, second + 1, split, 0, phase]
        for case, split in enumerate(("train", "train", "val", "test"))
        for second, phase in ((0, 6), (1, 7))
    ]
    data = dataset(tmp_path / "data", rows, tuple(f"v{case}" for case in range(4)))
    frames = np.random.default_rng(1).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "mine" / "6" / "a.mp4", frames)
    given = {"OphNet2024": str(data), "mine=clips": f"mine={tmp_path / 'mine'}"}
    field = "classifiers.transformers.weights"
    given |= {f"{field}={name}": f"{field}={model}" for name in HUB_IDS}
    ran = []
    for words in commands(PAGE):
        options = [given.get(word, word) for word in words[words.index("run_benchmark.py") + 1 :]]
        options += ["--results", str(tmp_path / "results")]
        if "--data-root" in words:
            options += ["--set", *TINY, "runtime.workers=1"]
        else:  # the whole of the nano data: planned, with the weights looked into
            options.append("--dry-run")
        done = run_here("run_benchmark", *options)
        assert done.returncode == 0, done.stderr[-3000:]
        ran.append(done.stdout)
    assert len(ran) == 3
    assert "ProbeTraining, task phase, seed 0, SlowFast, source+ophora" in ran[0]
    assert "ClassifierTraining, task phase, seed 0, VideoTransformer, source" in ran[2]
    table = json.loads((tmp_path / "results" / "probe" / "table2.json").read_text())
    assert {row["classifier"] for row in table["rows"]} == {"Video transformer, probe"}
    assert {row["training_data"] for row in table["rows"]} == {"Source", "Source + mine"}
    assert all(row["top1"]["paper"] is None for row in table["rows"])
    assert f"Weights: Video transformer, probe of {model}, frozen, a linear head." in table["notes"]
    figures = tmp_path / "results" / "probe" / "figures"
    assert (figures / "gain_phase_video_transformer_probe_matched_epochs.svg").is_file()
    assert not [path for path in figures.iterdir() if " " in path.name]
    cells = tmp_path / "results" / "probe" / "cells" / "phase" / "transformers_probe"
    assert {path.name for path in cells.iterdir()} == {"source", "mine"}
