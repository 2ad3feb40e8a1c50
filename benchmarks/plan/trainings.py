"""The trainings of classifiers: a network, a recipe, an arm's clips beside the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from augment.arm import SOURCE, Arm
from augment.training_set import TrainingSet
from benchmarks.datasets.labels import Task
from benchmarks.plan.data import Data
from classifiers.families import CLASSIFIERS
from classifiers.networks import Network
from classifiers.probe import ProbeTraining
from classifiers.recipe import Schedule
from classifiers.starts import Start
from classifiers.training import ClassifierTraining
from core.errors import UserError
from core.stage import ClipStage


@dataclass(frozen=True)
class Trainings:
    """Classifier stages."""

    data: Data
    _opened: dict[str, tuple[Network, Start | None]] = field(default_factory=dict, compare=False)

    def on(
        self,
        arm: Arm,
        clips: ClipStage | None,
        *,
        task: Task,
        kind: str,
        seed: int,
        schedule: Schedule = "matched_epochs",
    ) -> ClassifierTraining:
        """The training of a classifier, by its name in the configuration, on an arm whose `clips`
        are given; None of Source."""
        config = self.data.config
        section, real, mixing = config.classifiers[kind], self.data.labelled[task], config.mixing
        if clips is None:  # the same training, whatever is mixed in elsewhere and for how long
            mixing = mixing.model_copy(update={"until": 1.0})
            schedule = "matched_epochs"
        kept = {"with_real": arm.with_real, "with_labels": arm.labelled}
        mixing.check(**kept)
        mixture = TrainingSet(
            sources=(real,) if clips is None else (real, clips),
            task=task,
            mixing=mixing,
            **kept,
            **self.data.common,
        )
        network, start = self.opened(kind)
        num_frames, size = network.shape(config.num_frames, config.size)
        training: dict[str, Any] = {
            "task": task,
            "num_classes": config.taxonomy.num_classes(task),
            "network": network,
            "recipe": section.recipe.model_copy(update={"schedule": schedule}),
            "mixture": mixture,
            "evaluation": real,
            "num_frames": num_frames,
            "size": size,
            "seed": seed,
            **self.data.common,
        }
        if section.mode == "full":
            return ClassifierTraining(start=start, **training)
        if not arm.labelled:
            raise UserError(
                f"source {arm.id!r}: clips without labels teach by being augmented, and a probe "
                f"augments none: leave it out, or set classifiers.{kind}.mode full"
            )
        return ProbeTraining(weights=start, head=section.head, **training)

    def on_source(self, task: Task, kind: str, seed: int) -> ClassifierTraining:
        """The training on the real clips alone."""
        return self.on(SOURCE, None, task=task, kind=kind, seed=seed)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the classifiers to train."""
        return self.data.config.chosen_classifiers or tuple(self.data.config.classifiers)

    def label(self, kind: str) -> str:
        """What the tables call a classifier."""
        return CLASSIFIERS[kind].shown_as(self.data.config.classifiers[kind].mode)

    @property
    def starts(self) -> dict[str, Start]:
        """The weights to start from or to freeze, by classifier; none where none are named.

        Raises: UserError: if they are not there or are of another network.
        """
        found = {kind: self.opened(kind)[1] for kind in self.kinds}
        return {kind: start for kind, start in found.items() if start is not None}

    def opened(self, kind: str) -> tuple[Network, Start | None]:
        """A classifier's network and the weights that its section names."""
        if kind not in self._opened:
            self._opened[kind] = self._open(kind)
        return self._opened[kind]

    def _open(self, kind: str) -> tuple[Network, Start | None]:
        config = self.data.config
        section, name = config.classifiers[kind], f"classifiers.{kind}.weights"
        if section.weights is not None:
            shape = (config.num_frames, config.size)
            return CLASSIFIERS[kind].open(section.network, section.weights, name, shape, self.data)
        if section.mode == "probe":
            raise UserError(f"{name} null: a probe freezes a trained network: name its weights")
        return section.network, None
