"""From a configuration to stages: the one place where datasets, generators, synthesis, training
sets and classifiers are put together.

    dataset ----------------------------------------.
    corpus -> curation -> generators -> synthesis --+-> training sets -> classifiers -> cells
                              '-> clips for held-out captions -> generation quality
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from augment.prompts import PROMPTS_PATH
from augment.synthesis import CaptionSynthesis, ClassSynthesis
from augment.training_set import TrainingSet
from augment.user_videos import UserVideos
from benchmarks.datasets.taxonomy import OPERATIONS, PHASE_OF_OPERATION, PHASES
from benchmarks.evaluation import CLASSIFIER_LABELS, SOURCE, Schedule
from benchmarks.plan.data import PROJECT_ROOT, Inputs
from benchmarks.plan.generators import TABLE_NAMES, trained_here
from benchmarks.plan.quality import QualityStages
from classifiers.checkpoints import Checkpoint, load_checkpoint
from classifiers.training import ClassifierTraining
from core.clip import Task
from core.errors import UserError, did_you_mean
from core.frame_cache import FrameCache
from core.stage import ClipSource, Stage
from generator.base import Generator

__all__ = ["PROJECT_ROOT", "CellPlan", "Inputs", "Plan"]

CLASS_NAMES: dict[Task, tuple[str, ...]] = {"phase": PHASES, "operation": OPERATIONS}


@dataclass(frozen=True)
class CellPlan:
    """One classifier training of Table 2."""

    task: Task
    classifier: str
    training_data: str
    seed: int
    schedule: Schedule
    stage: ClassifierTraining


def operations_of(task: Task) -> tuple[tuple[int, ...], ...]:
    """Operation ids by class id. "Others" (operation 106) has no phase of its own: phase 51."""
    if task == "operation":
        return tuple((operation,) for operation in range(len(OPERATIONS)))
    others = len(PHASES) - 1
    return tuple(
        tuple(
            operation
            for operation, phase in enumerate(PHASE_OF_OPERATION)
            if (others if phase is None else phase) == phase_id
        )
        for phase_id in range(len(PHASES))
    )


@dataclass(frozen=True)
class Plan(QualityStages):
    """All stages of a run. Building it validates the inputs; nothing is computed before."""

    def check(self, only: str | None = None, *, dry_run: bool = False) -> None:
        """Build every stage, so that a wrong input is found before the first one runs.

        Raises: UserError: for the first fault; a dry run tolerates encoders that are missing.
        """
        if self.config.scale == "paper" and self.inputs.data_root is None and not dry_run:
            raise UserError(
                f"--config {self.config.name} needs --data-root DIR: a folder in OphNet2024's "
                "layout (the simulator draws at nano scale)"
            )
        _ = self.generators, self.starts  # refused before a large data set's files are hashed
        names = [name for name, _, _ in self.waves()]
        if self.missing and not dry_run:
            raise UserError(self.missing[0])
        if only is not None and only not in names:
            raise UserError(f"--only {only}: {did_you_mean(only, names)}")

    def check_data(self) -> None:
        """After the data stages: what their clips must suffice for, before hours of training.

        Raises: UserError: if fewer clips are held out than Table 1 compares.
        """
        for row in self.qualities:
            generated = row.stage.generated
            if isinstance(generated, CaptionSynthesis):
                generated.requests()

    @cached_property
    def arms(self) -> dict[Task, dict[str, ClipSource | None]]:
        """Training data by table name for each task: the synthetic clips that join, None = none."""
        return {
            task: dict(self._arm(source, task) for source in self.config.sources)
            for task in self.config.tasks
        }

    def _arm(self, source: str, task: Task) -> tuple[str, ClipSource | None]:
        name, _, folder = source.partition("=")
        if source == "source":
            return SOURCE, None
        if folder:
            videos = UserVideos.at(
                self._user_folder(name, folder),
                task=task,
                class_names=CLASS_NAMES[task],
                name=name,
                hash_memory=self.hash_memory,
                **self.common,
            )
            return f"{SOURCE} + {name}", videos
        clips = self.class_synthesis(name, self.generators[name], task)
        return f"{SOURCE} + {TABLE_NAMES[name]}", clips

    def class_synthesis(
        self, name: str, generator: Generator, task: Task, prompts: Path = PROMPTS_PATH
    ) -> ClassSynthesis:
        """Clips of every class by `generator`, a training of the generator that `name` names."""
        return ClassSynthesis(
            source=name,
            generator=generator,
            task=task,
            operations_of_class=operations_of(task),
            settings=self.config.synthesis,
            sampling=self.sampling_of(name),
            prompts=prompts,
            **self.common,
        )

    def _user_folder(self, name: str, folder: str) -> Path:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise UserError(f"source {name}={folder}: no such folder")
        return path

    @cached_property
    def cells(self) -> list[CellPlan]:
        """Every classifier training, in the tables' order."""
        return [
            CellPlan(
                task=task,
                classifier=CLASSIFIER_LABELS[kind],
                training_data=training_data,
                seed=seed,
                schedule=schedule,
                stage=self._classifier(task, kind, synthetic, seed, schedule),
            )
            for task in self.config.tasks
            for schedule in self.config.schedules
            for training_data, synthetic in self.arms[task].items()
            # Source has the same steps under both schedules: one training of it serves both.
            if not (synthetic is None and schedule != self.config.schedules[0])
            for kind in self.kinds
            for seed in range(self.config.first_seed, self.config.first_seed + self.config.seeds)
        ]

    def _classifier(
        self, task: Task, kind: Any, synthetic: ClipSource | None, seed: int, schedule: Schedule
    ) -> ClassifierTraining:
        section = self.config.classifiers[kind]
        real = self.datasets[task]
        sources = (real,) if synthetic is None else (real, synthetic)
        mixture = TrainingSet(sources=sources, task=task, mixing=self.config.mixing, **self.common)
        return ClassifierTraining(
            task=task,
            num_classes=len(CLASS_NAMES[task]),
            network=section.network,
            recipe=section.recipe.model_copy(update={"schedule": schedule}),
            mixture=mixture,
            evaluation=real,
            num_frames=self.config.num_frames,
            size=self.config.size,
            start=self.starts.get(kind),
            seed=seed,
            **self.common,
        )

    @property
    def kinds(self) -> tuple[Any, ...]:
        """Keys of the classifiers to train."""
        return self.config.chosen_classifiers or tuple(self.config.classifiers)

    @cached_property
    def starts(self) -> dict[str, Checkpoint]:
        """The published checkpoints to start from, by classifier; none where none is named.

        Raises: UserError: if one is not there or is of another network: better now than after days.
        """
        found = {}
        for kind in self.kinds:
            section = self.config.classifiers[kind]
            if section.weights is not None:
                paths = (Path(section.weights), PROJECT_ROOT / section.weights)
                path = next((path for path in paths if path.is_file()), paths[0])
                found[kind] = Checkpoint.at(path, **self.common)
                blank = section.network.build(2, self.config.num_frames, self.config.size)
                load_checkpoint(path, blank)
        return found

    # -- order --------------------------------------------------------------------------------

    def waves(self) -> Iterator[tuple[str, list[Stage], bool]]:
        """(what, stages, whether they run side by side). A wave needs only what came before it.

        Data and synthesis use all workers inside; generators and classifiers are one process each.
        """
        data: list[Stage] = [*self.datasets.values(), *self.starts.values()]
        if self.trains_generators():
            data += [self.curated, self.clean]
        if self.qualities:
            data.append(self.held_out[0])
        yield "data", data, False
        clips = [arm for arms in self.arms.values() for arm in arms.values() if arm is not None]
        generated = [row.stage.generated for row in self.qualities]
        below = {s.infra.uid() for g in self.generators.values() for s in g.tower()[:-1]}
        last: list[Stage] = [g for g in self.generators.values() if g.infra.uid() not in below]
        yield "generators", last, True
        yield "synthesis", [*clips, *generated], False
        yield "generation quality", [row.stage for row in self.qualities], False
        yield "decoding", self._caches(), False
        yield "classifiers", [cell.stage for cell in self.cells], True

    def trains_generators(self) -> bool:
        """Whether any generator is trained from the corpus, not just loaded."""
        return any(map(trained_here, self.generators.values()))

    def _caches(self) -> list[Stage]:
        caches = {
            stage.infra.uid(): stage
            for cell in self.cells
            for stage in cell.stage.upstream()
            if isinstance(stage, FrameCache)
        }
        return list(caches.values())

    def tower(self) -> list[Stage]:
        """Every stage of the run, dependencies first, each once."""
        ordered: dict[str, Stage] = {}
        for _, stages, _ in self.waves():
            for stage in stages:
                for below in stage.tower():
                    ordered.setdefault(below.infra.uid(), below)
        return list(ordered.values())
