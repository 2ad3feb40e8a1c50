"""The tables as data: the contract of `table1.json`, `table2.json` and `contrasts.json`."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import pydantic

from augment.arm import SOURCE, Arm
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.quality import CLIP_SCORE, METRICS
from benchmarks.scoring.record import Audit
from benchmarks.scoring.scores import Scored
from benchmarks.scoring.statistics import SIGNIFICANCE
from classifiers.recipe import Schedule

Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Interval = tuple[Finite, Finite]
OF_PROMPTS = f"{CLIP_SCORE}_"
# Prefixes of the metrics that Table 1 prints: the paper's, and KVD where clips are few.
PRINTED = tuple(f"{name}_" for name, metric in METRICS.items() if metric.printed)


class Strict(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A row or table that refuses unknown, missing or non-finite fields."""


class Score(Strict):
    """Percent, two decimals. std is None for a single run; paper is None where it has no value."""

    mean: Finite
    std: Finite | None
    ci95: Interval
    n_seeds: int = pydantic.Field(ge=1)
    paper: Finite | None


class Delta(Strict):
    """Top-1 minus that of another arm, in points, paired by case; two-sided p value.

    p_holm is the p value corrected for all tests of the task in the table.
    """

    top1: Finite
    ci95: Interval
    p_value: float = pydantic.Field(gt=0, le=1)
    p_holm: float = pydantic.Field(gt=0, le=1)

    @pydantic.model_validator(mode="after")
    def _correction_raises_p(self) -> Delta:
        if self.p_holm < self.p_value:
            raise ValueError(f"p_holm {self.p_holm} is below p_value {self.p_value}")
        return self

    @property
    def significant(self) -> bool:
        """Whether the difference survives the correction: the mark in the tables."""
        return self.p_holm < SIGNIFICANCE


class AccuracyRow(Strict):
    """training_data: the arm's label. macro_f1: percent, averaged over classes, then over seeds.
    f1_papers: as `Metric.papers`. audit: of the arm's synthetic clips (docs/audits.md); None for
    Source, which has none."""

    task: Task
    split: Scored
    schedule: Schedule
    training_data: str
    arm: Arm
    classifier: str
    top1: Score
    top5: Score
    macro_f1: Finite
    f1_papers: dict[str, Finite] = {}
    delta_vs_source: Delta | None
    audit: Audit | None

    @pydantic.model_validator(mode="after")
    def _numbers_agree(self) -> AccuracyRow:
        if self.top1.mean > self.top5.mean:
            raise ValueError(f"top-1 {self.top1.mean} is above top-5 {self.top5.mean}")
        if self.top1.n_seeds != self.top5.n_seeds:
            raise ValueError("top-1 and top-5 have different numbers of seeds")
        if self.training_data != self.arm.label:
            raise ValueError(f"training_data {self.training_data!r} of the arm {self.arm.label!r}")
        if self.arm == SOURCE and self.delta_vs_source is not None:
            raise ValueError("Source has no difference from itself")
        if (self.arm == SOURCE) != (self.audit is None):
            raise ValueError(f"audit {self.audit!r} of {self.training_data}")
        return self


class Table2(Strict):
    """Downstream accuracy. `notes` are the sentences under the table."""

    data: str
    scale: str
    recipe: str
    rows: tuple[AccuracyRow, ...] = pydantic.Field(min_length=1)
    notes: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _rows_are_unique(self) -> Table2:
        keys = [
            (row.task, row.split, row.schedule, row.arm.id, row.classifier) for row in self.rows
        ]
        if len(set(keys)) != len(keys):
            raise ValueError("a row appears twice")
        return self

    @property
    def data_of_papers(self) -> list[str]:
        """The data sets that `AccuracyRow.f1_papers` are on, in their order there."""
        return list(dict.fromkeys(name for row in self.rows for name in row.f1_papers))

    @property
    def paper_gains(self) -> list[float | None]:
        """What the paper's arm gains over its Source, in points of top-1, for each row; None where
        the paper has no such arm."""
        source = {
            (row.task, row.split, row.classifier): row.top1.paper
            for row in self.rows
            if row.arm == SOURCE
        }
        found: list[float | None] = []
        for row in self.rows:
            base, own = source.get((row.task, row.split, row.classifier)), row.top1.paper
            if row.delta_vs_source is None or base is None or own is None:
                found.append(None)
            else:
                found.append(round(own - base, 2))
        return found


