"""The record of a run: `run.json`, and the cells that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.arm import REAL_TEST, Arm
from benchmarks.audits.findings import AUDITS_NAME, valid_audits
from benchmarks.collect.materials import materials_of
from benchmarks.collect.shown import collect_shown
from benchmarks.datasets.taxonomy import Task
from benchmarks.dispatch import stage_name
from benchmarks.plan import PROJECT_ROOT, Plan, PlannedCell
from benchmarks.report.funnel import SETS
from benchmarks.report.shown import write_shown
from benchmarks.scoring.evaluation import Cell, Provenance, evaluate, save_cell
from benchmarks.scoring.record import ClipSet, ExternalFacts, QualityFacts, Record, StageFacts
from benchmarks.scoring.scores import Predictions
from classifiers.agreement import agreement
from core.frame_cache import FrameCache
from core.runtime import commit_of, library_versions, machine
from core.stage import Stage


def collect(plan: Plan, folder: Path) -> Record:
    """What a finished run found. Runs what is left of it; nothing that comes after does.

    Cells, `page.json` and `clips/` are written into `folder`, where the audits lie; the record is
    for the caller to write, last.
    Raises: UserError: if `audits.json` holds no audits, or predictions are missing.
    """
    cells = [cell_of(plan, planned) for planned in plan.cells]
    for cell in cells:
        save_cell(folder, cell)
    write_shown(collect_shown(plan, folder), folder)
    config, corpus = plan.config, plan.inputs.corpus_root
    labelled = plan.data.labelled if config.sources else {}
    datasets = {task: data.run() for task, data in labelled.items()}
    return Record(
        config=config,
        data=plan.data.name,
        data_root=str(plan.inputs.data_root) if plan.inputs.data_root else None,
        corpus=str(corpus) if corpus else "OphVL-sim",
        scale=config.scale,
        seeds=tuple(config.training_seeds),
        device=str(config.runtime.torch_device()),
        threads=config.runtime.threads,
        machine=machine(config.runtime.torch_device()),
        versions=library_versions(),
        commit=commit_of(PROJECT_ROOT),
        datasets=datasets,
        warnings=tuple(text for data in datasets.values() for text in data["warnings"]),
        unreadable_files=tuple(_unreadable_files(plan)),
        curation=_curation(plan),
        generators={name: stage.run() for name, stage in plan.generators.all.items()},
        cells=tuple(str(cell.path) for cell in cells),
        arms=_clip_sets(plan),
        sweeps={whole: tuple(parts) for whole, parts in plan.arms.sweeps.items()},
        quality=tuple(quality_rows(plan)),
        audits=tuple(valid_audits(plan, folder / AUDITS_NAME).values()),
        external=_external(plan),
        materials=materials_of(plan),
        stages=tuple(facts_of(stage) for stage in plan.tower()),
    )


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
        taxonomy=plan.config.taxonomy,
        external=_predicted(planned),
        provenance=Provenance(
            device=str(plan.config.runtime.torch_device()),
            threads=plan.config.runtime.threads,
            versions=library_versions(),
            key=stage.folder.name,
        ),
    )


def _predicted(planned: PlannedCell) -> Path | None:
    """Where the predictions on a second data set lie; makes them if need be."""
    if planned.external is None:
        return None
    planned.external.run()
    return planned.external.folder


def _external(plan: Plan) -> ExternalFacts | None:
    root, clips, mapping = plan.external.root, plan.external.clips, plan.external.mapping
    if root is None or not plan.cells:
        return None
    names = dict.fromkeys(each.clips.name for each in clips.values())
    return ExternalFacts(
        data=" and ".join(names),
        root=str(root),
        mapping=None if mapping is None else str(mapping),
        counts={task: each.run() for task, each in clips.items()},
    )


def quality_rows(plan: Plan) -> list[QualityFacts]:
    """The rows of Table 1; none if no generator's clips could be compared with held-out ones."""
    return [
        QualityFacts(
            model=row.model,
            fine_tuned_on=row.fine_tuned_on,
            folder=row.folder,
            metrics=row.stage.run()["metrics"],
        )
        for row in plan.quality.rows
    ]


def facts_of(stage: Stage) -> StageFacts:
    """Of a stage that ran. What it lost stands in its result, by cause: number and examples."""
    lost: Mapping[str, Mapping[str, Any]] = stage.run().get("left_out", {})
    return StageFacts(
        stage=stage_name(stage),
        cost=stage.cost(),
        folder=stage.folder.name,
        left_out={cause: entry["number"] for cause, entry in lost.items()},
        **stage.record(),
    )


def _curation(plan: Plan) -> dict[str, dict[str, Any]]:
    """Counts of the curation, where generators were trained on its clips."""
    filters = plan.data.filters
    if filters is None or not plan.generators.any_trained:
        return {}
    return dict(zip(SETS, (stage.run() for stage in filters), strict=True))


def _unreadable_files(plan: Plan) -> list[str]:
    """Video files that were skipped, over all data sets and sources."""
    caches = [stage for stage in plan.tower() if isinstance(stage, FrameCache)]
    return sorted({path for stage in caches for path in stage.run()["unreadable_files"]})


def _clip_sets(plan: Plan) -> dict[Task, dict[str, ClipSet]]:
    """By task and label, in the table's order, real test clips first."""
    return {
        task: _real_test(plan, task) | {arm.label: _clips_of(plan, task, arm) for arm in arms}
        for task, arms in plan.arms.synthetic.items()
    }


def _real_test(plan: Plan, task: Task) -> dict[str, ClipSet]:
    found = {
        classifier: Predictions.load(stage.folder, "test")
        for (of, classifier), stage in plan.evidence.source_classifiers.items()
        if of == task
    }
    if not found:
        return {}
    labels = next(iter(found.values())).labels
    seen = {name: _scores(agreement(each.logits, each.labels)) for name, each in found.items()}
    return {REAL_TEST.label: ClipSet(len(labels), _per_class(labels), {}, seen)}


def _clips_of(plan: Plan, task: Task, arm: Arm) -> ClipSet:
    clips = plan.arms.synthetic[task][arm].manifest().clips
    distance = plan.evidence.distances.get(task, {}).get(arm)
    return ClipSet(
        clips=len(clips),
        clips_per_class=_per_class([clip.label(task) for clip in clips]),
        metrics=distance.run()["metrics"] if distance is not None else {},
        trained_on_source={
            classifier: _scores(stage.run())
            for (of, other, classifier), stage in plan.evidence.agreements.items()
            if (of, other) == (task, arm)
        },
    )


def _per_class(labels: Sequence[int] | NDArray[np.integer]) -> float:
    return round(len(labels) / max(1, len(np.unique(labels))), 2)


def _scores(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("clips", "top1", "top5")}
