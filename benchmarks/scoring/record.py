"""What a run found, as one value: `run.json`. Tables, figures, pages and merged runs are functions
of it and of the cells that it names.

plan that ran -> collect -> Record -> run.json -> tables, figures, report.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from augment.arm import REAL_TEST, Arm
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.datasets.taxonomy import Task
from benchmarks.scoring.evaluation import Cell, read_cell
from core.errors import UserError
from core.files import read_json, write_json

RECORD_NAME = "run.json"
Audit = Literal["passed", "failed", "not run"]


class Strict(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Facts that refuse what they do not know."""


@dataclass(frozen=True)
class ClipSet:
    """The clips of an arm, or the real test clips.

    clips: how many. clips_per_class: mean over the classes that have any. metrics: FVD and KVD
    against real training clips by name, as in the result of `ArmDistance`. trained_on_source: by
    classifier, what one trained on Source alone makes of the clips: `clips` it could read, `top1`
    and `top5` in percent, averaged over classes.
    """

    clips: int
    clips_per_class: float
    metrics: Mapping[str, Mapping[str, Any]]
    trained_on_source: Mapping[str, Mapping[str, Any]]


ClipSets = Mapping[Task, Mapping[Arm, ClipSet]]


class ArmAudit(Strict):
    """What the leakage audit found in one arm.

    training_data: the arm's label. stages: identity of each stage that looked, by name: an audit
    counts for these alone; found: their results; broken: the rules that the arm breaks, a clause
    each.
    """

    task: Task
    training_data: str
    arm: Arm
    stages: dict[str, str]
    found: dict[str, dict[str, Any]]
    broken: tuple[str, ...]


class Material(Strict):
    """Weights or data that a run used. licence: None where nobody says; said_by: who does."""

    name: str
    kind: str
    licence: str | None
    said_by: str


class ExternalFacts(Strict):
    """A second data set that every cell was tested on.

    mapping: the file that says which class each of its labels is, None where they are the run's;
    counts: by task, the result of `Relabelled`.
    """

    data: str
    root: str
    mapping: str | None
    counts: dict[Task, dict[str, int]]


class QualityFacts(Strict):
    """One generator's clips for held-out captions. metrics: the result of `GenerationQuality`;
    folder: where the clips were given, not made, its name."""

    model: str
    fine_tuned_on: str | None
    folder: str | None = None
    metrics: dict[str, dict[str, Any]]


class StageFacts(Strict):
    """A stage that ran, in this run or an earlier one.

    stage: its kind and what tells it from its like; cost: what it takes, in words; folder: in the
    cache; left_out: how many inputs it lost, by cause; seconds, commit: of the run that ended it.
    """

    stage: str
    cost: str
    folder: str
    left_out: dict[str, int]
    seconds: float | None = None
    commit: str | None = None


class Making(Strict):
    """What one run is made by; of merged runs each has its own."""

    seeds: tuple[int, ...]
    device: str
    threads: int
    machine: dict[str, Any]
    versions: dict[str, str]
    commit: str | None
    stages: tuple[StageFacts, ...]


