"""A run's tables, from its record and its cells. Nothing is run, no data are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from augment.arm import SOURCE, Arm
from augment.synthesis import ClassSynthesis
from benchmarks.config.arms import UnlabelledArm
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.datasets.polypdiag import NAME as POLYPDIAG
from benchmarks.datasets.taxonomy import Task
from benchmarks.scoring.evaluation import Cell
from benchmarks.scoring.record import AnyRecord, ArmAudit, QualityFacts, left_out, outcome
from benchmarks.tables.build import build_contrasts, build_table2
from benchmarks.tables.paper import endora_f1, endora_note
from benchmarks.tables.quality import build_table1
from benchmarks.tables.schema import Contrasts, Table1, Table2, Tables
from classifiers.families import CLASSIFIERS
from generator.endora.family import VARIANT
from generator.families import GENERATORS

NOT_RUN_HINT = " To run: `python -m benchmarks.audits.leakage` with the options of this run."


def tables_of(record: AnyRecord, cells: Sequence[Cell]) -> Tables:
    """Those that the run has.  Args: cells: those that the record names.

    Raises: UserError: if the cells do not belong together.
    """
    return Tables(
        table2=accuracy_table(record, cells) if cells else None,
        contrasts=contrasts(record, cells) if cells else None,
        table1=quality_table(record.quality, record.config, record.corpus),
    )


def accuracy_table(record: AnyRecord, cells: Sequence[Cell]) -> Table2:
    """Table 2 with the outcomes of the audits."""
    arms, f1_papers = record.synthetic_arms, _f1_papers(record)
    corpus, names = Path(record.corpus).name, f1_papers.get(SOURCE, {})
    return build_table2(
        cells,
        data=record.data,
        scale=record.scale,
        recipe=record.config.recipe_name,
        slowfast_reading=record.config.slowfast_reading,
        unreadable=len(record.unreadable_files),
        audits={arm: outcome(record.audit_of(*arm)) for arm in arms},
        notes=[
            *_external_note(record),
            *left_out_note(record),
            *_synthesis_note(record),
            *_weights_note(record.config),
            *audits_note(arms, record.audits),
            *record.notes,
            *endora_note(corpus, [*names], 2),
            *_f1_note(record),
        ],
        taxonomy=record.config.taxonomy,
        f1_papers=f1_papers,
    )


def contrasts(record: AnyRecord, cells: Sequence[Cell]) -> Contrasts | None:
    """The differences between two arms that the configuration asks for."""
    arms = record.config.registry()
    pairs = [(arms[first], arms[second]) for first, second in record.config.compared()]
    return build_contrasts(cells, pairs, data=record.data, scale=record.scale)


def quality_table(
    rows: Sequence[QualityFacts], config: BenchmarkConfig, corpus: str
) -> Table1 | None:
    """Table 1; None without a row.  Args: corpus: the narrated clips, a name or a path."""
    if not rows:
        return None
    section = config.quality
    protocol = section.protocol
    frames = f"{protocol.num_frames} frames of {protocol.width}x{protocol.height}"
    variants = section.published == "ophora" and any(
        row.startswith(VARIANT) for row in section.rows or ()
    )
    given = [f"{row.model} ({row.folder})" for row in rows if row.folder is not None]
    return build_table1(
        [(row.model, row.fine_tuned_on, row.metrics) for row in rows],
        data=Path(corpus).name,
        scale=config.scale,
        protocol=f"{section.num_clips} held-out clips, {frames}, h264",
        notes=[
            *endora_note(Path(corpus).name, ["Colonoscopic"], 3) * variants,
            *[f"Clips of a folder, not made here: {', '.join(given)}."] * bool(given),
        ],
        published=section.published,
    )


def _f1_note(record: AnyRecord) -> list[str]:
    """What Endora's F1 is of, where it stands beside ours."""
    if record.config.quality.published != "endora":
        return []
    stands = "" if record.data == POLYPDIAG else f", for which {record.data} stands here"
    return [f"Its F1 is of {POLYPDIAG}'s class Abnormal{stands}; ours is averaged over classes."]


def _f1_papers(record: AnyRecord) -> dict[Arm, dict[str, float]]:
    """What stands beside the F1 of Source and of the arms of generated clips without labels."""
    config, arms = record.config, record.config.registry()
    if config.quality.published != "endora":
        return {}
    names = {SOURCE: "Supervised-only"} | {
        arms[name]: GENERATORS[section.of].label
        for name, section in config.arms.items()
        if isinstance(section, UnlabelledArm) and section.of in GENERATORS
    }
    corpus = Path(record.corpus).name
    return {arm: endora_f1(name, corpus) for arm, name in names.items()}


def left_out_note(record: AnyRecord) -> list[str]:
    """What the stages lost, by stage and cause: one sentence, none where nothing was lost."""
    stages = [
        f"{stage}: " + ", ".join(f"{cause} {number}" for cause, number in causes.items())
        for stage, causes in left_out(record).items()
    ]
    return [f"Left out, by stage and cause: {'; '.join(stages)}."] if stages else []


def _external_note(record: AnyRecord) -> list[str]:
    """What the external rows were tested on."""
    if record.external is None:
        return []
    parts = [
        f"{found['clips']:,} clips of {found['cases']} cases in {found['classes']} {task} classes, "
        f"{found['dropped']:,} clips dropped by the mapping"
        for task, found in record.external.counts.items()
    ]
    return [f"External: {record.external.data}, {'; '.join(parts)}."]


def _synthesis_note(record: AnyRecord) -> list[str]:
    """How the generators' clips were drawn, where an arm has any."""
    stages = (stage.stage for part in record.parts for stage in part.stages)
    drawn = any(name.startswith(f"{ClassSynthesis.__name__},") for name in stages)
    if not drawn and not record.config.origins() & set(GENERATORS):
        return []
    settings = record.config.synthesis
    return [f"Synthetic clips: {settings.clips_per_class} a class, classes: {settings.policy}."]


def _weights_note(config: BenchmarkConfig) -> list[str]:
    """What the classifiers started from, and what probes have frozen; none if from nothing."""
    clauses = []
    for name in config.chosen_classifiers or config.classifiers:
        section = config.classifiers[name]
        if section.weights is not None:
            head = f", frozen, a {section.head} head" if section.mode == "probe" else ""
            label = CLASSIFIERS[name].shown_as(section.mode)
            clauses.append(f"{label} of {section.weights}{head}")
    return [f"Weights: {'; '.join(clauses)}."] if clauses else []


def audits_note(arms: Sequence[tuple[Task, Arm]], audits: Iterable[ArmAudit]) -> list[str]:
    """The sentence below Table 2: every synthetic arm passed, failed (and why) or was not run."""
    if not arms:
        return []
    found = {(audit.task, audit.arm): audit for audit in audits}
    several = len({task for task, _ in arms}) > 1
    clauses = [_clause(task, arm, found.get((task, arm)), several) for task, arm in arms]
    hint = "" if all(arm in found for arm in arms) else NOT_RUN_HINT
    return [f"Audits: {'; '.join(clauses)}.{hint}"]


def _clause(task: Task, arm: Arm, audit: ArmAudit | None, several: bool) -> str:
    shown = arm.name + (f", {task}" if several else "")
    reasons = f" ({', '.join(audit.broken)})" if audit is not None and audit.broken else ""
    return f"{shown} {outcome(audit)}{reasons}"
