"""The leakage audit of an arm: which stages look at it, the rules by which it passes, its record.

`python -m benchmarks.audits.leakage` writes the records (`audits.json`); Table 2 reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from augment.arm import Arm
from augment.controls import Subset
from augment.synthesis import ClassSynthesis
from benchmarks.audits.copies import Memorisation, NearDuplicates
from benchmarks.audits.marks import MarkedClips, MarksTraining
from benchmarks.audits.residue import Residue
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan import Plan
from benchmarks.scoring.record import ArmAudit
from core.clip import Split
from core.errors import UserError
from core.files import read_json
from core.frame_cache import FrameCache
from core.stage import ClipStage, Stage
from generator.curation.privacy import OcrPrivacy
from generator.family import trained_here

AUDITS_NAME = "audits.json"
HELD_OUT: tuple[Split, ...] = ("val", "test")
# The rules; one copy of a val or test clip is too many. Source: our choice (docs/audits.md).
COPIED_PERCENT = 1.0  # most clips that may be copies of the generator's training clips
# Repeats training clips: nearer to them than real clips are by more than these points, and surely.
NEARER_POINTS, SIGNIFICANCE = 10.0, 0.01
PER_SIDE = 100  # fewer clips to be near to are too few to judge by
TEXT_PERCENT = 5.0  # most clips in which text is read


class Audits(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The contents of `audits.json`. table1: text read in the clips of Table 1, by model; marks:
    marks of text seen there, detector: the result of what saw them, both empty without a corpus."""

    arms: tuple[ArmAudit, ...]
    table1: dict[str, dict[str, Any]]
    marks: dict[str, dict[str, Any]] = {}
    detector: dict[str, Any] = {}


def synthetic_arms(plan: Plan) -> list[tuple[Task, Arm, ClipStage]]:
    """Task, arm and clips of every arm that has any."""
    return [
        (task, arm, clips)
        for task, arms in plan.arms.synthetic.items()
        for arm, clips in arms.items()
    ]


def stages_of(plan: Plan, task: Task, clips: ClipStage) -> dict[str, Stage]:
    """Everything that looks at an arm's clips. The frames are those that the classifiers read.

    A user's clips and those of weights that were named are compared with the labelled set only:
    what else their makers have seen is not known. Of a generator that learnt from the labelled
    training clips alone, these are the corpus.
    """
    training = next(cell.stage for cell in plan.cells if cell.task == task)
    made, real = training.cache_of(clips), training.cache_of(plan.data.labelled[task])

    def copies(
        suspects: FrameCache, references: FrameCache, *splits: Split, of: tuple[Split, ...] = ()
    ) -> Stage:
        return NearDuplicates(
            suspects=suspects,
            references=references,
            suspect_splits=of,
            reference_splits=splits,
            **plan.data.common,
        )

    stages: dict[str, Stage] = {
        "held_out": copies(made, real, *HELD_OUT),
        "train": copies(made, real, "train"),
        "text": text_in(plan, clips),
    }
    if not (isinstance(clips, ClassSynthesis) and trained_here(clips.generator)):
        return stages
    labelled = plan.data.labelled[task]
    if _has_learnt_from(clips, plan.data.curated):
        seen: ClipStage = plan.data.curated
        unseen: ClipStage = labelled  # by any generator
        corpus = training.cache_of(seen)
        stages["corpus_held_out"] = copies(corpus, real, *HELD_OUT)
    else:
        seen = labelled
        unseen = Subset(clips=labelled, task=task, split="test", **plan.data.common)
        corpus = real
        stages["corpus_held_out"] = copies(real, real, *HELD_OUT, of=("train",))
    stages["corpus"] = copies(made, corpus, "train")
    stages["memorisation"] = _nearness(plan, clips, seen)
    stages["of_real"] = _nearness(plan, unseen, seen)
    return stages


def _has_learnt_from(clips: ClassSynthesis, corpus: ClipStage) -> bool:
    return corpus.infra.uid() in {stage.infra.uid() for stage in clips.generator.tower()}


