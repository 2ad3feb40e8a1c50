"""The trainings of classifiers: a network, a recipe, an arm's clips beside the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from augment.arm import SOURCE, Arm
from augment.training_set import TrainingSet
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan.data import PROJECT_ROOT, Data
from classifiers.checkpoints import Checkpoint, load_checkpoint
from classifiers.recipe import Schedule
from classifiers.training import ClassifierTraining
from core.stage import ClipSource


@dataclass(frozen=True)
class Trainings:
    """Classifier stages."""

    data: Data

    def on(
        self,
        arm: Arm,
        clips: ClipSource | None,
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
        return ClassifierTraining(
            task=task,
            num_classes=config.taxonomy.num_classes(task),
            network=section.network,
            recipe=section.recipe.model_copy(update={"schedule": schedule}),
            mixture=mixture,
            evaluation=real,
            num_frames=config.num_frames,
            size=config.size,
            start=self.starts.get(kind),
            seed=seed,
            **self.data.common,
        )

    def on_source(self, task: Task, kind: str, seed: int) -> ClassifierTraining:
        """The training on the real clips alone."""
        return self.on(SOURCE, None, task=task, kind=kind, seed=seed)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the classifiers to train."""
        return self.data.config.chosen_classifiers or tuple(self.data.config.classifiers)

    @cached_property
    def starts(self) -> dict[str, Checkpoint]:
        """The published checkpoints to start from, by classifier; none where none is named.

        Raises: UserError: if one is not there or is of another network: better now than after days.
        """
        config, found = self.data.config, {}
        for kind in self.kinds:
            section = config.classifiers[kind]
            if section.weights is not None:
                paths = (Path(section.weights), PROJECT_ROOT / section.weights)
                path = next((path for path in paths if path.is_file()), paths[0])
                found[kind] = Checkpoint.at(path, **self.data.common)
                blank = section.network.build(2, config.num_frames, config.size)
                load_checkpoint(path, blank)
        return found
