"""What only the page shows: clips, learning curves, mistakes, the funnel of curation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.arm import REAL_TEST
from benchmarks.collect.pictures import caption_panels, class_panels, shared_classes
from benchmarks.collect.players import caption_scenes, class_scenes
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan import Plan, PlannedCell
from benchmarks.report.curves import Curve, read_curve
from benchmarks.report.funnel import SETS, STEPS, Step
from benchmarks.report.shown import Mistakes, Panel, Shown
from benchmarks.scoring.evaluation import cell_path
from benchmarks.scoring.scores import Group, Predictions, frequency_groups
from classifiers.training import LOG_NAME
from core.clip import Manifest
from core.files import read_json
from generator.curation.decisions import FUNNEL_NAME
from generator.curation.stages import Curation, PrivacyFilter

PANELS = 6  # classes, or captions, whose frames are shown
CAPTION_SCENES = 24
REAL_HELD_OUT = "Real (held out)"


def collect_shown(plan: Plan, folder: Path) -> Shown:
    """Copies the clips into `clips/` of the page's folder. Of classes, those of the first task."""
    filters = plan.data.filters if plan.generators.any_trained else None
    of_clips = _of_classes if plan.config.sources else _of_captions
    panels, scenes = of_clips(plan, folder)
    return Shown(
        panels=tuple(panels),
        scenes=tuple(scenes),
        curves=learning_curves(plan),
        mistakes=_mistakes(plan),
        groups={task: _groups(plan, task) for task in plan.config.tasks} if plan.cells else {},
        funnel=() if filters is None else funnel_steps(*filters),
    )


def _of_classes(plan: Plan, folder: Path) -> tuple[list[Panel], list[Panel]]:
    """Real test clips beside each arm's."""
    task = plan.config.tasks[0]
    clips = {REAL_TEST.name: plan.data.labelled[task].manifest().of_split("test")}
    clips |= {arm.name: made.manifest() for arm, made in plan.arms.synthetic[task].items()}
    shared = shared_classes(clips, task, PANELS)
    names = plan.config.taxonomy.names(task)
    panels = class_panels(clips, task, names, shared, folder)
    return panels, class_scenes(clips, task, names, folder)


def _of_captions(plan: Plan, folder: Path) -> tuple[list[Panel], list[Panel]]:
    """Held-out clips beside those that each model made for their captions."""
    real, split = plan.data.held_out
    held_out = real.manifest().of_split(split)
    clips: dict[str, Manifest] = {REAL_HELD_OUT: held_out}
    for row in plan.quality.rows:
        made = row.stage.generated.manifest()
        clips[row.model] = made if row.folder is None else _beside(made, held_out)
    panels = caption_panels(clips, PANELS, folder)
    return panels, caption_scenes(clips, CAPTION_SCENES, folder)


def _beside(given: Manifest, held_out: Manifest) -> Manifest:
    """Clips that were made for nothing in particular, each with the id of a held-out one."""
    pairs = zip(given.clips, held_out.clips, strict=False)
    return given.keep(clip.model_copy(update={"clip_id": real.clip_id}) for clip, real in pairs)


def _path(cell: PlannedCell) -> str:
    key = (cell.task, cell.classifier, cell.arm, cell.seed, cell.schedule)
    return str(cell_path(*key))


def learning_curves(plan: Plan) -> dict[str, Curve]:
    """By a cell's path: of each training that was evaluated on the way."""
    found = {}
    for cell in plan.cells:
        log = cell.stage.folder / LOG_NAME
        curve = read_curve(cell.arm, cell.seed, log) if log.is_file() else None
        if curve is not None:
            found[_path(cell)] = curve
    return found


def _mistakes(plan: Plan) -> dict[str, Mistakes]:
    """By a cell's path: of the trainings in the first task, first seed, first schedule."""
    config = plan.config
    chosen = (config.tasks[0], config.first_seed, config.schedules[0])
    found = {}
    for cell in plan.cells:
        if (cell.task, cell.seed, cell.schedule) == chosen:
            seen = Predictions.load(cell.stage.folder, "test")
            found[_path(cell)] = mistakes_of(seen.logits, seen.labels)
    return found


def mistakes_of(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Mistakes:
    """How many clips of each class were named as each class, right ones included.

    Args: logits: (N, C); labels: (N,).
    """
    pairs = np.stack([labels, logits.argmax(axis=1)], axis=1)
    found: Mistakes = {}
    for (true, named), clips in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
        found.setdefault(int(true), {})[int(named)] = int(clips)
    return found


def _groups(plan: Plan, task: Task) -> dict[int, Group]:
    train = plan.data.labelled[task].manifest().of_split("train")
    return frequency_groups(np.array([clip.label(task) for clip in train.clips]))


def funnel_steps(curated: Curation, clean: PrivacyFilter) -> tuple[Step, ...]:
    """Both stages' steps in order; the second's own look for unreadable files is left out where it
    found none."""
    steps = []
    for of_set, stage in zip(SETS, (curated, clean), strict=True):
        stage.run()
        found: dict[str, Any] = read_json(stage.folder / FUNNEL_NAME)
        for row in found["steps"]:
            if stage is clean and row["step"] == "readable" and not row["dropped"]:
                continue
            steps.append(Step(of_set, STEPS[row["step"]], row["before"], row["dropped"]))
    return tuple(steps)
