"""Running a plan: stages in waves, then cells, tables, report and `run.json`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tabulate

from benchmarks.audits.findings import AUDITS_NAME, outcome, table_note, valid_audits
from benchmarks.dispatch import run_as_jobs, run_wave, stage_name
from benchmarks.plan import PROJECT_ROOT, Plan, PlannedCell
from benchmarks.plan.cost import a100_hours, training_gb
from benchmarks.plan.curation_cost import curation_cost
from benchmarks.report.build import build_report
from benchmarks.report.evidence import ClipSets, clip_sets
from benchmarks.report.figures import write_charts
from benchmarks.report.page import write_report
from benchmarks.report.provenance import generator_origins
from benchmarks.report.terminal import cell_row, final_screen, plan_line
from benchmarks.scoring.evaluation import Cell, Provenance, evaluate, save_cell
from benchmarks.tables.build import build_contrasts, build_table1, build_table2
from benchmarks.tables.render import markdown, write_tables
from benchmarks.tables.schema import Contrasts, Table1, Table2, Tables
from core.files import UNKNOWN, write_json
from core.frame_cache import FrameCache
from core.progress import say
from core.runtime import commit_of, library_versions, machine
from core.stage import Stage
from generator.curation.stages import Curation, PrivacyFilter
from generator.endora.family import VARIANT
from generator.families import GENERATORS


def execute(plan: Plan, only: str | None = None) -> Path:
    """Run every wave (up to the one named `only`) and write the results; returns their folder.

    Raises: UserError: if an input is wrong. What was computed before stays and is used next time.
    """
    start = time.monotonic()
    lanes, cluster = plan.config.runtime.lanes(), plan.config.cluster
    folder = plan.inputs.results / plan.config.name
    waves = list(plan.waves())
    say(plan_line(waves))
    for name, stages, side_by_side in waves:
        if cluster is not None:
            say(f"== {name}, as jobs ({cluster.kind})")
            run_as_jobs(stages, cluster)
        elif name == "classifiers":
            run_cells(plan, folder, lanes=lanes)
        else:
            run_wave(name, stages, lanes=lanes if side_by_side else 1)
        if name == "data":
            plan.check_data()
        if name == only:
            say(f"stopped after {name!r}, as asked")
            break
    if only is None or only == "classifiers":
        tables = write_results(plan, folder)
        say(final_screen(plan.config, folder, tables, time.monotonic() - start))
    return folder


def run_cells(plan: Plan, folder: Path, *, lanes: int) -> None:
    """Train the classifiers; each that ends leaves its cell and a row on the terminal."""
    planned = {cell.stage.infra.uid(): cell for cell in plan.cells}

    def finished(stage: Stage) -> str:
        cell = cell_of(plan, planned[stage.infra.uid()])
        save_cell(folder, cell)
        return cell_row(cell)

    stages = [cell.stage for cell in plan.cells]
    run_wave("classifiers", stages, lanes=lanes, describe=finished)


def write_results(plan: Plan, folder: Path) -> Tables:
    """Cells, tables, report, run.json (last); prints the tables and returns them."""
    cells = [cell_of(plan, planned) for planned in plan.cells]
    for cell in cells:
        save_cell(folder, cell)
    table2 = accuracy_table(plan, cells, folder) if cells else None
    contrasts = contrasts_of(plan, cells, table2) if table2 is not None else None
    tables = Tables(table2, contrasts, quality_table(plan))
    write_tables(tables, folder)
    sets = clip_sets(plan)
    record = run_record(plan, cells, sets)
    report = build_report(plan, cells, tables, sets, folder, record)
    funnel = [report.funnel] if report.funnel is not None else []
    write_charts(folder / "figures", [*report.charts, *report.mistakes, *report.curves, *funnel])
    for name, origin in generator_origins(record["generators"]):
        say(f"{name}: {origin}")
    write_report(folder / "report.html", report)
    write_json(folder / "run.json", record)
    show(tables)
    return tables


def accuracy_table(plan: Plan, cells: Sequence[Cell], folder: Path) -> Table2:
    """Table 2 with the outcome of the audits that lie in `folder`."""
    audits = valid_audits(plan, folder / AUDITS_NAME)
    return build_table2(
        cells,
        data=plan.data.name,
        scale=plan.config.scale,
        recipe=plan.config.recipe_name,
        slowfast_reading=plan.config.slowfast_reading,
        unreadable=len(unreadable_files(plan)),
        audits={arm: outcome(audit) for arm, audit in audits.items()},
        notes=[*notes(plan), *table_note(plan, audits)],
    )


def contrasts_of(plan: Plan, cells: Sequence[Cell], table: Table2) -> Contrasts | None:
    """The differences between two arms that the configuration asks for. table: of the cells."""
    pairs = [
        (plan.arms.named(first), plan.arms.named(second))
        for first, second in plan.config.compared()
    ]
    return build_contrasts(cells, pairs, data=table.data, scale=table.scale)


def show(tables: Tables) -> None:
    """Print the tables to stdout, Table 2 last: it stays in sight."""
    for table in reversed(tables.made):
        print(markdown(table))


def cell_of(plan: Plan, planned: PlannedCell) -> Cell:
    """Score a finished training."""
    stage = planned.stage
    return evaluate(
        stage.folder,
        task=planned.task,
        classifier=planned.classifier,
        arm=planned.arm,
        seed=planned.seed,
        schedule=planned.schedule,
        training=stage.run(),
        provenance=Provenance(
            device=str(plan.config.runtime.torch_device()),
            threads=plan.config.runtime.threads,
            versions=library_versions(),
            key=stage.folder.name,
        ),
    )


def quality_table(plan: Plan) -> Table1 | None:
    """Table 1, None if no generator's clips could be compared with held-out ones."""
    if not plan.quality.rows:
        return None
    rows = plan.quality.rows
    entries = [(row.model, row.fine_tuned_on, row.stage.run()["metrics"]) for row in rows]
    data = "OphVL-sim" if plan.inputs.corpus_root is None else plan.inputs.corpus_root.name
    section = plan.config.quality
    frames = f"{section.protocol.num_frames} frames of {section.protocol.width}x"
    notes = []
    if any(row.startswith(VARIANT) for row in section.rows or ()):
        notes.append("Beside Endora's variants: Endora's own Table 3, on Colonoscopic.")
    return build_table1(
        entries,
        data=data,
        scale=plan.config.scale,
        protocol=f"{section.num_clips} held-out clips, {frames}{section.protocol.height}, h264",
        notes=notes,
    )


