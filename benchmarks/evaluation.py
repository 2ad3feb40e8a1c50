"""From a finished classifier's predictions to a cell: one entry of Table 2, with its provenance.

predictions -> hits per case, scores per split -> Cell -> one JSON file
A cell keeps hits per case (video), which is all that intervals and paired tests need, so tables can
be rebuilt from the cells alone.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score

from core.clip import Split, Task
from core.errors import UserError, did_you_mean
from core.files import read_json, write_json

Schedule = Literal["matched_epochs", "matched_steps"]
EVALUATED_SPLITS: tuple[Split, ...] = ("val", "test")
SOURCE = "Source"
# Command-line name -> name in the tables (and in the paper).
CLASSIFIER_LABELS = {"slowfast": "SlowFast", "mvit_v2": "MViTv2"}
# Source: the paper, Table 2 and Sec. 3.1: 52 phases count Others; 106 operations do not.
HEAD_SIZES: dict[Task, int] = {"phase": 52, "operation": 107}
_TRAINING_DATA = re.compile(r"Source( \+ [\w.-]+)?")


@dataclass(frozen=True)
class Predictions:
    """A classifier's output on one split.

    logits: (N, C) float; labels: (N,) int in [0, C); clip_ids, video_ids: N strings each.
    """

    logits: NDArray[np.floating]
    labels: NDArray[np.integer]
    clip_ids: tuple[str, ...]
    video_ids: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path | str, split: Split) -> Predictions:
        """Read `logits_<split>.npy`, `labels_<split>.npy` and `clips_<split>.json`.

        Raises: UserError: if a file is missing or the three disagree about the clips.
        """
        folder = Path(folder)
        clips = read_json(folder / f"clips_{split}.json")
        arrays = []
        for name in (f"logits_{split}.npy", f"labels_{split}.npy"):
            if not (folder / name).is_file():
                raise UserError(f"{folder / name}: no such file: run the classifier's training")
            arrays.append(np.load(folder / name))
        logits, labels = arrays
        if not len(logits) == len(labels) == len(clips):
            sizes = f"{len(logits)} logits, {len(labels)} labels, {len(clips)} clips"
            raise UserError(f"{folder}: predictions on {split} disagree: {sizes}")
        return cls(
            logits=logits,
            labels=labels,
            clip_ids=tuple(clip["clip_id"] for clip in clips),
            video_ids=tuple(clip["video_id"] for clip in clips),
        )


class CaseScore(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Clips of one case (video) in a split, and how many of them were right."""

    video_id: str = pydantic.Field(min_length=1)
    clips: int = pydantic.Field(ge=1)
    top1_hits: int = pydantic.Field(ge=0)
    top5_hits: int = pydantic.Field(ge=0)

    @pydantic.model_validator(mode="after")
    def _hits_are_ordered(self) -> CaseScore:
        if not self.top1_hits <= self.top5_hits <= self.clips:
            raise ValueError(f"case {self.video_id!r}: expected top-1 <= top-5 hits <= clips")
        return self


Percent = pydantic.confloat(ge=0, le=100, allow_inf_nan=False)


