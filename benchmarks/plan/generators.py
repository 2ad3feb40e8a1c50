"""The generators of a run: trained from the curated corpus, or named by the user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from augment.synthesis import CaptionSynthesis, ClassSynthesis
from augment.training_set import PromptedTrainingClips
from benchmarks.config.arms import SameBudgetArm
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan.data import Data
from benchmarks.plan.pipelines import given_pipelines
from core.errors import UserError
from core.stage import Stage
from generator.base import Generator, HubWeights, Weights
from generator.encoding import Encoding
from generator.families import GENERATORS
from generator.family import Family, TableRow, trained_here


def by_class(name: str, task: Task) -> str:
    """The name in the plan of the model of a family that makes clips of a task's classes."""
    return f"{name}_{task}" if GENERATORS[name].by_class else name


def of_arm(name: str, task: Task) -> str:
    """The name in the plan of the model that an arm has for itself."""
    return f"{name}_{task}"


@dataclass(frozen=True)
class Generators:
    """Generator stages and the clips that they make."""

    data: Data

    @cached_property
    def models(self) -> dict[str, Generator]:
        """Every model that reads the corpus, by name: what the run's sources are made by, what
        Table 1 compares.

        Raises: UserError: if real data came without a corpus or weights to make them from.
        """
        config = self.data.config
        sources = [name for name in GENERATORS if name in config.origins()]
        if self.data.without_corpus:
            for name in sources:
                if config.section(name).weights is None:
                    raise UserError(
                        f"source {name!r} with --data-root needs a generator: train generators on "
                        f"--corpus-root DIR, or name weights with --set {name}.weights=DIR"
                    )
        rows = () if self.data.without_corpus else config.compared_rows()
        wanted = {*sources, *(row for row in rows if row not in config.quality.folders)}
        of_rows = {row: name for name, family in GENERATORS.items() for row in self.rows(name)}
        for model in tuple(wanted):
            name = of_rows[model]
            if self.data.footage is not None and GENERATORS[name].reads_captions:
                raise UserError(
                    f"{model!r} reads captions, and --corpus-root {self.data.footage.root} "
                    "has none: add clips.csv, or leave it out"
                )
            wanted |= {*GENERATORS[name].beside(model, config.section(name))}
        found = {
            row: GENERATORS[name].build(row, config.section(name), self.data)
            for row, name in of_rows.items()
            if row in wanted
        }
        for name in sources:
            if GENERATORS[name].by_class and name in config.origins(labelled=True):
                found |= {by_class(name, task): self._by_class(name, task) for task in config.tasks}
        return found

    @cached_property
    def pipelines(self) -> dict[str, Weights]:
        """The weights of every source that is a pipeline of diffusers, by its name."""
        return given_pipelines(self.data)

    @cached_property
    def on_labelled(self) -> dict[str, Generator]:
        """What makes the clips of arms of kind `same_budget`, by `of_arm`: trained on the real
        training clips that the classifiers have."""
        config = self.data.config
        used = config.origins()
        return {
            of_arm(name, task): GENERATORS[arm.of].build_on_labelled(
                config.section(arm.of), self.data, self._training_clips(task), arm.steps
            )
            for name, arm in config.arms.items()
            if isinstance(arm, SameBudgetArm) and name in used
            for task in config.tasks
        }

    def _training_clips(self, task: Task) -> PromptedTrainingClips:
        mixing = self.data.config.mixing
        return PromptedTrainingClips(
            clips=self.data.labelled[task],
            task=task,
            prompts_of_class=self.data.prompts(task),
            real_per_class=mixing.real_per_class,
            seed=mixing.seed,
            **self.data.common,
        )

    @property
    def all(self) -> dict[str, Generator]:
        """Those of the corpus and those of the labelled clips."""
        return {**self.models, **self.on_labelled}

    def rows(self, name: str) -> dict[str, TableRow]:
        """Table 1's rows of a family; none where the configuration has no section of it."""
        section = self.data.config.section(name)
        return {} if section is None else GENERATORS[name].rows(section)

    def _by_class(self, name: str, task: Task) -> Generator:
        return GENERATORS[name].build_by_class(
            self.data.config.section(name),
            self.data,
            task=task,
            labelled=self.data.labelled[task],
            names=self.data.config.taxonomy.names(task),
        )

    @property
    def any_trained(self) -> bool:
        """Whether any is trained from the corpus, not just loaded."""
        return any(map(trained_here, self.models.values()))

    @property
    def last(self) -> list[Stage]:
        """Those that no other one is made from; running them runs all."""
        below = {s.infra.uid() for model in self.all.values() for s in model.tower()[:-1]}
        return [model for model in self.all.values() if model.infra.uid() not in below]

    @property
    def downloads(self) -> list[Stage]:
        """Weights from the hub and what is made of them alone: looked into before hours of work."""
        towers = {s.infra.uid(): s.tower() for model in self.all.values() for s in model.tower()}
        towers |= {stage.infra.uid(): stage.tower() for stage in self.pipelines.values()}
        return [
            tower[-1]
            for tower in towers.values()
            if all(isinstance(stage, Weights) and stage.is_given for stage in tower)
            and any(isinstance(stage, HubWeights) for stage in tower)
        ]

    @property
    def encodings(self) -> list[Stage]:
        """The encoded clips that the trainings read."""
        return [s for model in self.last for s in model.tower() if isinstance(s, Encoding)]

    def clips_of_classes(
        self,
        name: str,
        generator: Generator,
        task: Task,
        prompts: Path | None = None,
        draw: int = 0,
    ) -> ClassSynthesis:
        """Clips of every class by `generator`, a model of the family `name`.

        Args: prompts: None: the taxonomy's; draw: added to the configuration's seed of synthesis;
        another one, other clips.
        """
        family: Family[Any] = GENERATORS[name]
        settings, taxonomy = self.data.config.synthesis, self.data.config.taxonomy
        return ClassSynthesis(
            source=name,
            generator=generator,
            task=task,
            operations_of_class=taxonomy.leaves_of(task),
            settings=settings.model_copy(update={"seed": settings.seed + draw}),
            class_names=taxonomy.names(task) if family.by_class else (),
            sampling=self.data.config.section(name).sampling,
            prompts=taxonomy.path if prompts is None else prompts,
            **self.data.common,
        )

    def clips_of_captions(self, name: str, model: str) -> CaptionSynthesis:
        """Clips for held-out captions by a model of the family `name`."""
        clips, split = self.data.held_out
        return CaptionSynthesis(
            source=model,
            generator=self.models[model],
            clips=clips,
            split=split,
            num_clips=self.data.config.quality.num_clips,
            sampling=self.data.config.section(name).sampling,
            **self.data.common,
        )