def curation_record(plan: Plan) -> dict[str, Any]:
    """Counts of the curation, where generators were trained on its clips."""
    if not plan.generators.any_trained:
        return {}
    return {"Ophora-160K": plan.data.curated.run(), "Ophora-28K": plan.data.clean.run()}


def notes(plan: Plan) -> list[str]:
    """Sentences for below Table 2: how the synthetic clips were made, and warnings."""
    lines = []
    if plan.config.origins() & set(GENERATORS):
        synthesis = plan.config.synthesis
        lines.append(
            f"Synthetic clips: {synthesis.clips_per_class} a class, classes: {synthesis.policy}."
        )
    return lines


def unreadable_files(plan: Plan) -> list[str]:
    """Video files that were skipped, over all data sets and sources."""
    caches = [stage for stage in plan.tower() if isinstance(stage, FrameCache)]
    return sorted({path for stage in caches for path in stage.run()["unreadable_files"]})


def run_record(plan: Plan, cells: Sequence[Cell], sets: ClipSets) -> dict[str, Any]:
    """What made the numbers: configuration, data, versions, commit, seconds, warnings."""
    config = plan.config
    tower = plan.tower()
    corpus = plan.inputs.corpus_root
    datasets = plan.data.labelled if config.sources else {}
    return {
        "config": config.model_dump(mode="json", exclude={"runtime", "cluster"}),
        "data": plan.data.name,
        "data_root": str(plan.inputs.data_root) if plan.inputs.data_root else None,
        "corpus": str(corpus) if corpus else "OphVL-sim",
        "scale": config.scale,
        "seeds": list(range(config.first_seed, config.first_seed + config.seeds)),
        "device": str(config.runtime.torch_device()),
        "threads": config.runtime.threads,
        "machine": machine(config.runtime.torch_device()),
        "versions": library_versions(),
        "commit": commit_of(PROJECT_ROOT),
        "datasets": {task: data.run() for task, data in datasets.items()},
        "warnings": [w for data in datasets.values() for w in data.run()["warnings"]],
        "unreadable_files": unreadable_files(plan),
        "curation": curation_record(plan),
        "generators": {name: stage.run() for name, stage in plan.generators.models.items()},
        "cells": [str(cell.path) for cell in cells],
        "arms": {
            task: {arm.label: asdict(clips) for arm, clips in shown.items()}
            for task, shown in sets.items()
        },
        "stages": [
            {
                "stage": stage_name(stage),
                "cost": stage.cost(),
                "folder": stage.folder.name,
                **stage.record(),
            }
            for stage in tower
        ],
    }


def describe(plan: Plan) -> str:
    """The plan as a table: stage, state, cost, key (the end of its folder's name in the cache)."""
    rows, hours = [], 0.0
    for stage in plan.tower():
        done = stage.is_done()
        cost = stage.cost()
        if isinstance(stage, Curation | PrivacyFilter) and not done:
            cost = curation_cost(stage)
        gpu = a100_hours(stage) if plan.config.scale == "paper" else None
        if gpu is not None:
            hours += gpu
            cost += f", about {gpu:,.0f} A100-hours"
            memory = training_gb(stage)
            cost += f", {memory:,.0f} GB a GPU" if memory is not None else ""
        rows.append([stage_name(stage), "done" if done else "to do", cost, stage.folder.name[-8:]])
    table: str = tabulate.tabulate(rows, ["stage", "state", "cost", "key"])
    if hours:
        table += (
            f"\n\nGenerators, all together: about {hours:,.0f} A100-hours (benchmarks/plan/cost.py)"
        )
    if any(getattr(stage, "content_sha256", None) == UNKNOWN for stage in plan.tower()):
        table += "\nsome files have not been hashed yet, which the run does first: keys will change"
    for name in plan.data.missing:
        table += f"\nmissing, needed before the run: {name}"
    return table
