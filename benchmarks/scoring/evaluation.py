"""From a finished classifier's predictions to a cell: one entry of Table 2, with its provenance.

predictions -> scores per split (`benchmarks/scoring/scores.py`) -> Cell -> one JSON file
A cell keeps hits per case (video), which is all that intervals and paired tests need, so tables can
be rebuilt from the cells alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from benchmarks.datasets.taxonomy import PHASE_OF_OPERATION
from benchmarks.scoring.scores import Predictions, SplitScores, split_scores
from core.clip import Split, Task
from core.errors import UserError, did_you_mean
from core.files import read_json, write_json

Schedule = Literal["matched_epochs", "matched_steps"]
EVALUATED_SPLITS: tuple[Split, ...] = ("val", "test")
SOURCE = "Source"
ALONE = "Only"  # synthetic clips without the real ones: "Only Ophora"
# Command-line name -> name in the tables (and in the paper).
CLASSIFIER_LABELS = {"slowfast": "SlowFast", "mvit_v2": "MViTv2"}
# Source: the paper, Table 2 and Sec. 3.1: 52 phases count Others; 106 operations do not.
HEAD_SIZES: dict[Task, int] = {"phase": 52, "operation": 107}
# Every operation has one phase. Others, which OphNet files under 25 phases, counts as without.
PARENTS: dict[Task, tuple[int | None, ...] | None] = {
    "phase": None,
    "operation": PHASE_OF_OPERATION,
}
_TRAINING_DATA = re.compile(r"Source( \+ [\w.-]+)?|Only [\w.-]+")


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
            raise ValueError(f"training_data {self.training_data!r}: expected 'Source + NAME'")
        if tuple(self.splits) != EVALUATED_SPLITS:
            raise ValueError(f"expected scores on val and test, got {list(self.splits)}")
        return self

    @property
    def path(self) -> Path:
        """Where the cell lies in a results folder."""
        return cell_path(self.task, self.classifier, self.training_data, self.seed, self.schedule)


def cell_path(
    task: Task, classifier: str, training_data: str, seed: int, schedule: Schedule
) -> Path:
    """Where a cell lies in a results folder."""
    arm = source_id(training_data)
    if schedule != "matched_epochs":
        arm += f"-{schedule}"
    kind = next(key for key, name in CLASSIFIER_LABELS.items() if name == classifier)
    return Path("cells", task, kind, arm, f"seed{seed}.json")


def source_id(training_data: str) -> str:
    """The command-line name of a table's training data: "Source + Bora" -> "bora"."""
    return arm_name(training_data).lower().replace(" ", "-")


def joins_real(training_data: str) -> bool:
    """Whether real clips are among these training data."""
    return not training_data.startswith(ALONE)


def arm_name(training_data: str) -> str:
    """An arm by itself, for a figure or a sentence: "Source + Bora" -> "Bora"."""
    return training_data.rsplit(" + ", 1)[-1]


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
    # The stage predicts its evaluation source, the real clips, on train as well.
    train_labels = Predictions.load(folder, "train").labels
    return Cell(
        task=task,
        classifier=classifier,
        training_data=training_data,
        seed=seed,
        schedule=schedule,
        splits={
            split: split_scores(Predictions.load(folder, split), train_labels, PARENTS[task])
            for split in EVALUATED_SPLITS
        },
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
    return [read_cell(path) for path in sorted(Path(results).glob("cells/*/*/*/seed*.json"))]


def read_cell(path: Path) -> Cell:
    """Raises: UserError: if the file holds no cell of this version."""
    try:
        return Cell.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "cell"
        raise UserError(f"cell {path}, {field}: {first['msg']}: make it again") from None