def _nearness(plan: Plan, clips: ClipStage, corpus: ClipStage) -> Memorisation:
    return Memorisation(
        generated=_as_measured(plan, clips),
        corpus=_as_measured(plan, corpus),
        encoder=plan.encoders.all["video_encoder"],
        **plan.data.common,
    )


def _as_measured(plan: Plan, clips: ClipStage) -> FrameCache:
    """The frames that the metrics' encoders see."""
    return FrameCache(clips=clips, **plan.config.quality.protocol.model_dump(), **plan.data.common)


def text_in(plan: Plan, clips: ClipStage) -> Residue:
    """Text recognition with the settings of the privacy filter, where that recognises text."""
    chosen = plan.config.curation.privacy
    ocr = chosen if isinstance(chosen, OcrPrivacy) else OcrPrivacy()
    return Residue(clips=clips, privacy=ocr, **plan.data.common)


def has_text_to_learn(plan: Plan) -> bool:
    """Whether the run has a corpus that holds clips with text and clips without. Generators that
    were named, not trained, come without one."""
    data = plan.data
    return plan.generators.any_trained and len(data.clean.manifest()) < len(data.curated.manifest())


def marks_in(plan: Plan, clips: ClipStage) -> MarkedClips:
    """Marks of text, as a detector sees them that learnt from the generators' corpus."""
    source, split = plan.data.held_out
    detector = MarksTraining(
        frames=_as_measured(plan, plan.data.curated),
        clean=plan.data.clean,
        held_out=_as_measured(plan, source),
        held_out_split=split,
        **plan.data.common,
    )
    return MarkedClips(detector=detector, frames=_as_measured(plan, clips), **plan.data.common)


def identities(stages: Mapping[str, Stage]) -> dict[str, str]:
    """The configuration of each stage (data and weights below it included) as its key."""
    return {name: stage.infra.uid() for name, stage in stages.items()}


def broken_rules(found: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """A clause for each rule that the results of an arm's stages break."""
    broken = []
    if copies := len(found["held_out"]["copies"]):
        broken.append(f"{_clips(copies)} like val or test clips")
    if found["text"]["percent"] > TEXT_PERCENT:
        broken.append(f"text in {found['text']['percent']}% of the clips")
    if "corpus" in found:
        if copies := len(found["corpus_held_out"]["copies"]):
            broken.append(f"{_clips(copies)} of the generator's corpus like val or test clips")
        if found["corpus"]["percent"] > COPIED_PERCENT:
            broken.append(f"{found['corpus']['percent']}% copies of the generator's training clips")
        memory, real = found["memorisation"], found["of_real"]["nearer_to_seen"]
        above = memory["nearer_to_seen"] - real > NEARER_POINTS
        if above and memory["p_value"] < SIGNIFICANCE and memory["per_side"] >= PER_SIDE:
            broken.append(
                f"{memory['nearer_to_seen']}% of the clips nearer to the generator's training clips"
                f" than to others, {real}% of real clips"
            )
    return tuple(broken)


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"


def read_audits(path: Path) -> Audits:
    """The records of a results folder; none where the audit was not run.

    Raises: UserError: if the file holds something else.
    """
    if not path.is_file():
        return Audits(arms=(), table1={})
    try:
        return Audits.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise UserError(
            f"{path}: no audit of this suite ({field}: {fault['msg']}): delete it"
        ) from None


def valid_audits(plan: Plan, path: Path) -> dict[tuple[Task, Arm], ArmAudit]:
    """The records that are of the run's own clips, data and generators, by task and arm."""
    arms = read_audits(path).arms
    if not arms:
        return {}
    now = {(task, arm): stages_of(plan, task, clips) for task, arm, clips in synthetic_arms(plan)}
    return {
        key: found
        for found in arms
        if (key := (found.task, found.arm)) in now and found.stages == identities(now[key])
    }
