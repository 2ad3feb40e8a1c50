"""Endora's stages: from its base or from nothing to the curated clips, then by class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.datasets.taxonomy import CLASS_NAMES
from benchmarks.plan.data import UNKNOWN, locate
from benchmarks.plan.encodings import EncodingPlan
from benchmarks.sections import DiffusionTrainingSection
from core.clip import Task
from core.errors import UserError
from core.frame_cache import FrameCache
from core.stage import ClipSource
from generator.base import Generator, Weights
from generator.endora.given import (
    CHECKPOINT_SUFFIX,
    ClassCaptions,
    EndoraWithClasses,
    ReleasedEndora,
)
from generator.endora.pipeline import EndoraAssembly, EndoraSettings
from generator.endora.training import EndoraTraining, GivenEndora


@dataclass(frozen=True)
class EndoraPlan(EncodingPlan):
    """Endora's trainings."""

    @cached_property
    def _endora_base(self) -> Weights:
        section = self.config.endora
        if not section.base.endswith(CHECKPOINT_SUFFIX):
            return self.weights_at("endora.base")
        if section.autoencoder is None:
            raise UserError(
                f"endora.base {section.base}: a checkpoint has no VAE: name it as "
                "endora.autoencoder (a folder or hub id)"
            )
        path, known = locate(section.base), {}
        if not path.is_file():
            self.missing.append(f"endora.base {section.base}: no such file")
            known = {"sha256": UNKNOWN}
        autoencoder = self.weights_at("endora.autoencoder")
        stage = ReleasedEndora(path=path, **known, autoencoder=autoencoder, **self.common)
        return stage.check()

    @cached_property
    def _endora(self) -> Generator:
        """Unconditional, fine-tuned on the curated clips."""
        section = self.config.endora
        if section.weights is not None:
            return self._given_endora(self.weights_at("endora.weights"))
        start = self.start_of(self._endora_base, "endora.start")
        return self._train_endora("fine-tuned", start, self.curated, section.fine_tuning)

    def _variant(self, name: str) -> Generator:
        """Endora with some of its parts, trained from nothing on the curated clips."""
        section = self.config.endora
        variant, sizes, vae = section.variants[name], section.transformer, section.autoencoder
        assert sizes is not None and vae is not None  # EndoraSection has seen to it

        def assembly(chosen: EndoraSettings) -> EndoraAssembly:
            autoencoder = self.weights_at("endora.autoencoder")
            shape = self.shape_of(self.config.endora)
            return EndoraAssembly(
                autoencoder=autoencoder, shape=shape, transformer=chosen, **self.common
            )

        parts = {
            "temporal": variant.spatiotemporal,
            "learned_variance": variant.modified_diffusion,
        }
        return self._train_endora(
            "base",
            assembly(sizes.model_copy(update=parts)),
            self.curated,
            section.fine_tuning,
            encoder=assembly(sizes),  # one for all variants: clips are encoded once
            prior=variant.prior,
        )

    def _class_endora(self, task: Task) -> Generator:
        """Endora that makes clips of a class: the one of Table 1, trained on the labelled clips."""
        section, names = self.config.endora, CLASS_NAMES[task]
        start = EndoraWithClasses(base=self._endora, classes=names, **self.common)
        labelled = ClassCaptions(clips=self.datasets[task], task=task, names=names, **self.common)
        return self._train_endora("classes", start, labelled, section.classes, parts=("encoding",))

    def _train_endora(
        self,
        name: Any,
        start: Weights,
        clips: ClipSource,
        training: DiffusionTrainingSection,
        *,
        parts: tuple[str, ...] = ("encoding", "held_out"),
        encoder: Weights | None = None,
        prior: bool = True,
    ) -> EndoraTraining:
        section = self.config.endora
        encoded = self.encoded(clips, section, encoder or self._endora_base)
        looks: dict[str, Any] = {}
        if prior and section.prior is not None and section.dino is not None:
            frames = FrameCache(
                clips=clips, **self.shape_of(self.config.endora).model_dump(), **self.common
            )
            dino = self.weights_at("endora.dino")
            looks = {"prior": section.prior, "dino": dino, "frames": frames}
        return EndoraTraining(
            name=name,
            init=start,
            **{part: encoded[part] for part in parts},
            **dict(training),
            **looks,
            preview=section.preview,
            **self.common,
        )

    def _given_endora(self, given: Weights) -> Generator:
        return GivenEndora(given=given, shape=self.shape_of(self.config.endora), **self.common)
