"""From a run's record to its page: nothing is run, no data are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augment.arm import SOURCE
from benchmarks.audits.rows import audit_row, unaudited_row
from benchmarks.datasets.labels import Taxonomy
from benchmarks.report.classes import (
    CONFUSION_HEADER,
    ClassTable,
    class_table,
    confusion_chart,
    confusion_rows,
    shares_of,
)
from benchmarks.report.curves import Curve, curve_chart
from benchmarks.report.evidence import seen_rows
from benchmarks.report.figures import Chart, charts, write_charts
from benchmarks.report.funnel import funnel_chart, funnel_rows
from benchmarks.report.overview import overview
from benchmarks.report.page import Report, write_report
from benchmarks.report.shown import ROOM_BYTES, Shown, embedded, read_shown
from benchmarks.scoring.evaluation import Cell
from benchmarks.scoring.record import AnyRecord, read_cells
from benchmarks.tables.of_run import tables_of
from benchmarks.tables.render import write_tables
from benchmarks.tables.schema import Tables

REPORT_NAME = "report.html"


def draw(record: AnyRecord, folder: Path) -> Tables:
    """Write tables, figures and page into the results folder whose record this is.

    It reads what lies there beside the record (`cells/`, `page.json`, `clips/`) and nothing else:
    equal files give equal bytes.  Raises: UserError: if one of them is missing.
    """
    cells = read_cells(record, folder)
    tables = tables_of(record, cells)
    report = build_report(record, cells, tables, read_shown(folder), folder)
    write_tables(tables, folder)
    funnel = [report.funnel] if report.funnel is not None else []
    drawn = [*report.overview, *report.charts, *report.mistakes, *report.curves, *funnel]
    write_charts(folder / "figures", drawn)
    write_report(folder / REPORT_NAME, report)
    return tables


def build_report(
    record: AnyRecord, cells: Sequence[Cell], tables: Tables, shown: Shown, folder: Path
) -> Report:
    """Everything that the run allows. folder: where the page will lie and its clips do."""
    sets, table2 = record.clip_sets, tables.table2
    mistakes = _mistakes(cells, shown, record.config.taxonomy)
    return Report(
        tables=tables,
        overview=overview(table2) if table2 is not None else [],
        charts=charts(table2, sets, record.sweeps) if table2 is not None else [],
        seen=seen_rows(sets),
        audits=_audits(record),
        funnel=funnel_chart(shown.funnel) if shown.funnel else None,
        curation=funnel_rows(shown.funnel),
        panels=embedded(shown.panels, folder),
        curves=learning_curves(cells, shown, record.config.schedules),
        scenes=embedded(shown.scenes, folder, ROOM_BYTES),
        classes=_classes(cells, shown, record.config.taxonomy),
        mistakes=[each.chart for each in mistakes],
        mistaken=[row for each in mistakes for row in each.rows],
        mistaken_header=(*CONFUSION_HEADER, *mistakes[0].arms) if mistakes else (),
        materials=record.materials,
        run=record.model_dump(mode="json"),
    )


def _audits(record: AnyRecord) -> list[list[str]]:
    """A row for each synthetic arm, those that no audit looked at included."""
    found = [(arm, record.audit_of(*arm)) for arm in record.synthetic_arms]
    return [audit_row(audit) if audit else unaudited_row(*arm) for arm, audit in found]


def learning_curves(cells: Sequence[Cell], shown: Shown, schedules: Sequence[str]) -> list[Chart]:
    """A figure for each task, classifier and schedule. Source, trained once, is in all of them."""
    found: dict[str, list[Curve]] = {}
    for cell in cells:
        curve = shown.curves.get(str(cell.path))
        for schedule in schedules if cell.arm == SOURCE else [cell.schedule]:
            title = f"{cell.task}, {cell.classifier}, {schedule.replace('_', ' ')}"
            if curve is not None:
                found.setdefault(title, []).append(curve)
    return [curve_chart(title, curves) for title, curves in found.items()]


def _classes(cells: Sequence[Cell], shown: Shown, taxonomy: Taxonomy) -> list[ClassTable]:
    tables = [
        class_table(cells, task, taxonomy.names(task), groups)
        for task, groups in shown.groups.items()
    ]
    return [table for table in tables if table is not None]


@dataclass(frozen=True)
class _Mistakes:
    """What one classifier takes for what. arms: the columns of `rows` after the class names."""

    chart: Chart
    arms: tuple[str, ...]
    rows: list[tuple[str, ...]]


def _mistakes(cells: Sequence[Cell], shown: Shown, taxonomy: Taxonomy) -> list[_Mistakes]:
    """Of each classifier, where Source is among the trainings whose mistakes are shown."""
    chosen = [cell for cell in cells if str(cell.path) in shown.mistakes]
    found = []
    for classifier in dict.fromkeys(cell.classifier for cell in chosen):
        mine = [cell for cell in chosen if cell.classifier == classifier]
        names = taxonomy.names(mine[0].task)
        shares = {cell.arm: shares_of(shown.mistakes[str(cell.path)], len(names)) for cell in mine}
        if SOURCE in shares:
            shares = {SOURCE: shares.pop(SOURCE), **shares}
            chart = confusion_chart(mine[0].task, classifier, shares[SOURCE])
            rows = confusion_rows(classifier, shares, names)
            found.append(_Mistakes(chart, tuple(arm.name for arm in shares), rows))
    return found
