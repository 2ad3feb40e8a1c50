"""From a finished run to what its page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augment.arm import REAL_TEST, SOURCE
from benchmarks.audits.findings import AUDITS_NAME, synthetic_arms, valid_audits
from benchmarks.audits.rows import audit_row, unaudited_row
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan import CLASS_NAMES, Plan, PlannedCell
from benchmarks.report.classes import (
    CONFUSION_HEADER,
    ClassTable,
    class_table,
    confusion,
    confusion_chart,
    confusion_rows,
)
from benchmarks.report.curves import Curve, curve_chart, read_curve
from benchmarks.report.evidence import ClipSets, seen_rows
from benchmarks.report.figures import Chart, charts
from benchmarks.report.funnel import funnel_chart, funnel_rows, funnel_steps
from benchmarks.report.page import Report
from benchmarks.report.pictures import Panel, caption_panels, class_panels, shared_classes
from benchmarks.report.players import caption_scenes, class_scenes
from benchmarks.scoring.evaluation import Cell
from benchmarks.scoring.scores import Predictions, frequency_groups
from benchmarks.tables.schema import Tables
from classifiers.families import CLASSIFIERS
from classifiers.training import LOG_NAME
from core.clip import Manifest

PANELS = 6  # classes, or captions, whose frames are shown
CAPTION_SCENES = 24
REAL_HELD_OUT = "Real (held out)"


def build_report(
    plan: Plan,
    cells: Sequence[Cell],
    tables: Tables,
    sets: ClipSets,
    folder: Path,
    run: Mapping[str, Any],
) -> Report:
    """Everything that the run allows. folder: where the page will lie and the audits do; run: the
    run's record."""
    table2 = tables.table2
    steps = funnel_steps(plan.data.curated, plan.data.clean) if plan.generators.any_trained else []
    mistakes = _mistakes(plan)
    return Report(
        tables=tables,
        charts=charts(table2, sets, plan.arms.sweeps) if table2 is not None else [],
        seen=seen_rows(sets),
        audits=_audits(plan, folder),
        funnel=funnel_chart(steps) if steps else None,
        curation=funnel_rows(steps),
        panels=_panels(plan),
        curves=learning_curves(plan),
        scenes=_scenes(plan, folder),
        classes=_classes(plan, cells),
        mistakes=[each.chart for each in mistakes],
        mistaken=[row for each in mistakes for row in each.rows],
        mistaken_header=_mistaken_header(mistakes),
        run=run,
    )


def _audits(plan: Plan, folder: Path) -> list[list[str]]:
    """A row for each synthetic arm, those that no audit looked at included."""
    found = valid_audits(plan, folder / AUDITS_NAME)
    return [
        audit_row(found[task, arm]) if (task, arm) in found else unaudited_row(task, arm)
        for task, arm, _ in synthetic_arms(plan)
    ]


def _clips(plan: Plan, task: Task) -> dict[str, Manifest]:
    """Real test clips, then each arm's, by the names that the page shows."""
    clips = {REAL_TEST.name: plan.data.labelled[task].manifest().of_split("test")}
    for arm, added in plan.arms.synthetic[task].items():
        clips[arm.name] = added.manifest()
    return clips


def _captioned(plan: Plan) -> dict[str, Manifest]:
    """Held-out clips, then those that each model made for their captions."""
    rows = {row.model: row.stage.generated.manifest() for row in plan.quality.rows}
    return {REAL_HELD_OUT: plan.data.held_out[0].manifest(), **rows}


def _panels(plan: Plan) -> list[Panel]:
    if not plan.config.sources:
        return caption_panels(_captioned(plan), PANELS)
    task = plan.config.tasks[0]
    clips = _clips(plan, task)
    shown = shared_classes(clips, task, PANELS)
    return class_panels(clips, task, CLASS_NAMES[task], shown)


def _scenes(plan: Plan, folder: Path) -> list[Panel]:
    if not plan.config.sources:
        return caption_scenes(_captioned(plan), CAPTION_SCENES, folder)
    task = plan.config.tasks[0]
    return class_scenes(_clips(plan, task), task, CLASS_NAMES[task], folder)


def learning_curves(plan: Plan) -> list[Chart]:
    """A figure for each task, classifier and schedule. Source, trained once, is in all of them."""
    found: dict[str, list[Curve]] = {}
    for planned in plan.cells:
        log = planned.stage.folder / LOG_NAME
        curve = read_curve(planned.arm, planned.seed, log) if log.is_file() else None
        everywhere = planned.arm == SOURCE
        for schedule in plan.config.schedules if everywhere else [planned.schedule]:
            title = f"{planned.task}, {planned.classifier}, {schedule.replace('_', ' ')}"
            if curve is not None:
                found.setdefault(title, []).append(curve)
    return [curve_chart(title, curves) for title, curves in found.items()]


def _classes(plan: Plan, cells: Sequence[Cell]) -> list[ClassTable]:
    tables = []
    for task in plan.config.tasks if cells else ():
        labels = [
            clip.label(task) for clip in plan.data.labelled[task].manifest().of_split("train").clips
        ]
        groups = frequency_groups(np.array(labels))
        table = class_table(cells, task, CLASS_NAMES[task], groups)
        tables += [table] if table is not None else []
    return tables


@dataclass(frozen=True)
class _Mistakes:
    """What one classifier takes for what. arms: the columns of `rows` after the class names."""

    chart: Chart
    arms: tuple[str, ...]
    rows: list[tuple[str, ...]]


def _mistakes(plan: Plan) -> list[_Mistakes]:
    """Of each classifier in the first task, first seed, matched epochs."""
    task, seed = plan.config.tasks[0], plan.config.first_seed
    found = []
    for classifier in (CLASSIFIERS[kind].label for kind in plan.trainings.kinds):
        chosen = [
            cell
            for cell in plan.cells
            if (cell.task, cell.classifier, cell.seed) == (task, classifier, seed)
            and cell.schedule == plan.config.schedules[0]
        ]
        shares = {cell.arm: _confusion(cell) for cell in chosen}
        if SOURCE in shares:
            shares = {SOURCE: shares.pop(SOURCE), **shares}
            chart = confusion_chart(task, classifier, shares[SOURCE])
            rows = confusion_rows(classifier, shares, CLASS_NAMES[task])
            found.append(_Mistakes(chart, tuple(arm.name for arm in shares), rows))
    return found


def _confusion(cell: PlannedCell) -> Any:
    seen = Predictions.load(cell.stage.folder, "test")
    return confusion(seen.logits, seen.labels, len(CLASS_NAMES[cell.task]))


def _mistaken_header(mistakes: Sequence[_Mistakes]) -> tuple[str, ...]:
    return (*CONFUSION_HEADER, *mistakes[0].arms) if mistakes else ()
