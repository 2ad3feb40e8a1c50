"""Tables as csv: plain numbers, every metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.tables.schema import Contrasts, Metric, Score, Table, Table1, Table2

Plain = Iterator[list[Any]]  # lines of the file, the header first


def csv_text(table: Table) -> str:
    """One line a row with plain numbers: intervals in two columns, missing values empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(_lines(table))
    return buffer.getvalue()


def plain_rows(table: Table) -> list[dict[str, Any]]:
    """The same with the columns' names as keys; a missing value is None."""
    header, *rows = _lines(table)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _lines(table: Table) -> Plain:
    plain: dict[type, Callable[[Any], Plain]] = {
        Table1: _plain_quality,
        Table2: _plain_accuracy,
        Contrasts: _plain_contrasts,
    }
    return plain[type(table)](table)


def _plain_quality(table: Table1) -> Plain:
    endings = ["", "_ci95_low", "_ci95_high", "_paper"]
    endings += [f"_paper_{name}" for name in table.data_of_papers]
    yield ["model", "fine_tuned_on", *(name + end for name in table.names for end in endings)]
    for row in table.rows:
        found = [row.metrics.get(name) for name in table.names]
        values = [value for metric in found for value in _plain1(metric, table.data_of_papers)]
        yield [row.model, row.fine_tuned_on, *values]


def _plain_accuracy(table: Table2) -> Plain:
    score = ["mean", "std", "ci95_low", "ci95_high", "n_seeds", "paper"]
    data = table.data_of_papers
    of_f1 = [f"macro_f1_paper_{name}" for name in data]
    yield (
        ["task", "split", "schedule", "training_data", "classifier"]
        + [f"{name}_{column}" for name in ("top1", "top5") for column in score]
        + ["macro_f1", *of_f1, "delta_top1", "delta_ci95_low", "delta_ci95_high", "delta_paper"]
        + ["delta_p_value", "delta_p_holm", "audit"]
    )
    for row, gain in zip(table.rows, table.paper_gains, strict=True):
        names = [row.task, row.split, row.schedule, row.training_data, row.classifier]
        delta = row.delta_vs_source
        differences = (
            [delta.top1, *delta.ci95, gain, delta.p_value, delta.p_holm] if delta else [None] * 6
        )
        scores = [*_plain(row.top1), *_plain(row.top5)]
        papers = [row.f1_papers.get(name) for name in data]
        yield [*names, *scores, row.macro_f1, *papers, *differences, row.audit]


def _plain_contrasts(table: Contrasts) -> Plain:
    names = ("task", "split", "schedule", "classifier", "first", "second")
    values = ("top1", "ci95_low", "ci95_high", "p_value", "p_holm")
    yield [*names, *(f"delta_{value}" for value in values)]
    for row in table.rows:
        delta = row.difference
        arms = [row.first.label, row.second.label]
        line = [row.task, row.split, row.schedule, row.classifier, *arms]
        yield [*line, delta.top1, *delta.ci95, delta.p_value, delta.p_holm]


def _plain(score: Score) -> list[float | None]:
    return [score.mean, score.std, *score.ci95, score.n_seeds, score.paper]


def _plain1(metric: Metric | None, data: Sequence[str]) -> list[float | None]:
    if metric is None:
        return [None] * (4 + len(data))
    papers = [metric.papers.get(name) for name in data]
    return [metric.value, *(metric.ci95 or (None, None)), metric.paper, *papers]
