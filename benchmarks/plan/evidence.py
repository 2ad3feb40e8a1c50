"""What explains a gain: an arm's distance from real clips, and what the classifiers of Source see
in its clips (train on real, test on synthetic: the reverse of an arm that stands alone)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from augment.controls import Subset
from benchmarks.config.arms import AloneArm, PartArm
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.arm_distance import ArmDistance, VideoFeatures
from benchmarks.plan.arms import ArmPlan
from benchmarks.scoring.evaluation import CLASSIFIER_LABELS, SOURCE
from classifiers.training import ClassifierTraining
from classifiers.verdict import Verdict
from core.stage import ClipSource


@dataclass(frozen=True)
class EvidenceStages(ArmPlan):
    """Stages that look at the arms' clips; no number of a table depends on them."""

    @cached_property
    def synthetic(self) -> dict[Task, dict[str, ClipSource]]:
        """The clips of each arm that has any, by task and by the arm's name in the tables."""
        return {
            task: {name: clips for name, clips in arms.items() if clips is not None}
            for task, arms in self.arms.items()
        }

    @cached_property
    def distances(self) -> dict[Task, dict[str, ArmDistance]]:
        """Each arm's clips against real training clips; none where FVD's encoder is missing."""
        return {
            task: {name: self._distance(task, clips) for name, clips in arms.items()}
            for task, arms in self.synthetic.items()
            if self.video_encoder is not None
        }

    def _distance(self, task: Task, clips: ClipSource) -> ArmDistance:
        real = Subset(clips=self.datasets[task], task=task, split="train", **self.common)
        return ArmDistance(real=self._features(real), arm=self._features(clips), **self.common)

    def _features(self, clips: ClipSource) -> VideoFeatures:
        assert self.video_encoder is not None
        protocol = self.config.quality.protocol
        encoder = self.video_encoder
        return VideoFeatures(clips=clips, encoder=encoder, protocol=protocol, **self.common)

    @cached_property
    def source_classifiers(self) -> dict[tuple[Task, str], ClassifierTraining]:
        """Trainings on Source alone with the first seed, by task and name in the tables.

        None where the run has no such arm: no classifier is trained for a figure's sake.
        """
        seed, schedule = self.config.first_seed, self.config.schedules[0]
        return {
            (task, CLASSIFIER_LABELS[kind]): self.classifier(task, kind, seed, SOURCE, schedule)
            for task, arms in self.arms.items()
            for kind in self.kinds
            if SOURCE in arms
        }

    @cached_property
    def verdicts(self) -> dict[tuple[Task, str, str], Verdict]:
        """What each of these classifiers sees in each arm's clips, by task, arm, classifier."""
        return {
            (task, name, classifier): Verdict(judge=judge, clips=clips, **self.common)
            for (task, classifier), judge in self.source_classifiers.items()
            for name, clips in self.synthetic[task].items()
            if name not in self.without_labels
        }

    @property
    def sweeps(self) -> dict[str, list[str]]:
        """Arms that differ in volume alone, by what they are parts of; the whole is the last one.

        An arm that stands alone is no whole: its parts join the real clips.
        """
        found: dict[str, list[str]] = defaultdict(list)
        arms = self.config.arms
        for source in self.config.sources:
            if isinstance(arm := arms.get(source), PartArm):
                found[arm.of].append(self.training_data(source))
        for whole, parts in found.items():
            if whole in self.config.sources and not isinstance(arms.get(whole), AloneArm):
                parts.append(self.training_data(whole))
        return dict(found)
