"""Cells with chosen accuracies, made from real predictions, for the tests of tables and report."""

from pathlib import Path
from typing import Any

import numpy as np

from augment.arm import SOURCE, Arm
from benchmarks.scoring.evaluation import Cell, Provenance, evaluate
from classifiers.recipe import Schedule
from core.clip import Task
from core.files import write_json
from core.runtime import derive_seed

TRAINING = {
    "best_epoch": 3,
    "val_top1": 0.4,
    "steps": 120,
    "train_clips": 900,
    "unreadable": 0,
    "diverged": False,
    "parameters": 1234,
}
PROVENANCE = Provenance(device="cpu", threads=1, versions={"torch": "2"}, key="abc")


def arm_of(label: str, **changes: Any) -> Arm:
    """The arm that a configuration would make of clips that the tables call so."""
    name = label.removeprefix("Only ").removeprefix("Source + ")
    if label == SOURCE.label:
        return SOURCE
    made = Arm.alone(name, name) if label.startswith("Only ") else Arm.joining(name, name)
    return made.model_copy(update=changes)


def write_predictions(
    folder: Path, *, accuracy: float, seed: int, cases: int = 30, clips: int = 10, classes: int = 52
) -> None:
    """Logits that are right for about `accuracy` of the clips; harder for some cases than others.

    Difficulty and labels do not depend on `seed`, as the same clips are scored each time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        fixed = np.random.default_rng(derive_seed("cases", split))
        rng = np.random.default_rng(derive_seed("hits", split, seed, accuracy))
        labels = fixed.integers(0, classes, cases * clips)
        difficulty = np.repeat(fixed.normal(0, 0.1, cases), clips)
        logits = rng.normal(0, 1, (len(labels), classes))
        right = rng.random(len(labels)) < accuracy + difficulty
        logits[right, labels[right]] = 10.0
        np.save(folder / f"logits_{split}.npy", logits.astype(np.float32))
        np.save(folder / f"labels_{split}.npy", labels)
        ids = [
            {"clip_id": f"{split}{i}", "video_id": f"case{i // clips}"} for i in range(len(labels))
        ]
        write_json(folder / f"clips_{split}.json", ids)


def make_cell(
    tmp_path: Path,
    label: str = "Source",
    *,
    accuracy: float = 0.4,
    seed: int = 0,
    classifier: str = "SlowFast",
    task: Task = "phase",
    schedule: Schedule = "matched_epochs",
    cases: int = 30,
    **changes: Any,
) -> Cell:
    folder = tmp_path / f"{label}{accuracy}{seed}{classifier}{task}{cases}"
    classes = 52 if task == "phase" else 107
    write_predictions(folder, accuracy=accuracy, seed=seed, classes=classes, cases=cases)
    return evaluate(
        folder,
        task=task,
        classifier=classifier,
        arm=arm_of(label, **changes),
        seed=seed,
        schedule=schedule,
        training=TRAINING,
        provenance=PROVENANCE,
    )
