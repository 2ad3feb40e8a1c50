"""Several runs side by side: `run_benchmark.py --compare RUN_DIR RUN_DIR ...`.

results folders -> Run -> rows of both tables -> compare.md, compare.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pydantic

from augment.arm import Arm
from benchmarks.report.drawing import inline, page
from benchmarks.report.evidence import GainKey, Gains, gains
from benchmarks.report.figures import Chart, gain_chart
from benchmarks.report.page import TEMPLATE
from benchmarks.report.passport import refuse_unlike
from benchmarks.report.provenance import DIGITS
from benchmarks.report.sentences import sentence_of
from benchmarks.tables.render import (
    MISSING,
    copies,
    delta_text,
    plain_table,
    quality_text,
    score_text,
)
from benchmarks.tables.schema import Table1, Table2
from core.errors import UserError
from core.files import read_json, write_text

FOLDER_NAME = "compare"  # in the results folder
PAGE_NAME = "compare.html"
HEADER2 = (
    "Task", "Split", "Matched", "Training data", "Classifier", "Run", "Data", "Top-1", "Top-5",
    "Δ top-1 vs Source",
)  # fmt: skip
RUNS_HEADER = ("Run", "Data", "Scale", "Seeds", "Commit", "Folder")
UNTESTED = (
    "Differences are from the Source of the same run, with its test; * survives its correction. "
    "Between runs nothing is tested: for a test of two sources, name both in one run."
)
M = TypeVar("M", bound=pydantic.BaseModel)


class Sizes(pydantic.BaseModel, frozen=True):
    """How many clips and cases each split of a labelled data set has."""

    clips: dict[str, int] = {}
    videos: dict[str, int] = {}


class Making(pydantic.BaseModel, frozen=True):
    """What run.json says of how a run was made; of a merged one, of its parts. Runs of all versions
    are compared, so all else in it may be anything."""

    seeds: tuple[int, ...] = ()
    commit: str | None = None
    parts: tuple[Making, ...] = ()
    datasets: dict[str, Sizes] = {}

    @property
    def tested(self) -> dict[str, tuple[int, int]]:
        """Test clips and cases of each task, where the record has them."""
        return {
            task: (sizes.clips["test"], sizes.videos["test"])
            for task, sizes in self.datasets.items()
            if "test" in sizes.clips and "test" in sizes.videos
        }


@dataclass(frozen=True)
class Run:
    """A results folder. label: unlike the other runs'; making: empty where there is no run.json."""

    label: str
    folder: Path
    table2: Table2 | None
    table1: Table1 | None
    making: Making = field(default_factory=Making)

    @property
    def tables(self) -> list[Table1 | Table2]:
        """Those that it has; one at least."""
        return [table for table in (self.table2, self.table1) if table is not None]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Raises: UserError: if fewer than two are given, one twice, or one holds no table; if numbers
    were measured differently (`passport.refuse_unlike`)."""
    if len({folder.resolve() for folder in folders}) != len(folders) or len(folders) < 2:
        raise UserError("--compare: give at least two results folders, each once")
    runs = [_read(folder, label) for folder, label in zip(folders, labels_of(folders), strict=True)]
    refuse_unlike(
        {run.label: run.table1 for run in runs if run.table1 is not None},
        {
            run.label: {"data": run.table2.data, "n": run.making.tested}
            for run in runs
            if run.table2 is not None
        },
    )
    return runs


def labels_of(folders: Sequence[Path]) -> list[str]:
    """The ends of the folders' paths, as short as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def _read(folder: Path, label: str) -> Run:
    table2, table1 = _load(folder / "table2.json", Table2), _load(folder / "table1.json", Table1)
    if table2 is None and table1 is None:
        raise UserError(f"{folder}: no table2.json or table1.json: give the folder of a run")
    return Run(label, folder, table2, table1, _load(folder / "run.json", Making) or Making())


def _load(path: Path, kind: type[M]) -> M | None:
    if not path.is_file():
        return None
    try:
        return kind.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        what = "record" if kind is Making else "table"
        raise UserError(
            f"{path}: no {what} of this suite ({where}: {first['msg']}): make it again"
        ) from None


def accuracy_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Rows of `HEADER2`: those of all runs' Table 2, equal ones together."""
    found: dict[tuple[str, ...], list[list[str]]] = {}
    for run in runs:
        for row in run.table2.rows if run.table2 is not None else ():
            matched = row.schedule.removeprefix("matched_")
            key = (row.task, row.split, matched, row.training_data, row.classifier)
            data = run.table2.data if run.table2 is not None else ""
            scores = [score_text(row.top1), score_text(row.top5), delta_text(row.delta_vs_source)]
            found.setdefault(key, []).append([*key, run.label, data, *scores])
    return [row for rows in found.values() for row in rows]


