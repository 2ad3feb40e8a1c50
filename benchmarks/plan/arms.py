"""The arms of a run: the clips that each adds to the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from augment.arm import Arm
from augment.controls import CaptionedAs, FrozenFrames, Oversampled, ShuffledLabels, Subset
from augment.user_videos import UserVideos
from benchmarks.config.arms import (
    AloneArm,
    AnyArmSection,
    CaptionedArm,
    ConfidentArm,
    ExtraRealArm,
    FrozenArm,
    OversampledArm,
    RetrievedArm,
    SameBudgetArm,
    ShuffledArm,
    SubsetArm,
    UnlabelledArm,
)
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim, unused_splits
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.zero_shot import ZeroShot
from benchmarks.plan.data import Data
from benchmarks.plan.generators import Generators, by_class, of_arm
from benchmarks.plan.pipelines import clips_of_pipeline
from benchmarks.plan.quality import Encoders
from benchmarks.plan.selection import ConfidentClips, RetrievedClips
from benchmarks.plan.trainings import Trainings
from core.errors import UserError
from core.stage import ClipStage
from generator.families import GENERATORS


@dataclass(frozen=True)
class Arms:
    """Clips by arm.

    draw: which synthetic clips; each training seed has its own, so that intervals over seeds
    include what sampling adds.
    """

    data: Data
    generators: Generators
    encoders: Encoders
    trainings: Trainings
    draw: int = 0

    @cached_property
    def clips(self) -> dict[Task, dict[Arm, ClipStage | None]]:
        """Of each task, the clips that each arm adds, in the order of the sources; None = none."""
        config = self.data.config
        return {
            task: {
                self.named(name): None if name == "source" else self.clips_of(source, task)
                for source, name in zip(config.sources, config.names(), strict=True)
            }
            for task in config.tasks
        }

    @cached_property
    def synthetic(self) -> dict[Task, dict[Arm, ClipStage]]:
        """Those arms that add any."""
        return {
            task: {arm: clips for arm, clips in arms.items() if clips is not None}
            for task, arms in self.clips.items()
        }

    def named(self, name: str) -> Arm:
        """The arm of a name in the configuration."""
        return self._registry[name]

    @cached_property
    def _registry(self) -> dict[str, Arm]:
        return self.data.config.registry()

    def clips_of(self, source: str, task: Task) -> ClipStage:
        """The clips that a source or an arm adds, by its name in the configuration."""
        name, _, folder = source.partition("=")
        if name in self.generators.pipelines:
            given = self.generators.pipelines[name]
            return clips_of_pipeline(name, given, task, self.data, self.draw)
        if folder:
            return UserVideos.at(
                self._user_folder(name, folder),
                task=task,
                class_names=self.data.config.taxonomy.names(task),
                name=name,
                **self.data.hashing,
            )
        if source in GENERATORS:
            generator = self.generators.models[by_class(source, task)]
            return self.generators.clips_of_classes(source, generator, task, draw=self.draw)
        return self._derived(source, self.data.config.arms[source], task)

    def _user_folder(self, name: str, folder: str) -> Path:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise UserError(f"source {name}={folder}: no such folder")
        return path

    def _derived(self, name: str, arm: AnyArmSection, task: Task) -> ClipStage:
        labelled: dict[str, Any] = {"task": task, **self.data.common}
        match arm:
            case ShuffledArm():
                return ShuffledLabels(clips=self.clips_of(arm.of, task), **labelled)
            case FrozenArm():
                return FrozenFrames(clips=self.clips_of(arm.of, task), **self.data.common)
            case SubsetArm():
                clips = self.clips_of(arm.of, task)
                return Subset(clips=clips, clips_per_class=arm.clips_per_class, **labelled)
            case AloneArm():
                return self.clips_of(arm.of, task)
            case UnlabelledArm() if arm.of in GENERATORS:
                # Of a family with a model of classes, those of the one that knows none.
                generator = self.generators.models[arm.of]
                return self.generators.clips_of_classes(arm.of, generator, task, draw=self.draw)
            case UnlabelledArm():
                return self.clips_of(arm.of, task)
            case ConfidentArm():
                return self._confident(arm, task)
            case OversampledArm():
                clips = self.data.labelled[task]
                return Oversampled(clips=clips, clips_per_class=arm.clips_per_class, **labelled)
            case ExtraRealArm():
                return self._extra_real(arm, labelled)
            case CaptionedArm():
                return self._captioned(arm, labelled)
            case RetrievedArm():
                return self._retrieved(arm, labelled)
            case SameBudgetArm():
                generator = self.generators.on_labelled[of_arm(name, task)]
                return self.generators.clips_of_classes(arm.of, generator, task, draw=self.draw)

    def _confident(self, arm: ConfidentArm, task: Task) -> ConfidentClips:
        clips, kind = self.clips_of(arm.of, task), arm.classifier
        seed = self.data.config.first_seed if arm.seed is None else arm.seed
        return ConfidentClips(
            clips=clips,
            task=task,
            classifier=self.trainings.on_source(task, kind, seed) if kind else None,
            zero_shot=self._zero_shot(clips, task, None) if arm.prompts else None,
            at_least=arm.at_least,
            clips_per_class=arm.clips_per_class,
            **self.data.common,
        )

    def _zero_shot(self, clips: ClipStage, task: Task, encoder: str | None) -> ZeroShot:
        """Args: encoder: its folder or hub:ORG/NAME; None: CLIPScore's."""
        return ZeroShot(
            clips=clips,
            encoder=self.encoders.image_text_of(encoder),
            protocol=self.data.config.quality.protocol,
            prompts_of_class=self.data.prompts(task),
            **self.data.common,
        )

    def _extra_real(self, arm: ExtraRealArm, labelled: dict[str, Any]) -> ClipStage:
        if self.data.inputs.data_root is not None:
            raise UserError(
                "arm 'extra_real' draws more cases with the simulator: leave it out with "
                "--data-root, or give videos of other cases as NAME=DIR"
            )
        ophsim, common = self.data.config.ophsim, self.data.common
        simulator = OphSim(
            **ophsim.model_dump()
            | {"seed": arm.seed, "train_cases": arm.cases, "train_clips": arm.clips}
            | unused_splits(ophsim.minimum, "val", "test"),
            **common,
        )
        cases = OphNet(task=labelled["task"], name="OphSim", written_by=simulator, **common)
        return Subset(clips=cases, clips_per_class=arm.clips_per_class, split="train", **labelled)

    def _captioned(self, arm: CaptionedArm, labelled: dict[str, Any]) -> ClipStage:
        return CaptionedAs(
            clips=self._narrated(arm),
            prompts_of_class=self.data.prompts(labelled["task"]),
            clips_per_class=arm.clips_per_class,
            at_least=arm.at_least,
            **labelled,
        )

    def _retrieved(self, arm: RetrievedArm, labelled: dict[str, Any]) -> ClipStage:
        clips = self._narrated(arm)
        return RetrievedClips(
            clips=clips,
            zero_shot=self._zero_shot(clips, labelled["task"], arm.encoder),
            clips_per_class=arm.clips_per_class,
            at_least=arm.at_least,
            **labelled,
        )

    def _narrated(self, arm: CaptionedArm | RetrievedArm) -> ClipStage:
        if self.data.without_corpus:
            raise UserError(f"{arm.kind}: an arm of narrated clips needs --corpus-root DIR")
        return self.data.clean if arm.without_text else self.data.curated

    @property
    def sweeps(self) -> dict[str, list[Arm]]:
        """Arms that differ in volume alone, by what they are parts of; the whole is the last one.

        An arm that stands alone is no whole: its parts join the real clips.
        """
        config = self.data.config
        found: dict[str, list[Arm]] = {}
        for source in config.sources:
            if isinstance(section := config.arms.get(source), SubsetArm):
                found.setdefault(section.of, []).append(self.named(source))
        for whole, parts in found.items():
            if whole in config.sources and self.named(whole).with_real:
                parts.append(self.named(whole))
        return found