class SplitScores(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Scores on one split, percent with two decimals. `cases` are sorted by video id."""

    clips: int = pydantic.Field(ge=1)
    top1: Percent  # type: ignore[valid-type]
    top5: Percent  # type: ignore[valid-type]
    macro_f1: Percent  # type: ignore[valid-type]
    balanced_accuracy: Percent  # type: ignore[valid-type]
    cases: tuple[CaseScore, ...] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _cases_add_up(self) -> SplitScores:
        if sum(case.clips for case in self.cases) != self.clips:
            raise ValueError(f"the cases' clips do not add up to {self.clips}")
        if len({case.video_id for case in self.cases}) != len(self.cases):
            raise ValueError("a video_id appears twice among the cases")
        for name in ("top1", "top5"):
            hits = sum(getattr(case, f"{name}_hits") for case in self.cases)
            if percent(hits / self.clips) != getattr(self, name):
                raise ValueError(f"the cases' {name} hits do not give {getattr(self, name)}%")
        return self


class TrainingFacts(pydantic.BaseModel, frozen=True, extra="ignore"):
    """What a classifier's training says of itself (the result of its stage)."""

    best_epoch: int = pydantic.Field(ge=0)
    val_top1: float
    steps: int = pydantic.Field(ge=0)
    train_clips: int = pydantic.Field(ge=1)
    unreadable: int = pydantic.Field(default=0, ge=0)
    diverged: bool = False
    parameters: int = pydantic.Field(ge=1)

    @pydantic.field_validator("unreadable", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return len(value) if isinstance(value, (list, tuple)) else value


class Provenance(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where a cell's numbers were computed; `key` names the training's folder in the cache."""

    device: str = pydantic.Field(min_length=1)
    threads: int = pydantic.Field(ge=1)
    versions: dict[str, str]
    key: str = pydantic.Field(min_length=1)


class Cell(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One training of one classifier on one training set, scored on val and test."""

    task: Task
    classifier: str
    training_data: str
    seed: int = pydantic.Field(ge=0)
    schedule: Schedule = "matched_epochs"
    splits: dict[Split, SplitScores]
    training: TrainingFacts
    provenance: Provenance

    @pydantic.model_validator(mode="after")
    def _names_are_known(self) -> Cell:
        if self.classifier not in CLASSIFIER_LABELS.values():
            hint = did_you_mean(self.classifier, CLASSIFIER_LABELS.values())
            raise ValueError(f"unknown classifier {self.classifier!r}: {hint}")
        if not _TRAINING_DATA.fullmatch(self.training_data):
            raise ValueError(f"training_data {self.training_data!r} is no 'Source + <name>'")
        if tuple(self.splits) != EVALUATED_SPLITS:
            raise ValueError(f"expected scores on val and test, got {list(self.splits)}")
        return self

    @property
    def path(self) -> Path:
        """Where the cell lies in a results folder."""
        arm = source_id(self.training_data)
        if self.schedule != "matched_epochs":
            arm += f"-{self.schedule}"
        classifier = next(key for key, name in CLASSIFIER_LABELS.items() if name == self.classifier)
        return Path("cells", self.task, classifier, arm, f"seed{self.seed}.json")


def source_id(training_data: str) -> str:
    """The command-line name of a table's training data: "Source + Bora" -> "bora"."""
    return training_data.rsplit(" + ", 1)[-1].lower()


def percent(fraction: float) -> float:
    """A fraction as percent with two decimals."""
    return round(100.0 * float(fraction), 2)


def split_scores(predictions: Predictions) -> SplitScores:
    """Score one split; every number comes from scikit-learn.

    A clip whose logits are not finite (a diverged training) counts as wrong. Macro-F1 and balanced
    accuracy average over the classes that the split holds.
    Raises: UserError: if there is no clip, a label lies outside the head or the head has under 6.
    """
    logits, labels = _rankable(predictions)
    classes = np.arange(logits.shape[1])
    videos = np.asarray(predictions.video_ids)
    hits = {
        k: [
            int(top_k_accuracy_score(*pair, k=k, labels=classes, normalize=False))
            for pair in _by_case(videos, labels, logits)
        ]
        for k in (1, 5)
    }
    names, counts = np.unique(videos, return_counts=True)
    guesses = logits.argmax(axis=1)
    with warnings.catch_warnings():
        # Classes that are guessed but absent from the split are left out on purpose.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        balanced = balanced_accuracy_score(labels, guesses)
    macro_f1 = f1_score(labels, guesses, labels=np.unique(labels), average="macro", zero_division=0)
    return SplitScores(
        clips=len(labels),
        top1=percent(sum(hits[1]) / len(labels)),
        top5=percent(sum(hits[5]) / len(labels)),
        macro_f1=percent(macro_f1),
        balanced_accuracy=percent(balanced),
        cases=tuple(
            CaseScore(video_id=str(name), clips=int(count), top1_hits=one, top5_hits=five)
            for name, count, one, five in zip(names, counts, hits[1], hits[5], strict=True)
        ),
    )


def _rankable(predictions: Predictions) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    logits, labels = np.array(predictions.logits, np.float64), predictions.labels
    if logits.ndim != 2 or not len(logits) or logits.shape[1] < 6:
        raise UserError(f"logits have shape {logits.shape}: expected clips x at least 6 classes")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        bad = labels.max() if labels.min() >= 0 else labels.min()
        raise UserError(f"label {bad} is outside the head's 0..{logits.shape[1] - 1}")
    broken = ~np.isfinite(logits).all(axis=1)
    logits[broken] = 0.0
    logits[broken, labels[broken]] = -1.0
    return logits, labels


def _by_case(
    videos: NDArray[np.str_], labels: NDArray[np.integer], logits: NDArray[np.float64]
) -> Iterable[tuple[NDArray[np.integer], NDArray[np.float64]]]:
    for video in np.unique(videos):
        mine = videos == video
        yield labels[mine], logits[mine]


def evaluate(
    folder: Path | str,
    *,
    task: Task,
    classifier: str,
    training_data: str,
    seed: int,
    training: Mapping[str, Any],
    provenance: Provenance,
    schedule: Schedule = "matched_epochs",
) -> Cell:
    """The cell of a finished classifier training whose predictions lie in `folder`.

    Args: classifier, training_data: as in the tables ("SlowFast", "Source + Bora"); training: the
    result of the training stage. Raises: UserError: if predictions are missing or inconsistent.
    """
    return Cell(
        task=task,
        classifier=classifier,
        training_data=training_data,
        seed=seed,
        schedule=schedule,
        splits={split: split_scores(Predictions.load(folder, split)) for split in EVALUATED_SPLITS},
        training=TrainingFacts.model_validate(training),
        provenance=provenance,
    )


def save_cell(results: Path | str, cell: Cell) -> Path:
    """Write a cell below a results folder and return the file's path."""
    path = Path(results) / cell.path
    write_json(path, cell.model_dump(mode="json"))
    return path


def load_cells(results: Path | str) -> list[Cell]:
    """All cells below a results folder, sorted by path.  Raises: UserError: for a bad one."""
    cells = []
    for path in sorted(Path(results).glob("cells/*/*/*/seed*.json")):
        try:
            cells.append(Cell.model_validate(read_json(path)))
        except pydantic.ValidationError as error:
            raise UserError(f"cell {path}: {error.errors()[0]['msg']}: make it again") from None
    return cells
