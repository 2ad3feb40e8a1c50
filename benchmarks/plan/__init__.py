"""From a configuration to stages: the one place where datasets, generators, synthesis, training
sets and classifiers are put together.

    dataset ----------------------------------------.
    corpus -> curation -> generators -> synthesis --+-> training sets -> classifiers -> cells
                              |                     '-> evidence
                              '-> clips for held-out captions -> generation quality
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from augment.synthesis import CaptionSynthesis
from benchmarks.datasets.taxonomy import CLASS_NAMES
from benchmarks.evaluation import CLASSIFIER_LABELS, Schedule
from benchmarks.plan.data import PROJECT_ROOT, Inputs
from benchmarks.plan.evidence import EvidenceStages
from benchmarks.plan.generators import trained_here
from classifiers.training import ClassifierTraining
from core.clip import Task
from core.errors import UserError, did_you_mean
from core.frame_cache import FrameCache
from core.stage import Stage
from generator.base import BeforehandTraining, GivenWeights, HubWeights
from generator.bora.given import ReleasedBora
from generator.encoding import Encoding
from generator.endora.given import ReleasedEndora

__all__ = ["CLASS_NAMES", "PROJECT_ROOT", "CellPlan", "Inputs", "Plan"]


@dataclass(frozen=True)
class CellPlan:
    """One classifier training of Table 2."""

    task: Task
    classifier: str
    training_data: str
    seed: int
    schedule: Schedule
    stage: ClassifierTraining


@dataclass(frozen=True)
class Plan(EvidenceStages):
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
    def cells(self) -> list[CellPlan]:
        """Every classifier training, in the tables' order."""
        return [
            CellPlan(
                task=task,
                classifier=CLASSIFIER_LABELS[kind],
                training_data=training_data,
                seed=seed,
                schedule=schedule,
                stage=self.classifier(task, kind, seed, training_data, schedule),
            )
            for task in self.config.tasks
            for schedule in self.config.schedules
            for training_data, synthetic in self.arms[task].items()
            # Source has the same steps under both schedules: one training of it serves both.
            if not (synthetic is None and schedule != self.config.schedules[0])
            for kind in self.kinds
            for seed in range(self.config.first_seed, self.config.first_seed + self.config.seeds)
        ]

    # -- order --------------------------------------------------------------------------------

    def waves(self) -> Iterator[tuple[str, list[Stage], bool]]:
        """(what, stages, whether they run side by side). A wave needs only what came before it.

        Data, encoding and synthesis use all workers inside; generators and classifiers are one
        process each.
        """
        data: list[Stage] = [*self.starts.values(), *self._downloads()]
        if self.config.sources:
            data += self.datasets.values()
        if self.trains_generators():
            data += [self.curated, self.clean]
        if self.qualities:
            data.append(self.held_out[0])
        yield "data", data, False
        clips = [clips for arms in self.synthetic.values() for clips in arms.values()]
        generated = [row.stage.generated for row in self.qualities]
        below = {s.infra.uid() for g in self.generators.values() for s in g.tower()[:-1]}
        last: list[Stage] = [g for g in self.generators.values() if g.infra.uid() not in below]
        encodings: list[Stage] = [s for g in last for s in g.tower() if isinstance(s, Encoding)]
        yield "encoding", encodings, False
        yield "generators", last, True
        yield "synthesis", [*clips, *generated], False
        distances = [stage for stages in self.distances.values() for stage in stages.values()]
        yield "generation quality", [*(row.stage for row in self.qualities), *distances], False
        yield "decoding", self._caches(), False
        yield "classifiers", [cell.stage for cell in self.cells], True
        yield "verdicts", list(self.verdicts.values()), False

    def trains_generators(self) -> bool:
        """Whether any generator is trained from the corpus, not just loaded."""
        return any(map(trained_here, self.generators.values()))

    def _downloads(self) -> list[Stage]:
        """Weights from the hub and what is made of them alone: looked into before hours of work."""
        towers = {s.infra.uid(): s.tower() for g in self.generators.values() for s in g.tower()}
        given = (GivenWeights, HubWeights, ReleasedBora, ReleasedEndora, BeforehandTraining)
        return [
            tower[-1]
            for tower in towers.values()
            if all(isinstance(stage, given) for stage in tower)
            and any(isinstance(stage, HubWeights) for stage in tower)
        ]

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
