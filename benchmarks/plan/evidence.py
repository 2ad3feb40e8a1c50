"""What explains a gain: an arm's distance from real clips, and what the classifiers of Source see
in its clips (train on real, test on synthetic: the reverse of an arm that stands alone)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from augment.arm import SOURCE, Arm
from augment.controls import Subset
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.arm_distance import ArmDistance, VideoFeatures
from benchmarks.plan.arms import Arms
from benchmarks.plan.data import Data
from benchmarks.plan.quality import Encoders
from benchmarks.plan.trainings import Trainings
from classifiers.agreement import Agreement
from classifiers.training import ClassifierTraining
from core.stage import ClipStage


@dataclass(frozen=True)
class Evidence:
    """Stages that look at the arms' clips; no number of a table depends on them."""

    data: Data
    encoders: Encoders
    trainings: Trainings
    arms: Arms

    @cached_property
    def distances(self) -> dict[Task, dict[Arm, ArmDistance]]:
        """Each arm's clips against real training clips; none where FVD's encoder is missing."""
        return {
            task: {arm: self._distance(task, clips) for arm, clips in arms.items()}
            for task, arms in self.arms.synthetic.items()
            if self.encoders.video is not None
        }

    def _distance(self, task: Task, clips: ClipStage) -> ArmDistance:
        common = self.data.common
        real = Subset(clips=self.data.labelled[task], task=task, split="train", **common)
        return ArmDistance(real=self._features(real), arm=self._features(clips), **common)

    def _features(self, clips: ClipStage) -> VideoFeatures:
        encoder = self.encoders.video
        assert encoder is not None
        protocol = self.data.config.quality.protocol
        return VideoFeatures(clips=clips, encoder=encoder, protocol=protocol, **self.data.common)

    @cached_property
    def source_classifiers(self) -> dict[tuple[Task, str], ClassifierTraining]:
        """Trainings on Source alone with the first seed, by task and name in the tables.

        None where the run has no such arm: no classifier is trained for a figure's sake.
        """
        seed = self.data.config.first_seed
        return {
            (task, self.trainings.label(kind)): self.trainings.on_source(task, kind, seed)
            for task, arms in self.arms.clips.items()
            for kind in self.trainings.kinds
            if SOURCE in arms
        }

    @cached_property
    def agreements(self) -> dict[tuple[Task, Arm, str], Agreement]:
        """What each of these classifiers sees in each arm's clips, by task, arm, classifier."""
        return {
            (task, arm, classifier): Agreement(judge=judge, clips=clips, **self.data.common)
            for (task, classifier), judge in self.source_classifiers.items()
            for arm, clips in self.arms.synthetic[task].items()
            if arm.labelled
        }
