"""Runs of one configuration that differ in their seeds, as one: for seeds trained on several
machines, or on one machine at several times.

    python run_benchmark.py --config ophnet_phase --seeds 2
    python run_benchmark.py --config ophnet_phase --seeds 3 --set first_seed=2    # elsewhere
    python -m benchmarks.commands.merge RUN_DIR RUN_DIR --output DIR

records and cells of all -> one record -> tables, figures, page; Table 1 is the first's
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.audits.findings import AUDITS_NAME
from benchmarks.config.arms import ConfidentArm
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.report.build import draw
from benchmarks.report.shown import CLIPS_NAME, read_shown, write_shown
from benchmarks.run import show
from benchmarks.scoring.evaluation import Cell, save_cell
from benchmarks.scoring.record import (
    AnyRecord,
    Findings,
    MergedRecord,
    as_written,
    read_cells,
    read_record,
    write_record,
)
from benchmarks.tables.schema import Tables
from core.errors import UserError, exit_code

FREE = ("first_seed", "seeds", "name")  # what may differ; runs in one folder have two names


@dataclass(frozen=True)
class Part:
    """A finished run, or a merged one."""

    folder: Path
    record: AnyRecord
    cells: list[Cell]

    @property
    def config(self) -> BenchmarkConfig:
        return self.record.config


def read_part(folder: Path) -> Part:
    """Raises: UserError: if the folder holds no finished run of this version with a Table 2."""
    record = read_record(folder)
    if not record.cells:
        raise UserError(f"{folder}: no cell of Table 2, so nothing to merge")
    return Part(folder, record, read_cells(record, folder))


def check(parts: Sequence[Part]) -> None:
    """Raises: UserError: unless the parts are runs of one configuration on one data set, no seed
    twice."""
    if len(parts) < 2:
        raise UserError("merge: give at least two results folders")
    first, seen = parts[0], set(parts[0].record.cells)
    for part in parts[1:]:
        if twice := sorted(seen.intersection(part.record.cells)):
            raise UserError(f"{part.folder}: {twice[0]}: a seed appears twice")
        seen.update(part.record.cells)
        for name in BenchmarkConfig.model_fields:
            if name not in FREE and _used(first.config, name) != _used(part.config, name):
                raise UserError(f"{part.folder}: {name} is not as in {first.folder}: not one run")
        if part.record.external != first.record.external:
            raise UserError(f"{part.folder}: external test is not as in {first.folder}")
        if part.record.data != first.record.data:
            raise UserError(f"{part.folder}: data {part.record.data}, not as in {first.folder}")
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
    for task, arms in parts[0].record.arms.items():
        for arm, clips in arms.items():
            for name in (name for name in clips.metrics if name.startswith("fvd_")):
                found = (part.record.arms[task][arm].metrics[name] for part in parts)
                values = [f"{metric['value']:.2f}" for metric in found]
                if len(set(values)) > 1:
                    shown = " and ".join(values)
                    sentences.append(f"{arm}, {task}: the parts made clips anew, FVD {shown}.")
    return sentences


def audited(parts: Sequence[Part]) -> Part:
    """One whose clips were looked at, if any: all have clips of one configuration."""
    return next((part for part in parts if part.record.audits), parts[0])


def merged_record(parts: Sequence[Part]) -> MergedRecord:
    """What the parts share, as the first one has it, then what is each one's own."""
    records = [part.record for part in parts]
    seeds = sorted(seed for record in records for seed in record.seeds)
    shared = {name: getattr(records[0], name) for name in Findings.model_fields}
    own = {
        "config": records[0].config.model_copy(
            update={"first_seed": seeds[0], "seeds": len(seeds)}
        ),
        "unreadable_files": sorted({path for each in records for path in each.unreadable_files}),
        "cells": [path for record in records for path in record.cells],
        "audits": audited(parts).record.audits,
        "notes": [note for each in records for note in each.notes] + differing_clips(parts),
        "seeds": seeds,
        "parts": [making for record in records for making in record.parts],
    }
    return MergedRecord(**{**shared, **own})


def merge(folders: Sequence[Path], output: Path) -> Tables:
    """Write tables, page, cells and run.json of all runs into `output`; clips are the first's.

    Raises: UserError: if they do not belong together, or `output` is one of them.
    """
    if output.resolve() in {folder.resolve() for folder in folders}:
        raise UserError(f"--output {output}: is one of the runs; name another folder")
    parts = [read_part(folder) for folder in folders]
    check(parts)
    shown = [read_shown(part.folder) for part in parts]
    for part in parts:
        for cell in part.cells:
            save_cell(output, cell)
    if (parts[0].folder / CLIPS_NAME).is_dir():
        shutil.copytree(parts[0].folder / CLIPS_NAME, output / CLIPS_NAME, dirs_exist_ok=True)
    curves = {path: curve for each in shown for path, curve in each.curves.items()}
    write_shown(shown[0].model_copy(update={"curves": curves}), output)
    for file in audited(parts).folder.glob(f"{Path(AUDITS_NAME).stem}.*"):
        shutil.copyfile(file, output / file.name)
    with as_written(parts[0].folder):
        record = merged_record(parts)
        tables = draw(record, output)
    write_record(record, output)
    return tables


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