class Findings(Strict):
    """What a run found, or several that were merged."""

    config: BenchmarkConfig
    """As resolved; `runtime` and `cluster` are not kept."""
    data: str
    """Name of the labelled data."""
    data_root: str | None
    corpus: str
    """The narrated clips: "OphVL-sim", or the folder of --corpus-root."""
    scale: str
    datasets: dict[Task, dict[str, Any]]
    """Result of each labelled data set."""
    warnings: tuple[str, ...]
    unreadable_files: tuple[str, ...]
    curation: dict[str, dict[str, Any]]
    """Counts by curated set; empty where no generator was trained."""
    generators: dict[str, dict[str, Any]]
    """Result of each generator: what was loaded, what was trained."""
    cells: tuple[str, ...]
    """Their paths in the results folder, in the tables' order."""
    arms: dict[Task, dict[str, ClipSet]]
    """Clips of each arm by its label, the real test clips first."""
    sweeps: dict[str, tuple[Arm, ...]]
    """By what they are parts of: arms that differ in volume alone, the whole last."""
    quality: tuple[QualityFacts, ...]
    """Rows of Table 1."""
    audits: tuple[ArmAudit, ...]
    """Those that are of the run's own clips."""
    external: ExternalFacts | None = None
    """The second data set, where there is one."""
    materials: tuple[Material, ...] = ()
    """Weights and data with their licences."""
    notes: tuple[str, ...] = ()
    """Sentences for below Table 2 that follow from nothing else here."""

    @pydantic.field_serializer("config")
    def _without_machinery(self, config: BenchmarkConfig) -> dict[str, Any]:
        return config.model_dump(mode="json", exclude={"runtime", "cluster"})

    def audit_of(self, task: Task, arm: Arm) -> ArmAudit | None:
        """None for an arm that no audit looked at."""
        found = (audit for audit in self.audits if (audit.task, audit.arm) == (task, arm))
        return next(found, None)

    @property
    def clip_sets(self) -> dict[Task, dict[Arm, ClipSet]]:
        """Clips by arm, in the tables' order, those of `REAL_TEST` first."""
        by_label = {arm.label: arm for arm in (REAL_TEST, *self.config.registry().values())}
        return {
            task: {by_label[label]: clips for label, clips in sets.items()}
            for task, sets in self.arms.items()
        }

    @property
    def synthetic_arms(self) -> list[tuple[Task, Arm]]:
        """Task and arm wherever an arm adds clips, in the tables' order."""
        return [
            (task, arm) for task, sets in self.clip_sets.items() for arm in sets if arm != REAL_TEST
        ]


class Record(Making, Findings):
    """One run."""

    @property
    def parts(self) -> tuple[Making, ...]:
        """The run's own making, as of a merged run."""
        return (Making(**{name: getattr(self, name) for name in Making.model_fields}),)


class MergedRecord(Findings):
    """Several runs of one configuration, each with seeds of its own."""

    seeds: tuple[int, ...]
    parts: tuple[Making, ...]


AnyRecord = Record | MergedRecord


def outcome(audit: ArmAudit | None) -> Audit:
    """What a row of Table 2 says of its arm."""
    if audit is None:
        return "not run"
    return "failed" if audit.broken else "passed"


def left_out(record: AnyRecord) -> dict[str, dict[str, int]]:
    """By stage, how many inputs were lost, by cause; stages that lost none are not named.

    A stage that several runs have in common counts once, stages of one name count together.
    """
    stages = {(stage.stage, stage.folder): stage for part in record.parts for stage in part.stages}
    found: dict[str, dict[str, int]] = {}
    for stage in stages.values():
        for cause, number in stage.left_out.items():
            by_cause = found.setdefault(stage.stage, {})
            by_cause[cause] = by_cause.get(cause, 0) + number
    return found


def write_record(record: AnyRecord, folder: Path) -> None:
    """Write `run.json`: last, for what has one is finished."""
    write_json(folder / RECORD_NAME, record.model_dump(mode="json"))


@contextmanager
def as_written(folder: Path) -> Iterator[None]:
    """Around what is made of a folder's record: parts of it are results of stages, each of a form
    that only its use can tell from another.

    Raises: UserError: if the block fails for what such a part holds.
    """
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"{folder}: {RECORD_NAME} or a file beside it is not as a run of this version wrote it "
            f"({fault}): copy the folder again, or run it again"
        ) from error


def read_record(folder: Path) -> AnyRecord:
    """The record of a results folder.

    Raises: UserError: if the folder holds none, or one of another form than this version's.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        raise UserError(f"{folder}: no {RECORD_NAME}: give the folder of a finished run")
    content = read_json(path)
    merged = isinstance(content, dict) and "parts" in content
    try:
        return (MergedRecord if merged else Record).model_validate(content)
    except pydantic.ValidationError as error:
        raise UserError(f"{folder}: {_fault(error)}: run it again") from None


def _fault(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing" and first["loc"][0] != "config":
        return f"{RECORD_NAME} has no `{place}`"
    return f"no run of this version ({place or RECORD_NAME}: {first['msg']})"


def read_cells(record: AnyRecord, folder: Path) -> list[Cell]:
    """The cells that the record names, in its order.  Raises: UserError: if one is missing or bad.

    What else lies among them is of an earlier run in the same folder.
    """
    for path in record.cells:
        if not (folder / path).is_file():
            raise UserError(f"{folder}: {path} is missing: copy the whole folder")
    return [read_cell(folder / path) for path in record.cells]
