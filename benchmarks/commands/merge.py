"""Runs of one configuration that differ in their seeds, as one: for seeds trained on several
machines, or on one machine at several times.

    python run_benchmark.py --config ophnet_phase --seeds 2
    python run_benchmark.py --config ophnet_phase --seeds 3 --set first_seed=2    # elsewhere
    python -m benchmarks.commands.merge RUN_DIR RUN_DIR --output DIR

results folders -> cells of all -> Table 2, figures, run.json; Table 1 is the first's
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from augment.arm import REAL_TEST, Arm
from benchmarks.audits.findings import AUDITS_NAME, AUDITS_NOTE
from benchmarks.config.arms import ConfidentArm
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan import Inputs, Plan
from benchmarks.report.evidence import ClipSet
from benchmarks.report.figures import charts, write_charts
from benchmarks.run import contrasts_of, notes, show
from benchmarks.scoring.evaluation import Cell, load_cells, save_cell
from benchmarks.tables.build import build_table2
from benchmarks.tables.render import write_tables
from benchmarks.tables.schema import Audit, Table2, Tables
from core.errors import UserError, exit_code
from core.files import read_json, write_json

FREE = ("first_seed", "seeds", "name")  # what may differ; runs in one folder have two names
# Of run.json, by part.
OWN = ("seeds", "commit", "device", "threads", "machine", "versions", "stages")


@dataclass(frozen=True)
class Part:
    """A finished run, or a merged one. record: its run.json."""

    folder: Path
    record: Mapping[str, Any]
    config: BenchmarkConfig
    cells: list[Cell]
    table: Table2


def read_part(folder: Path) -> Part:
    """Raises: UserError: if the folder holds no finished run with a Table 2."""
    if not (folder / "run.json").is_file() or not (folder / "table2.json").is_file():
        raise UserError(f"{folder}: no run.json and table2.json: give the folder of a finished run")
    record = read_json(folder / "run.json")
    try:
        config = BenchmarkConfig.model_validate(record["config"])
        table = Table2.model_validate(read_json(folder / "table2.json"))
    except (KeyError, TypeError, pydantic.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder}: no run of this version ({reason}): run it again") from None
    for own in record.get("parts", [record]):  # of a merged run, those of its parts
        if absent := [name for name in OWN if name not in own]:
            raise UserError(f"{folder}: run.json has no `{absent[0]}`: run it again")
    there = {str(cell.path): cell for cell in load_cells(folder)}
    if missing := [path for path in record["cells"] if path not in there]:
        raise UserError(f"{folder}: {missing[0]} is missing: copy the whole folder")
    cells = [there[path] for path in record["cells"]]
    return Part(folder, record, config, cells, table)


def check(parts: Sequence[Part]) -> None:
    """Raises: UserError: unless the parts are runs of one configuration on one data set, no seed
    twice."""
    if len(parts) < 2:
        raise UserError("merge: give at least two results folders")
    first = parts[0]
    for part in parts[1:]:
        for name in BenchmarkConfig.model_fields:
            if name not in FREE and _used(first.config, name) != _used(part.config, name):
                raise UserError(f"{part.folder}: {name} is not as in {first.folder}: not one run")
        if part.record["data"] != first.record["data"]:
            raise UserError(f"{part.folder}: data {part.record['data']}, not as in {first.folder}")
    for name in first.config.sources:
        arm = first.config.arms.get(name)
        if isinstance(arm, ConfidentArm) and arm.classifier and arm.seed is None:
            raise UserError(
                f"arm {name}: its clips follow each run's first seed: leave it out, or give it a "
                "seed of its own (arms.NAME.seed)"
            )


def _used(config: BenchmarkConfig, field: str) -> Any:
    """A field's value; of the arms, those that the run's sources are or are made from."""
    if field != "arms":
        return getattr(config, field)
    return {name: arm for name, arm in config.arms.items() if name in config.origins()}


def differing_clips(parts: Sequence[Part]) -> list[str]:
    """A sentence for each arm whose clips are not the same in all parts, by their FVD."""
    sentences = []
    for task, arms in parts[0].record["arms"].items():
        for arm, clips in arms.items():
            for name in (name for name in clips["metrics"] if name.startswith("fvd_")):
                found = (part.record["arms"][task][arm]["metrics"][name] for part in parts)
                values = [f"{metric['value']:.2f}" for metric in found]
                if len(set(values)) > 1:
                    shown = " and ".join(values)
                    sentences.append(f"{arm}, {task}: the parts made clips anew, FVD {shown}.")
    return sentences


def audited(parts: Sequence[Part]) -> Part:
    """One whose clips were looked at, if any: all have clips of one configuration."""
    return next((part for part in parts if (part.folder / AUDITS_NAME).is_file()), parts[0])


def merged_table(parts: Sequence[Part]) -> Table2:
    """Table 2 of all parts' cells.  Raises: UserError: if a seed is in two of them."""
    first = parts[0]
    plan, looked_at = _plan(first), audited(parts).table
    outcomes: dict[tuple[Task, Arm], Audit] = {
        (row.task, row.arm): row.audit for row in looked_at.rows if row.audit is not None
    }
    said = [note for note in looked_at.notes if note.startswith(AUDITS_NOTE)]
    unreadable = {path for part in parts for path in part.record["unreadable_files"]}
    return build_table2(
        [cell for part in parts for cell in part.cells],
        data=first.record["data"],
        scale=first.config.scale,
        recipe=first.config.recipe_name,
        slowfast_reading=first.config.slowfast_reading,
        unreadable=len(unreadable),
        audits=outcomes,
        notes=[*notes(plan), *said, *differing_clips(parts)],
    )


