"""Tables as the page shows them: as wide as a laptop, with several lines in a cell.

Table 2 -> a row for each split, training set and classifier, its schedules side by side
Table 1 -> a row for each model
"""

from __future__ import annotations

from benchmarks.tables.render import (
    MISSING,
    SCHEDULES,
    Cells,
    delta_text,
    grid,
    quality_text,
    score_text,
)
from benchmarks.tables.schema import AccuracyRow, Metric, Table, Table1, Table2

NAMES = {"clipscore": "CLIPScore"}  # of metrics whose letters are not all capitals
SCORES = ("Top-1", "Δ vs Source", "Top-5", "F1")
Trained = tuple[AccuracyRow | None, float | None]  # and the paper's gain
_UNTRAINED: Trained = (None, None)  # Source, whose one training serves every schedule


def stacked(table: Table) -> tuple[list[str], Cells]:
    """Header and body; a text's first line is its value, below stand interval, p and the paper's.

    All numbers are those of `tables.render.grid`; of the p values only the corrected one is here.
    """
    if isinstance(table, Table2):
        return _accuracy(table)
    return _quality(table) if isinstance(table, Table1) else grid(table)


def _accuracy(table: Table2) -> tuple[list[str], Cells]:
    schedules = list(dict.fromkeys(row.schedule for row in table.rows))
    joined: dict[tuple[str, ...], dict[str, Trained]] = {}
    for row, gain in zip(table.rows, table.paper_gains, strict=True):
        key: tuple[str, ...] = (row.task, row.split, row.training_data, row.classifier)
        joined.setdefault(key, {})[row.schedule] = (row, gain)
    papers = {
        schedule: any(row.top1.paper is not None for row in table.rows if row.schedule == schedule)
        for schedule in schedules
    }
    header = ["Task", "Split", "Training data", "Classifier"]
    for schedule in schedules:
        below = f"\nmatched\n{SCHEDULES[schedule]}" if len(schedules) > 1 else ""
        header += [f"{name}{below}" for name in SCORES]
        header += ["Paper"] if papers[schedule] else []
    body = []
    for key in sorted(joined, key=lambda key: key[1] != "test"):  # what is reported comes first
        line = list(key)
        for schedule in schedules:
            trained, gain = joined[key].get(schedule, _UNTRAINED)
            line += _scores(trained)
            line += [_paper(trained, gain)] if papers[schedule] else []
        body.append(line)
    return header, body


def _scores(row: AccuracyRow | None) -> list[str]:
    if row is None:
        return [MISSING] * len(SCORES)
    delta = row.delta_vs_source
    tested = f"\nHolm p {delta.p_holm:.4f}" if delta is not None else ""
    return [
        _under(score_text(row.top1)),
        _under(delta_text(delta)) + tested,
        _under(score_text(row.top5)),
        f"{row.macro_f1:.2f}",
    ]


def _paper(row: AccuracyRow | None, gain: float | None) -> str:
    if row is None or row.top1.paper is None:
        return MISSING
    lines = [f"{row.top1.paper:.2f}"]
    lines += [f"Δ {gain:+.2f}"] if gain is not None else []
    lines += [f"top-5 {row.top5.paper:.2f}"] if row.top5.paper is not None else []
    return "\n".join(lines)


def _quality(table: Table1) -> tuple[list[str], Cells]:
    header = ["Model", "Fine-tuned on"]
    for name in table.printed:
        kind, _, protocol = name.partition("_")
        header.append(f"{NAMES.get(kind, kind.upper())}\n{protocol}")
    body = [
        [row.model, row.fine_tuned_on or MISSING]
        + [_metric(row.metrics.get(name)) for name in table.printed]
        for row in table.rows
    ]
    return header, body


def _metric(metric: Metric | None) -> str:
    if metric is None:
        return MISSING
    text = _under(quality_text(metric))
    return text if metric.paper is None else f"{text}\npaper {metric.paper:.2f}"


def _under(text: str) -> str:
    """The interval in a line of its own."""
    return text.replace(" [", "\n[", 1)