class Contrast(Strict):
    """The difference is the first arm's top-1 minus the second's."""

    task: Task
    split: Scored
    schedule: Schedule
    classifier: str
    first: Arm
    second: Arm
    difference: Delta


class Contrasts(Strict):
    """Differences between two arms, neither of them Source. `notes` are printed below."""

    data: str
    scale: str
    rows: tuple[Contrast, ...] = pydantic.Field(min_length=1)
    notes: tuple[str, ...] = ()


class Metric(Strict):
    """One quality number. `name` of the encoder with its sha256; paper is None where none is.

    papers: of a paper that has several data sets, the number of each that the run's own stands for.
    ci95: over clips. real: the same number of the real clips. real_mean, generated_mean: of what a
    Wasserstein distance compares. subset_*, split_*: of kernel distances and the Inception Score.
    """

    value: Finite
    n: int = pydantic.Field(ge=2)
    encoder: str
    paper: Finite | None
    papers: dict[str, Finite] = {}
    ci95: Interval | None = None
    encoder_sha256: str | None = None
    num_frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    codec: str | None = None
    real: Finite | None = None
    real_mean: Finite | None = None
    generated_mean: Finite | None = None
    subset_mean: Finite | None = None
    subset_std: Finite | None = None
    subset_size: int | None = None
    subsets: int | None = None
    split_std: Finite | None = None
    splits: int | None = None
    warning: str | None = None


class QualityRow(Strict):
    model: str
    fine_tuned_on: str | None
    metrics: dict[str, Metric] = pydantic.Field(min_length=1)


class Table1(Strict):
    """Generation quality. `protocol` says how it was measured, `notes` are printed below."""

    data: str
    scale: str
    protocol: str
    rows: tuple[QualityRow, ...] = pydantic.Field(min_length=1)
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All metrics, those that a row lacks included."""
        return max((list(row.metrics) for row in self.rows), key=len)

    @property
    def printed(self) -> list[str]:
        """Names of the metrics that the printed table shows: the usual ones, and those that a paper
        has a number of; csv and json hold all."""
        published = {
            name
            for row in self.rows
            for name, metric in row.metrics.items()
            if metric.paper is not None or metric.papers
        }
        return [name for name in self.names if name.startswith(PRINTED) or name in published]

    @property
    def data_of_papers(self) -> list[str]:
        """The data sets that `Metric.papers` are on, in their order there."""
        metrics = (metric for row in self.rows for metric in row.metrics.values())
        return list(dict.fromkeys(name for metric in metrics for name in metric.papers))

    @pydantic.model_validator(mode="after")
    def _rows_share_metrics(self) -> Table1:
        for row in self.rows:
            # A model that reads no prompt has no score of its agreement with one.
            lacking = [name for name in self.names if name not in row.metrics]
            known = set(row.metrics) <= set(self.names)
            if not known or any(not name.startswith(OF_PROMPTS) for name in lacking):
                raise ValueError(
                    "rows were measured with different metrics: they cannot be compared"
                )
        if len({row.model for row in self.rows}) != len(self.rows):
            raise ValueError("a model appears twice")
        return self


Table = Table1 | Table2 | Contrasts


class Tables(NamedTuple):
    """Of one run, in the order of reading, by the names of their files; None where it has none."""

    table2: Table2 | None = None
    contrasts: Contrasts | None = None
    table1: Table1 | None = None

    @property
    def made(self) -> list[Table]:
        """Those that there are."""
        return [table for table in self if table is not None]
