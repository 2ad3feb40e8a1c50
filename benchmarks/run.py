"""Running a plan: stages in waves, then the record of what they found, tables and page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tabulate

from benchmarks.collect.facts import cell_of, collect
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.dispatch import run_as_jobs, run_wave, stage_name
from benchmarks.plan import Inputs, Plan
from benchmarks.plan.cost import a100_hours, training_gb
from benchmarks.plan.curation_cost import curation_cost
from benchmarks.plan.ledger import ledger
from benchmarks.report.build import draw
from benchmarks.report.licences import licence_warnings
from benchmarks.report.provenance import generator_origins
from benchmarks.report.sweep import SWEEP_NAME, write_sweep
from benchmarks.report.terminal import cell_row, final_screen, plan_line
from benchmarks.scoring.evaluation import save_cell
from benchmarks.scoring.record import (
    AnyRecord,
    as_written,
    read_cells,
    read_record,
    write_record,
)
from benchmarks.tables.of_run import tables_of
from benchmarks.tables.plain import plain_rows
from benchmarks.tables.render import markdown
from benchmarks.tables.schema import Tables
from core.files import UNKNOWN
from core.progress import say
from core.stage import Stage
from generator.curation.stages import Curation, PrivacyFilter


@dataclass(frozen=True)
class Outcome:
    """What a run left in its folder: the record that run.json holds, and tables made of it."""

    folder: Path
    record: AnyRecord
    tables: Tables

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Table 2's rows, with the columns of table2.csv as keys; empty without the table."""
        return [] if self.tables.table2 is None else plain_rows(self.tables.table2)

    @property
    def quality(self) -> list[dict[str, Any]]:
        """Table 1's rows, likewise."""
        return [] if self.tables.table1 is None else plain_rows(self.tables.table1)


def execute(plan: Plan, only: str | None = None) -> Path:
    """Run every wave (up to the one named `only`) and write the results; returns their folder.

    Raises: UserError: if an input is wrong. What was computed before stays and is used next time.
    """
    start = time.monotonic()
    compute(plan, only)
    if only is None or only == "classifiers":
        found = write_results(plan)
        show(found.tables)
        say(final_screen(found.record, found.folder, found.tables, time.monotonic() - start))
    return plan.folder


def compute(plan: Plan, only: str | None = None) -> None:
    """Run every wave, up to the one named `only`.  Raises: as `execute`."""
    cluster = plan.config.cluster
    waves = list(plan.waves())
    say(plan_line(waves))
    for name, stages, ranks in waves:
        if cluster is not None:
            say(f"== {name}, as jobs ({cluster.kind})")
            run_as_jobs(stages, cluster)
        elif name == "classifiers":
            run_cells(plan)
        else:
            run_wave(name, stages, runtime=plan.config.runtime, ranks=ranks)
        if name == "data":
            plan.check_data()
        if name == only:
            say(f"stopped after {name!r}, as asked")
            break


def execute_all(configs: Mapping[float, BenchmarkConfig], inputs: Inputs, field: str) -> Path:
    """Run the same configuration at several values of a field; table and figures by value.

    Every plan is checked before the first one runs. Returns: the folder of the table.
    """
    plans = {value: Plan(config, inputs) for value, config in configs.items()}
    for plan in plans.values():
        plan.check()
    folders = []
    for value, plan in plans.items():
        say(f"==== {field} {value:g}")
        folders.append(execute(plan))
    place = folders[0].parent
    print(write_sweep(field, list(plans), folders, place))
    say(f"by {field}: {place / SWEEP_NAME}")
    return place


def run_cells(plan: Plan) -> None:
    """Train the classifiers; each that ends leaves its cell and a row on the terminal."""
    planned = {cell.stage.infra.uid(): cell for cell in plan.cells}

    def finished(stage: Stage) -> str:
        cell = cell_of(plan, planned[stage.infra.uid()])
        save_cell(plan.folder, cell)
        return cell_row(cell)

    stages = [cell.stage for cell in plan.cells]
    runtime = plan.config.runtime
    ranks = runtime.classifier_processes
    run_wave("classifiers", stages, runtime=runtime, ranks=ranks, describe=finished)


def write_results(plan: Plan) -> Outcome:
    """Cells, tables, page and, last, `run.json`."""
    record = collect(plan, plan.folder)
    tables = draw(record, plan.folder)
    write_record(record, plan.folder)
    for name, origin in generator_origins(record.generators):
        say(f"{name}: {origin}")
    for text in licence_warnings(record.materials):
        say(f"warning: {text}")
    return Outcome(plan.folder, record, tables)


def read_outcome(folder: Path | str) -> Outcome:
    """That of an earlier run, merged or not.

    Raises: UserError: if the folder holds no record, or not all that it names.
    """
    folder = Path(folder)
    record = read_record(folder)
    with as_written(folder):
        return Outcome(folder, record, tables_of(record, read_cells(record, folder)))


def redraw(folder: Path) -> Tables:
    """Tables and page of a results folder again, from its record. Nothing is computed.

    Raises: UserError: if the folder holds no record, or not all that it names.
    """
    record = read_record(folder)
    with as_written(folder):
        return draw(record, folder)


def show(tables: Tables) -> None:
    """Print the tables to stdout, Table 2 last: it stays in sight."""
    for table in reversed(tables.made):
        print(markdown(table))


def describe(plan: Plan) -> str:
    """The plan as a table: stage, state, cost, key (the end of its folder's name in the cache)."""
    rows = []
    for stage in plan.tower():
        done = stage.is_done()
        cost = stage.cost()
        if isinstance(stage, Curation | PrivacyFilter) and not done:
            cost = curation_cost(stage)
        gpu = a100_hours(stage) if plan.config.scale == "paper" else None
        if gpu is not None:
            cost += f", about {gpu:,.0f} A100-hours"
            memory = training_gb(stage)
            cost += f", {memory:,.0f} GB a GPU" if memory is not None else ""
        rows.append([stage_name(stage), "done" if done else "to do", cost, stage.folder.name[-8:]])
    table: str = tabulate.tabulate(rows, ["stage", "state", "cost", "key"])
    if plan.config.scale == "paper":
        table += f"\n\n{ledger(plan)}"
    if any(getattr(stage, "content_sha256", None) == UNKNOWN for stage in plan.tower()):
        table += "\nsome files have not been hashed yet, which the run does first: keys will change"
    for name in plan.data.missing:
        table += f"\nmissing, needed before the run: {name}"
    return table
