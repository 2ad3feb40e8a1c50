"""From a finished classifier's predictions to a cell: one entry of Table 2, with its provenance.

predictions -> scores per split (`benchmarks/scoring/scores.py`) -> Cell -> one JSON file
A cell keeps hits per case (video), which is all that intervals and paired tests need, so tables can
be rebuilt from the cells alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from augment.arm import Arm
from benchmarks.datasets.labels import Task, Taxonomy, default_taxonomy
from benchmarks.scoring.scores import Predictions, Scored, SplitScores, split_scores
from classifiers.families import FILE_NAMES
from classifiers.recipe import Schedule
from core.errors import UserError, did_you_mean
from core.files import read_json, write_json

EVALUATED_SPLITS: tuple[Scored, ...] = ("val", "test")
EXTERNAL: Scored = "external"  # a second data set, where the run has one


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
    """One training of one classifier on one training set, scored on val and test, and on a second
    data set where the run has one."""

    task: Task
    classifier: str
    arm: Arm
    seed: int = pydantic.Field(ge=0)
    schedule: Schedule = "matched_epochs"
    splits: dict[Scored, SplitScores]
    training: TrainingFacts
    provenance: Provenance

    @pydantic.model_validator(mode="after")
    def _names_are_known(self) -> Cell:
        if self.classifier not in FILE_NAMES:
            hint = did_you_mean(self.classifier, FILE_NAMES)
            raise ValueError(f"unknown classifier {self.classifier!r}: {hint}")
        if tuple(self.splits) not in (EVALUATED_SPLITS, (*EVALUATED_SPLITS, EXTERNAL)):
            raise ValueError(f"expected scores on val and test, got {list(self.splits)}")
        return self

    @property
    def path(self) -> Path:
        """Where the cell lies in a results folder."""
        return cell_path(self.task, self.classifier, self.arm, self.seed, self.schedule)


def cell_path(task: Task, classifier: str, arm: Arm, seed: int, schedule: Schedule) -> Path:
    """Where a cell lies in a results folder."""
    name = arm.id
    if schedule != "matched_epochs":
        name += f"-{schedule}"
    return Path("cells", task, FILE_NAMES[classifier], name, f"seed{seed}.json")


def evaluate(
    folder: Path | str,
    *,
    task: Task,
    classifier: str,
    arm: Arm,
    seed: int,
    training: Mapping[str, Any],
    provenance: Provenance,
    schedule: Schedule = "matched_epochs",
    taxonomy: Taxonomy | None = None,
    external: Path | None = None,
) -> Cell:
    """The cell of a finished classifier training whose predictions lie in `folder`.

    Args: classifier: as in the tables ("SlowFast"); training: the result of the training stage;
    taxonomy: whose hierarchy counts, None for OphNet2024's; external: the
    folder of the predictions on a second data set.
    Raises: UserError: if predictions are missing or inconsistent.
    """
    # The stage predicts its evaluation source, the real clips, on train as well.
    train_labels = Predictions.load(folder, "train").labels
    places: dict[Scored, Path | str] = dict.fromkeys(EVALUATED_SPLITS, folder)
    if external is not None:
        places[EXTERNAL] = external
    taxonomy = taxonomy or default_taxonomy()
    parents, few = taxonomy.parents(task), taxonomy.few_classes
    return Cell(
        task=task,
        classifier=classifier,
        arm=arm,
        seed=seed,
        schedule=schedule,
        splits={
            split: split_scores(
                Predictions.load(place, split), train_labels, parents, few_classes=few
            )
            for split, place in places.items()
        },
        training=TrainingFacts.model_validate(training),
        provenance=provenance,
    )


def save_cell(results: Path | str, cell: Cell) -> Path:
    """Write a cell below a results folder and return the file's path."""
    path = Path(results) / cell.path
    write_json(path, cell.model_dump(mode="json"))
    return path


def read_cell(path: Path) -> Cell:
    """Raises: UserError: if the file holds no cell of this version."""
    try:
        return Cell.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "cell"
        raise UserError(f"cell {path}, {field}: {first['msg']}: make it again") from None