def quality_rows(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of all runs' Table 1, equal models together."""
    tables = [(run.label, run.table1) for run in runs if run.table1 is not None]
    names = list(dict.fromkeys(name for _, table in tables for name in table.printed))
    found: dict[str, list[list[str]]] = {}
    for label, table in tables:
        for row in table.rows:
            metrics = (row.metrics.get(name) for name in names)
            values = [MISSING if m is None else quality_text(m) for m in metrics]
            line = [row.model, row.fine_tuned_on or MISSING, label, table.data, *values]
            found.setdefault(row.model, []).append(line)
    header = ["Model", "Fine-tuned on", "Run", "Data", *names]
    return header, [line for lines in found.values() for line in lines]


def run_rows(runs: Sequence[Run]) -> list[list[str]]:
    """A row of `RUNS_HEADER` for each run."""
    rows = []
    for run in runs:
        table, parts = run.tables[0], run.making.parts or (run.making,)
        seeds = [str(seed) for seed in run.making.seeds]
        commits = dict.fromkeys((part.commit or MISSING)[:DIGITS] for part in parts)
        about = [table.data, table.scale, ", ".join(seeds) or MISSING, ", ".join(commits)]
        rows.append([run.label, *about, str(run.folder)])
    return rows


def cautions(runs: Sequence[Run]) -> list[str]:
    """What keeps the runs from being compared number by number."""
    found = [UNTESTED]
    for kind, fields in ((Table2, ("data", "scale", "recipe")), (Table1, ("data",))):
        tables = [table for run in runs for table in run.tables if isinstance(table, kind)]
        for name in fields:
            values = sorted({getattr(table, name) for table in tables})
            if len(values) > 1:
                number = "1" if kind is Table1 else "2"
                found.append(
                    f"The runs' Table {number} differ in {name} ({'; '.join(values)}): compare "
                    "directions, not values."
                )
    return found


def gain_charts(runs: Sequence[Run]) -> list[Chart]:
    """The gains of every run's arms on test, a figure for each task, classifier and
    schedule."""
    gathered: dict[GainKey, Gains] = {}
    for run in runs:
        for key, gained in (gains(run.table2) if run.table2 is not None else {}).items():
            named = {_of_run(arm, run): gain for arm, gain in gained.items()}
            gathered[key] = {**gathered.get(key, {}), **named}
    return [gain_chart(key, gained) for key, gained in gathered.items()]


def _of_run(arm: Arm, run: Run) -> Arm:
    names = {field: f"{getattr(arm, field)} ({run.label})" for field in ("name", "label")}
    return arm.model_copy(update=names)


def markdown(runs: Sequence[Run]) -> str:
    """Both tables, the runs and what to be careful of."""
    header1, rows1 = quality_rows(runs)
    tables = [(HEADER2, accuracy_rows(runs)), (header1, rows1), (RUNS_HEADER, run_rows(runs))]
    parts = [plain_table(rows, header) for header, rows in tables if rows]
    return "\n\n".join([*parts, "\n".join(f"- {text}" for text in cautions(runs))]) + "\n"


def write_comparison(runs: Sequence[Run], folder: Path) -> Path:
    """Write `compare.md` and the page into `folder`; returns the page's path."""
    header1, rows1 = quality_rows(runs)
    shown = [("Table 2", HEADER2, accuracy_rows(runs), 7), ("Table 1", header1, rows1, 4)]
    tables = [
        {
            "title": f"{title} of all runs, equal rows together.",
            "header": header,
            "body": rows,
            "texts": texts,
            "copies": copies(header, rows),
        }
        for title, header, rows, texts in shown
        if rows
    ]
    listed = {"title": "The runs.", "header": RUNS_HEADER, "body": run_rows(runs), "texts": 6}
    html = page(
        TEMPLATE.with_name("compare.html.j2"),
        verdicts=[(run.label, _report_of(run, folder), sentence_of(run.tables[0])) for run in runs],
        tables=tables,
        charts=[(chart, inline(chart.svg)) for chart in gain_charts(runs)],
        runs=listed,
        cautions=cautions(runs),
    )
    write_text(folder / "compare.md", markdown(runs))
    write_text(folder / PAGE_NAME, html)
    return folder / PAGE_NAME


def _report_of(run: Run, folder: Path) -> str:
    """A link to the run's own page, "" where it has none."""
    report = run.folder / "report.html"
    if not report.is_file():
        return ""
    return quote(os.path.relpath(report.resolve(), folder.resolve()).replace(os.sep, "/"))