def merged_record(parts: Sequence[Part]) -> dict[str, Any]:
    """run.json: what the parts share, then what is each one's own."""
    first, seeds = parts[0].record, sorted(s for part in parts for s in part.record["seeds"])
    config = first["config"] | {"first_seed": seeds[0], "seeds": len(seeds)}
    shared = {key: value for key, value in first.items() if key not in OWN}
    return {
        **shared,
        "config": config,
        "seeds": seeds,
        "cells": [str(cell.path) for part in parts for cell in part.cells],
        "parts": [
            {key: own[key] for key in OWN}
            for part in parts
            for own in part.record.get("parts", [part.record])
        ],
    }


def merge(folders: Sequence[Path], output: Path) -> Tables:
    """Write Table 2, contrasts, figures, cells and run.json of all runs into `output`.

    Raises: UserError: if they do not belong together, or `output` is one of them.
    """
    if output.resolve() in {folder.resolve() for folder in folders}:
        raise UserError(f"--output {output}: is one of the runs; name another folder")
    parts = [read_part(folder) for folder in folders]
    check(parts)
    plan, table = _plan(parts[0]), merged_table(parts)
    cells = [cell for part in parts for cell in part.cells]
    for cell in cells:
        save_cell(output, cell)
    tables = Tables(table, contrasts_of(plan, cells, table))
    write_tables(tables, output)
    by_label = {arm.label: arm for arm in (REAL_TEST, *(cell.arm for cell in cells))}
    sets: dict[Task, dict[Arm, ClipSet]] = {
        task: {by_label[label]: ClipSet(**clips) for label, clips in arms.items()}
        for task, arms in parts[0].record["arms"].items()
    }
    write_charts(output / "figures", charts(table, sets, plan.arms.sweeps))
    for file in (*parts[0].folder.glob("table1.*"), *audited(parts).folder.glob("audits.*")):
        shutil.copyfile(file, output / file.name)
    write_json(output / "run.json", merged_record(parts))
    return tables


def _plan(part: Part) -> Plan:
    return Plan(part.config, Inputs(part.folder.parent))


def main() -> int:
    """Merge the named runs."""
    command = argparse.ArgumentParser(
        prog="python -m benchmarks.commands.merge", description=__doc__
    )
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    command.add_argument("--output", type=Path, required=True, metavar="DIR")
    options = command.parse_args()
    return exit_code(lambda: show(merge(options.runs, options.output)))


if __name__ == "__main__":
    sys.exit(main())
