"""From a configuration to stages: the one place where datasets, generators, synthesis, training
sets and classifiers are put together.

    data ---------------------------------------------.
    corpus -> curation -> generators -> synthesis -> arms -> training sets -> classifiers -> cells
                              |                        '-> evidence
                              '-> clips for held-out captions -> generation quality
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from augment.arm import Arm
from augment.synthesis import CaptionSynthesis
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.clip_features import choose
from benchmarks.metrics.transformers_clip import HubClip
from benchmarks.plan.arms import Arms
from benchmarks.plan.cost import check_memory
from benchmarks.plan.data import PROJECT_ROOT, Data, Inputs
from benchmarks.plan.evidence import Evidence
from benchmarks.plan.external import External
from benchmarks.plan.generators import Generators
from benchmarks.plan.quality import Encoders, Quality
from benchmarks.plan.trainings import Trainings
from classifiers.external_test import ExternalTest
from classifiers.features import FrozenFeatures
from classifiers.recipe import Schedule
from classifiers.training import ClassifierTraining
from core.clip import Manifest
from core.errors import UserError, did_you_mean
from core.frame_cache import FrameCache
from core.stage import Stage
from core.video import check_decoder

__all__ = ["PROJECT_ROOT", "Inputs", "Plan", "PlannedCell"]


@dataclass(frozen=True)
class PlannedCell:
    """One classifier training of Table 2."""

    task: Task
    classifier: str
    arm: Arm
    seed: int
    schedule: Schedule
    stage: ClassifierTraining
    external: ExternalTest | None = None


@dataclass(frozen=True)
class Plan:
    """All stages of a run. Building it validates the inputs; nothing is computed before."""

    config: BenchmarkConfig
    inputs: Inputs

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.inputs.results / self.config.name

    @cached_property
    def data(self) -> Data:
        return Data(self.config, self.inputs)

    @cached_property
    def generators(self) -> Generators:
        return Generators(self.data)

    @cached_property
    def encoders(self) -> Encoders:
        return Encoders(self.data)

    @cached_property
    def quality(self) -> Quality:
        return Quality(self.data, self.generators, self.encoders)

    @cached_property
    def external(self) -> External:
        return External(self.data)

    @cached_property
    def trainings(self) -> Trainings:
        return Trainings(self.data)

    @property
    def arms(self) -> Arms:
        """With the clips of the first training seed, which audits and figures look at."""
        return self.arms_of(self.config.first_seed)

    def arms_of(self, seed: int) -> Arms:
        """With the clips that a training seed has."""
        return self._draws[0 if self.config.one_synthetic_set else seed]

    @cached_property
    def _draws(self) -> dict[int, Arms]:
        draws = [0] if self.config.one_synthetic_set else self.config.training_seeds
        parts = (self.data, self.generators, self.encoders, self.trainings)
        return {draw: Arms(*parts, draw) for draw in draws}

    @cached_property
    def evidence(self) -> Evidence:
        return Evidence(self.data, self.encoders, self.trainings, self.arms)

    @cached_property
    def cells(self) -> list[PlannedCell]:
        """Every classifier training, in the tables' order."""
        config = self.config
        return [
            self._cell(task, schedule, arm, kind, seed)
            for task in config.tasks
            for schedule in config.schedules
            for arm, clips in self.arms.clips[task].items()
            # Source has the same steps under both schedules: one training of it serves both.
            if not (clips is None and schedule != config.schedules[0])
            for kind in self.trainings.kinds
            for seed in config.training_seeds
        ]

    def _cell(self, task: Task, schedule: Schedule, arm: Arm, kind: str, seed: int) -> PlannedCell:
        clips = self.arms_of(seed).clips[task][arm]
        named: dict[str, Any] = {"task": task, "seed": seed, "schedule": schedule}
        stage = self.trainings.on(arm, clips, kind=kind, **named)
        return PlannedCell(
            classifier=self.trainings.label(kind),
            arm=arm,
            stage=stage,
            external=self.external.test_of(task, stage),
            **named,
        )

    def check(self, only: str | None = None, *, dry_run: bool = False) -> None:
        """Build every stage, so that a wrong input is found before the first one runs.

        Raises: UserError: for the first fault; a dry run tolerates encoders that are missing.
        """
        lacks_data = self.inputs.data_root is None
        if not self.config.sources:
            lacks_data = lacks_data and self.inputs.corpus_root is None
        if self.config.scale == "paper" and lacks_data and not dry_run:
            raise UserError(
                f"--config {self.config.name} needs --data-root DIR: a folder in OphNet2024's "
                "layout (the simulator draws at nano scale)"
            )
        check_decoder(self.config.runtime.decoder)
        # Refused before a large data set's files are hashed.
        _ = self.generators.all, self.trainings.starts, self.external.mapping
        check_memory(stage for model in self.generators.last for stage in model.tower())
        names = [name for name, _, _ in self.waves()]
        if self.data.missing and not dry_run:
            raise UserError(self.data.missing[0])
        if only is not None and only not in names:
            raise UserError(f"--only {only}: {did_you_mean(only, names)}")

    def check_data(self) -> None:
        """After the data stages: what their clips must suffice for, before hours of training.

        Raises: UserError: if fewer clips are held out than Table 1 compares.
        """
        for row in self.quality.rows:
            generated = row.stage.generated
            if isinstance(generated, CaptionSynthesis):
                generated.requests()
            else:
                choose(self._held_out(), row.stage.settings)

    def _held_out(self) -> Manifest:
        clips, split = self.data.held_out
        return clips.manifest().of_split(split)

    def waves(self) -> Iterator[tuple[str, list[Stage], int | None]]:
        """(what, stages, how many cores or GPUs each takes where they run side by side; None: in
        turn, as each uses all of them). A wave needs only what came before it.
        """
        runtime = self.config.runtime
        data: list[Stage] = [*self.trainings.starts.values(), *self.generators.downloads]
        if self.config.sources:
            data += [*self.data.labelled.values(), *self.external.clips.values()]
        if self.generators.any_trained:
            data += [self.data.curated, self.data.clean]
        if self.quality.rows:
            data.append(self.data.held_out[0])
        clips = [
            clips
            for draw in self._draws.values()
            for arms in draw.synthetic.values()
            for clips in arms.values()
        ]
        data += [s.given for each in clips for s in each.tower() if isinstance(s, HubClip)]
        yield "data", data, None
        generated = [row.stage.generated for row in self.quality.rows]
        yield "encoding", self.generators.encodings, None
        yield "generators", self.generators.last, runtime.processes
        yield "synthesis", [*clips, *generated], None
        distances = [each for arms in self.evidence.distances.values() for each in arms.values()]
        yield "generation quality", [*(row.stage for row in self.quality.rows), *distances], None
        yield "decoding", self._caches(), None
        yield "features", self._features(), 1
        cells: list[Stage] = [cell.stage for cell in self.cells]
        yield "classifiers", cells, runtime.classifier_processes
        external = [cell.external for cell in self.cells if cell.external is not None]
        if external:
            yield "external test", [*external], None
        yield "agreement", list(self.evidence.agreements.values()), None

    def _caches(self) -> list[Stage]:
        inputs = self._inputs()
        inputs += [stage.frames for stage in self._features() if isinstance(stage, FrozenFeatures)]
        caches = {stage.infra.uid(): stage for stage in inputs if isinstance(stage, FrameCache)}
        return list(caches.values())

    def _features(self) -> list[Stage]:
        """What probes read; none without one."""
        found = {s.infra.uid(): s for s in self._inputs() if isinstance(s, FrozenFeatures)}
        return list(found.values())

    def _inputs(self) -> list[Stage]:
        """What the trainings and their external tests read."""
        tests = [test for cell in self.cells for test in (cell.stage, cell.external)]
        return [stage for test in tests if test is not None for stage in test.upstream()]

    def tower(self) -> list[Stage]:
        """Every stage of the run, dependencies first, each once."""
        ordered: dict[str, Stage] = {}
        for _, stages, _ in self.waves():
            for stage in stages:
                for below in stage.tower():
                    ordered.setdefault(below.infra.uid(), below)
        return list(ordered.values())
