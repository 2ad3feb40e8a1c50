"""The arms of a run: the clips that each adds to the real ones, and the classifiers' trainings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from augment.controls import CaptionedAs, FrozenFrames, Oversampled, ShuffledLabels, Subset
from augment.prompts import PROMPTS_PATH, PromptBook
from augment.synthesis import ClassSynthesis
from augment.training_set import TrainingSet
from augment.user_videos import UserVideos
from benchmarks.config.arms import (
    AloneArm,
    Arm,
    CaptionedArm,
    ConfidentArm,
    ExtraRealArm,
    FrozenArm,
    OversampledArm,
    PartArm,
    ShuffledArm,
    UnlabelledArm,
)
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim, unused_splits
from benchmarks.datasets.taxonomy import CLASS_NAMES, Task, operations_of
from benchmarks.metrics.zero_shot import ZeroShot
from benchmarks.plan.data import PROJECT_ROOT
from benchmarks.plan.generators import TABLE_NAMES, class_endora
from benchmarks.plan.quality import QualityStages
from benchmarks.plan.selection import ConfidentClips
from benchmarks.scoring.evaluation import ALONE, SOURCE, Schedule, joins_real
from classifiers.checkpoints import Checkpoint, load_checkpoint
from classifiers.training import ClassifierTraining
from core.errors import UserError
from core.stage import ClipSource
from generator.base import Generator


@dataclass(frozen=True)
class ArmPlan(QualityStages):
    """Arms and their classifiers."""

    @cached_property
    def arms(self) -> dict[Task, dict[str, ClipSource | None]]:
        """Training data by table name for each task: the synthetic clips that join, None = none."""
        return {
            task: {
                self.training_data(source): None
                if source == "source"
                else self.clips_of(source, task)
                for source in self.config.sources
            }
            for task in self.config.tasks
        }

    def training_data(self, source: str) -> str:
        """The name in the tables of a source or an arm, by its name in the configuration."""
        if source == "source":
            return SOURCE
        arm = self.config.arms.get(source)
        if isinstance(arm, AloneArm):
            return f"{ALONE} {TABLE_NAMES.get(arm.of, arm.of)}"
        name = source.partition("=")[0]
        return f"{SOURCE} + {TABLE_NAMES.get(name, name)}"

    def clips_of(self, source: str, task: Task) -> ClipSource:
        """The clips that a source or an arm adds, by its name in the configuration."""
        name, _, folder = source.partition("=")
        if folder:
            return UserVideos.at(
                self._user_folder(name, folder),
                task=task,
                class_names=CLASS_NAMES[task],
                name=name,
                **self.hashing,
            )
        if source in TABLE_NAMES:
            key = class_endora(task) if source == "endora" else source
            return self.class_synthesis(source, self.generators[key], task)
        return self._derived(self.config.arms[source], task)

    def _derived(self, arm: Arm, task: Task) -> ClipSource:
        labelled: dict[str, Any] = {"task": task, **self.common}
        match arm:
            case ShuffledArm():
                return ShuffledLabels(clips=self.clips_of(arm.of, task), **labelled)
            case FrozenArm():
                return FrozenFrames(clips=self.clips_of(arm.of, task), **self.common)
            case PartArm():
                clips = self.clips_of(arm.of, task)
                return Subset(clips=clips, clips_per_class=arm.clips_per_class, **labelled)
            case AloneArm():
                return self.clips_of(arm.of, task)
            case UnlabelledArm(of="endora"):
                return self.class_synthesis("endora", self.generators["endora"], task)
            case UnlabelledArm():
                return self.clips_of(arm.of, task)
            case ConfidentArm():
                return self._confident(arm, task)
            case OversampledArm():
                clips = self.datasets[task]
                return Oversampled(clips=clips, clips_per_class=arm.clips_per_class, **labelled)
            case ExtraRealArm():
                return self._extra_real(arm, labelled)
            case CaptionedArm():
                return self._captioned(arm, labelled)

    def _confident(self, arm: ConfidentArm, task: Task) -> ConfidentClips:
        clips = self.clips_of(arm.of, task)
        seed = self.config.first_seed if arm.seed is None else arm.seed
        return ConfidentClips(
            clips=clips,
            task=task,
            classifier=self.classifier(task, arm.classifier, seed) if arm.classifier else None,
            zero_shot=self._zero_shot(clips, task) if arm.prompts else None,
            at_least=arm.at_least,
            clips_per_class=arm.clips_per_class,
            **self.common,
        )

    def _zero_shot(self, clips: ClipSource, task: Task) -> ZeroShot:
        return ZeroShot(
            clips=clips,
            encoder=self.image_text_encoder,
            protocol=self.config.quality.protocol,
            prompts_of_class=self._prompts(task),
            **self.common,
        )

    def _extra_real(self, arm: ExtraRealArm, labelled: dict[str, Any]) -> ClipSource:
        if self.inputs.data_root is not None:
            raise UserError(
                "arm 'extra_real' draws more cases with the simulator: leave it out with "
                "--data-root, or give videos of other cases as NAME=DIR"
            )
        simulator = OphSim(
            **self.config.ophsim.model_dump()
            | {"seed": arm.seed, "train_cases": arm.cases, "train_clips": arm.clips}
            | unused_splits(self.config.ophsim.minimum, "val", "test"),
            **self.common,
        )
        cases = OphNet(task=labelled["task"], name="OphSim", written_by=simulator, **self.common)
        return Subset(clips=cases, clips_per_class=arm.clips_per_class, split="train", **labelled)

    def _captioned(self, arm: CaptionedArm, labelled: dict[str, Any]) -> ClipSource:
        if self.inputs.data_root is not None and self.inputs.corpus_root is None:
            raise UserError("captioned: an arm of narrated clips needs --corpus-root DIR")
        return CaptionedAs(
            clips=self.clean if arm.without_text else self.curated,
            prompts_of_class=self._prompts(labelled["task"]),
            clips_per_class=arm.clips_per_class,
            at_least=arm.at_least,
            **labelled,
        )

    def _prompts(self, task: Task) -> tuple[tuple[str, ...], ...]:
        book, policy = PromptBook.load(), self.config.synthesis.policy
        return tuple(
            book.prompts_for(task, class_id, operations, policy)
            for class_id, operations in enumerate(operations_of(task))
        )

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
            class_names=CLASS_NAMES[task] if name == "endora" else (),
            sampling=self.sampling_of(name),
            prompts=prompts,
            **self.common,
        )

    def _user_folder(self, name: str, folder: str) -> Path:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise UserError(f"source {name}={folder}: no such folder")
        return path

    def classifier(
        self,
        task: Task,
        kind: Any,
        seed: int,
        training_data: str = SOURCE,
        schedule: Schedule = "matched_epochs",
    ) -> ClassifierTraining:
        """The training of a classifier on one arm, by the arm's name in the tables."""
        section = self.config.classifiers[kind]
        real = self.datasets[task]
        synthetic = None if training_data == SOURCE else self.arms[task][training_data]
        mixing = self.config.mixing
        if synthetic is None:  # the same training, whatever is mixed in elsewhere and for how long
            mixing = mixing.model_copy(update={"until": 1.0})
            schedule = "matched_epochs"
        kept = {
            "with_real": joins_real(training_data),
            "with_labels": training_data not in self.without_labels,
        }
        mixing.check(**kept)
        mixture = TrainingSet(
            sources=(real,) if synthetic is None else (real, synthetic),
            task=task,
            mixing=mixing,
            **kept,
            **self.common,
        )
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

    @cached_property
    def without_labels(self) -> set[str]:
        """Arms whose clips come without labels, by their names in the tables."""
        arms = self.config.arms.items()
        return {self.training_data(name) for name, arm in arms if isinstance(arm, UnlabelledArm)}

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
