"""Build both tables from plain data: cells for Table 2, metric values for Table 1."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

from augment.arm import SOURCE, Arm
from benchmarks.datasets.labels import TASKS, Task, Taxonomy, default_taxonomy
from benchmarks.metrics.quality import METRICS
from benchmarks.scoring.evaluation import EVALUATED_SPLITS, EXTERNAL, Cell
from benchmarks.scoring.record import Audit
from benchmarks.scoring.scores import Scored, percent
from benchmarks.scoring.statistics import bootstrap_interval, seeds_label, spread
from benchmarks.tables.differences import (
    Group,
    Groups,
    Place,
    differences,
    differences_from_source,
    hits_of,
    notes_on_ceilings,
    notes_on_tests,
)
from benchmarks.tables.schema import (
    AccuracyRow,
    Contrast,
    Contrasts,
    Delta,
    Metric,
    QualityRow,
    Score,
    Table1,
    Table2,
)
from classifiers.recipe import Schedule
from core.errors import UserError

PAPER_PATH = Path(__file__).with_name("paper_tables.json")
PAPER_NOTE = "The paper's numbers are on OphNet2024 at full scale: compare directions, not values."
SCORED = (*EVALUATED_SPLITS, EXTERNAL)
# A metric's prefix -> the paper's column.
PAPER_COLUMNS = {f"{name}_": metric.paper for name, metric in METRICS.items() if metric.paper}


@functools.cache
def paper_tables() -> dict[str, Any]:
    """Tables 1 and 2 of the Ophora paper, as printed there."""
    tables: dict[str, Any] = json.loads(PAPER_PATH.read_text(encoding="utf-8"))
    return tables


def paper_accuracy(arm: Arm, classifier: str, split: Scored, task: Task, name: str) -> float | None:
    """The paper's Table 2 value, percent; None where it has none (a user's own videos)."""
    for row in paper_tables()["table2"] if split in EVALUATED_SPLITS else ():
        if (row["training_data"], row["classifier"]) == (arm.label, classifier):
            return float(row[f"{split}_{task}_{name}"])
    return None


def paper_quality(model: str, metric: str) -> float | None:
    """The value that a metric answers to in Ophora's Table 1 or, for Endora's variants, in Endora's
    Table 3; None where there is none."""
    column = next((c for prefix, c in PAPER_COLUMNS.items() if metric.startswith(prefix)), None)
    for table in (paper_tables()["table1"], paper_tables()["endora_table3"]):
        for row in table["rows"]:
            if row[0] == model and column in table["columns"]:
                value = row[table["columns"].index(column)]
                return None if value is None else float(value)
    return None


def build_table2(
    cells: Sequence[Cell],
    *,
    data: str,
    scale: str,
    recipe: str,
    slowfast_reading: str = "reading A",
    unreadable: int = 0,
    audits: Mapping[tuple[Task, Arm], Audit] = MappingProxyType({}),
    notes: Sequence[str] = (),
    taxonomy: Taxonomy | None = None,
) -> Table2:
    """Table 2 from cells: seeds become means with intervals, arms differences from Source.

    Rows are ordered by task, schedule, split, then by training data and classifier as they first
    appear. Values of the paper stand beside the matched-epochs rows, as its epochs are fixed.
    Args: unreadable: clips that were skipped; audits: outcome by task and arm, "not run" for arms
    that it lacks; notes: further sentences for below the table; taxonomy: None for OphNet2024's,
    the only one that the paper's values stand beside.
    Raises: UserError: if there is no cell, seeds repeat or arms were scored on different clips.
    """
    groups, taxonomy = _groups(cells), taxonomy or default_taxonomy()
    order, with_paper = _order(groups), taxonomy.is_default
    deltas = differences_from_source(groups, order)
    rows = [_accuracy_row(groups, place, deltas.get(place), audits, with_paper) for place in order]
    return Table2(
        data=data,
        scale=scale,
        recipe=recipe,
        rows=tuple(rows),
        notes=(
            *_notes_on_accuracy(groups, taxonomy, slowfast_reading, unreadable),
            *notes_on_tests(
                groups, [(*place, SOURCE) for place in deltas], "differences from Source"
            ),
            *notes_on_ceilings(deltas),
            *notes,
            *[PAPER_NOTE] * with_paper,
        ),
    )


def build_contrasts(
    cells: Sequence[Cell], pairs: Sequence[tuple[Arm, Arm]], *, data: str, scale: str
) -> Contrasts | None:
    """The tested differences between two arms, in the order of Table 2's rows.

    None if no pair has cells of the same task, classifier and schedule.
    Args: pairs: the first one's top-1 minus the second's is tested.
    Raises: as `build_table2`.
    """
    groups = _groups(cells)
    tests = [
        (group, split, second)
        for group, split in _order(groups)
        for first, second in pairs
        if group.arm == first
    ]
    found = differences(groups, tests)
    if not found:
        return None
    rows = [
        Contrast(
            task=task,
            split=split,
            schedule=schedule,
            classifier=classifier,
            first=first,
            second=second,
            difference=delta,
        )
        for ((task, classifier, schedule, first), split, second), delta in found.items()
    ]
    below = notes_on_tests(groups, list(found), "differences")
    return Contrasts(data=data, scale=scale, rows=tuple(rows), notes=tuple(below))


def _groups(cells: Sequence[Cell]) -> dict[Group, list[Cell]]:
    """Cells by group, seeds in order.  Raises: UserError: if there is none, or a seed repeats."""
    groups: dict[Group, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[Group(cell.task, cell.classifier, cell.schedule, cell.arm)].append(cell)
    if not groups:
        raise UserError("no cell to make Table 2 of: run the benchmark first")
    for group, members in groups.items():
        members.sort(key=lambda cell: cell.seed)
        if len({cell.seed for cell in members}) != len(members):
            raise UserError(f"{group}: a seed appears twice")
    return groups


def _order(groups: Groups) -> list[Place]:
    classifiers = list(dict.fromkeys(group.classifier for group in groups))
    arms = list(dict.fromkeys(group.arm for group in groups))
    schedules: list[Schedule] = ["matched_epochs", "matched_steps"]

    def place(entry: Place) -> tuple[int, ...]:
        group, split = entry
        return (
            TASKS.index(group.task),
            schedules.index(group.schedule),
            SCORED.index(split),
            arms.index(group.arm),
            classifiers.index(group.classifier),
        )

    places = ((group, split) for group, cells in groups.items() for split in cells[0].splits)
    return sorted(places, key=place)


def _accuracy_row(
    groups: Groups,
    place: Place,
    delta: Delta | None,
    audits: Mapping[tuple[Task, Arm], Audit],
    with_paper: bool,
) -> AccuracyRow:
    group, split = place
    task, classifier, schedule, arm = group

    def score(name: str) -> Score:
        hits = hits_of(groups[group], split, name)
        mean, std = spread(hits.rates)
        low, high = bootstrap_interval(hits)
        paper = paper_accuracy(arm, classifier, split, task, name)
        return Score(
            mean=percent(mean),
            std=None if std is None else percent(std),
            ci95=(percent(low), percent(high)),
            n_seeds=len(hits.hits),
            paper=paper if with_paper and schedule == "matched_epochs" else None,
        )

    return AccuracyRow(
        task=task,
        split=split,
        schedule=schedule,
        training_data=arm.label,
        arm=arm,
        classifier=classifier,
        top1=score("top1"),
        top5=score("top5"),
        macro_f1=round(fmean(cell.splits[split].macro_f1 for cell in groups[group]), 2),
        delta_vs_source=delta,
        audit=None if arm == SOURCE else audits.get((task, arm), "not run"),
    )


def _notes_on_accuracy(
    groups: Groups, taxonomy: Taxonomy, slowfast_reading: str, unreadable: int
) -> list[str]:
    cells = [cell for members in groups.values() for cell in members]
    counts = sorted({len(members) for members in groups.values()})
    seeds = " / ".join(seeds_label(count) for count in counts)
    tasks = [task for task in TASKS if any(cell.task == task for cell in cells)]
    heads = " and ".join(f"{taxonomy.num_classes(task)} {task} ids" for task in tasks)
    heads += ", Others counted" if taxonomy.is_default else f" of {taxonomy.name}"
    notes = [
        f"Seeds: {seeds}. Brackets: 95% bootstrap intervals over cases"
        + (" and seeds." if counts[-1] > 1 else "; the spread between trainings is not in them."),
        f"SlowFast frames: {slowfast_reading}. Heads: {heads}.",
    ]
    if any(cell.arm.id == "bora" for cell in cells):
        notes.append("Bora is the one fine-tuned on Ophora-160K; the paper does not say which.")
    diverged = sorted(str(cell.path) for cell in cells if cell.training.diverged)
    if diverged:
        notes.append(f"Diverged trainings, shown as they are: {', '.join(diverged)}.")
    notes.append(f"Unreadable clips, skipped: {unreadable}.")
    return notes


def build_table1(
    entries: Sequence[tuple[str, str | None, Mapping[str, Mapping[str, Any]]]],
    *,
    data: str,
    scale: str,
    protocol: str,
    notes: Sequence[str] = (),
) -> Table1:
    """Table 1 from (model, fine-tuned on, metrics) entries, in the order given.

    Args: metrics: as in the result of `GenerationQuality`: name -> value, n, encoder, ...
    Raises: pydantic.ValidationError: if rows were measured with different metrics.
    """
    rows = [
        QualityRow(
            model=model,
            fine_tuned_on=fine_tuned_on,
            metrics={
                name: Metric(**fields, paper=paper_quality(model, name))
                for name, fields in metrics.items()
            },
        )
        for model, fine_tuned_on, metrics in entries
    ]
    table = Table1(data=data, scale=scale, protocol=protocol, rows=tuple(rows))
    below = (*_notes_on_quality(table), *notes, PAPER_NOTE)
    return table.model_copy(update={"notes": below})


def _notes_on_quality(table: Table1) -> list[str]:
    printed = [
        (name, row.metrics[name])
        for row in table.rows
        for name in table.printed
        if name in row.metrics
    ]
    warnings = {f"{name}: {metric.warning}." for name, metric in printed if metric.warning}
    reached = {
        f"{name} of the real clips with their own captions: {metric.real:.2f}."
        for name, metric in printed
        if metric.real is not None
    }
    further = len(table.names) - len(table.printed)
    elsewhere = [f"In table1.csv and table1.json: further metrics ({further})."] if further else []
    return [*sorted(warnings), *sorted(reached), *elsewhere]
