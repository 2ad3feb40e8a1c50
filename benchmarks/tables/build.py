"""Build Table 2 and the contrasts from cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from types import MappingProxyType

from augment.arm import SOURCE, Arm
from benchmarks.datasets.labels import TASKS, Task, Taxonomy, default_taxonomy
from benchmarks.scoring.evaluation import EVALUATED_SPLITS, EXTERNAL, Cell
from benchmarks.scoring.record import Audit
from benchmarks.scoring.scores import percent
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
from benchmarks.tables.paper import paper_accuracy
from benchmarks.tables.schema import (
    AccuracyRow,
    Contrast,
    Contrasts,
    Delta,
    Score,
    Table2,
)
from classifiers.recipe import Schedule
from core.errors import UserError

PAPER_NOTE = "The paper's numbers are on OphNet2024 at full scale: compare directions, not values."
SCORED = (*EVALUATED_SPLITS, EXTERNAL)


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
    f1_papers: Mapping[Arm, Mapping[str, float]] = MappingProxyType({}),
) -> Table2:
    """Table 2 from cells: seeds become means with intervals, arms differences from Source.

    Rows are ordered by task, schedule, split, then by training data and classifier as they first
    appear. Values of the paper stand beside the matched-epochs rows, as its epochs are fixed.
    Args: unreadable: clips that were skipped; audits: outcome by task and arm, "not run" for arms
    that it lacks; notes: further sentences for below the table; taxonomy: None for OphNet2024's,
    the only one that the paper's values stand beside; f1_papers: another paper's F1 by arm and data
    set, which stand instead.
    Raises: UserError: if there is no cell, seeds repeat or arms were scored on different clips.
    """
    groups, taxonomy = groups_of(cells), taxonomy or default_taxonomy()
    order, with_paper = _order(groups), taxonomy.is_default and not f1_papers
    deltas = differences_from_source(groups, order)
    rows = [
        _accuracy_row(groups, place, deltas.get(place), audits, with_paper).model_copy(
            update={"f1_papers": dict(f1_papers.get(place[0].arm, {}))}
        )
        for place in order
    ]
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
    groups = groups_of(cells)
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


def groups_of(cells: Sequence[Cell]) -> dict[Group, list[Cell]]:
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
