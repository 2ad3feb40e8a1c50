"""PolypDiag in its published form, from lists and real videos to scores of two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.datasets.families import read_at
from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.labels import Taxonomy
from benchmarks.datasets.polypdiag import PolypDiag
from benchmarks.scoring.scores import Predictions, split_scores
from core.errors import UserError
from core.runtime import Runtime
from core.video import write_video

TRAIN = {f"train_set_abnormal-{n}.mp4": n % 2 for n in range(20)}
VAL = {f"test_set_normal-{n}.mp4": n % 2 for n in range(4)}


def folder(root: Path, **lists: dict[str, int]) -> Path:
    (root / "splits").mkdir(parents=True)
    for name, clips in ({"train": TRAIN, "val": VAL} | lists).items():
        lines = [f"{file},{label}" for file, label in clips.items()]
        (root / "splits" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        for file in clips:
            write_video(root / "videos" / file, np.zeros((2, 32, 32, 3), np.uint8))
    return root


def stage(root: Path, cache: Path, taxonomy: str = "polypdiag", task: Any = "phase") -> Any:
    how: dict[str, Any] = {
        "taxonomy": Taxonomy.load(taxonomy),
        "hash_memory": cache / "hashes.json",
        "infra": {"folder": str(cache)},
        "runtime": Runtime(workers=1),
    }
    found: LabelledClips = read_at(root, task=task, **how)
    return found


def test_val_is_what_is_reported_and_a_fifth_of_train_is_for_choosing(tmp_path: Path) -> None:
    data = stage(folder(tmp_path / "data"), tmp_path / "cache")
    assert isinstance(data, PolypDiag)
    found = data.run()
    assert found["clips"]["test"] == 4 and found["classes"]["test"] == [0, 1]
    assert found["clips"]["train"] + found["clips"]["val"] == 20 and found["clips"]["val"] > 0
    clips = {clip.path: clip for clip in data.manifest().clips}
    assert {path: clip.label("phase") for path, clip in clips.items()} == {
        f"videos/{file}": label for file, label in {**TRAIN, **VAL}.items()
    }
    three = folder(tmp_path / "three", test={"new.mp4": 1})
    assert stage(three, tmp_path / "cache").run()["clips"] == {"train": 20, "val": 4, "test": 1}


def test_bad_lists_are_refused_in_a_line(tmp_path: Path) -> None:
    root, cache = folder(tmp_path / "data"), tmp_path / "cache"

    def fault(text: str) -> str:
        path = root / "splits" / "train.txt"
        before = path.read_text()
        path.write_text(text)
        with pytest.raises(UserError) as raised:
            stage(root, cache)
        path.write_text(before)
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)
        return str(raised.value)

    assert "line 2" in fault("a.mp4,0\nb.mp4,2\n") and "expected 0 (normal)" in fault("a.mp4,2\n")
    assert "expected <file>,<label>" in fault("a.mp4 0\n")
    assert "listed twice" in fault("a.mp4,0\na.mp4,1\n")
    with pytest.raises(UserError, match="two labels: use --set taxonomy=polypdiag"):
        stage(root, cache, taxonomy="ophnet2024")
    for file in (root / "videos").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="none of 24 listed clips is in videos/"):
        stage(root, cache)


def test_two_classes_are_scored(tmp_path: Path) -> None:
    taxonomy = Taxonomy.load("polypdiag")
    assert taxonomy.few_classes and taxonomy.names("phase") == ("Normal", "Abnormal")
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [np.nan, 0.0]])
    found = Predictions(
        logits=logits,
        labels=np.array([0, 1, 1, 0]),
        clip_ids=("a", "b", "c", "d"),
        video_ids=("a", "b", "c", "d"),
    )
    scores = split_scores(found, np.array([0, 0, 1]), few_classes=True)
    assert scores.top1 == 50.0 and scores.top5 == 75.0  # what is not finite counts as wrong
    assert scores.macro_f1 == pytest.approx(50.0)
    with pytest.raises(UserError, match="at least 6 classes"):
        split_scores(found, np.array([0, 0, 1]))
