"""The generators of a run: trained from the curated corpus, or named by the user.

base weights -> fine-tuned on the curated clips -> (Ophora) on those without text
             `> on the uncurated clips          `> (Endora) on the labelled clips, by class
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.config import VARIANT, QualityRow
from benchmarks.datasets.taxonomy import CLASS_NAMES
from benchmarks.plan.data import PROJECT_ROOT, UNKNOWN, DataPlan, locate
from benchmarks.sections import BoraSection, DiffusionTrainingSection, EndoraSection, OphoraSection
from core.clip import Task
from core.errors import UserError
from core.frame_cache import FrameCache
from core.stage import ClipSource
from generator.base import (
    BeforehandTraining,
    ClipShape,
    Generator,
    GivenGenerator,
    Sampling,
    Weights,
    weights_named,
)
from generator.bora.training import BoraTraining, GivenBora
from generator.encoding import Encoding
from generator.endora.given import (
    CHECKPOINT_SUFFIX,
    ClassCaptions,
    EndoraWithClasses,
    ReleasedEndora,
)
from generator.endora.pipeline import EndoraAssembly, EndoraSettings
from generator.endora.training import EndoraTraining, GivenEndora
from generator.ophora.training import GivenOphora, OphoraTraining

TABLE_NAMES = {"endora": "Endora", "bora": "Bora", "ophora": "Ophora"}
# Which section of the configuration a generator belongs to, by the first part of its name.
FAMILIES = {**{name: name for name in TABLE_NAMES}, "cogvideox": "ophora"}


def class_endora(task: Task) -> str:
    """The name in the plan of the Endora that makes clips of a task's classes."""
    return f"endora_{task}"


def trained_here(generator: Generator) -> bool:
    """Whether the run trains the generator from its corpus, rather than just loads it."""
    return not isinstance(generator, GivenGenerator)


@dataclass(frozen=True)
class GeneratorPlan(DataPlan):
    """Generator stages."""

    def weights_of(self, name: str) -> Weights:
        """The weights that the configuration names: a folder or a hub id."""
        return weights_named(name, root=PROJECT_ROOT, **self.common)

    @cached_property
    def generators(self) -> dict[str, Generator]:
        """Every generator of the run by name: what its sources are made by, what Table 1 compares.

        Raises: UserError: if real data came without a corpus or weights to make them from.
        """
        sources = [name for name in TABLE_NAMES if name in self.config.origins()]
        if self.without_corpus:
            for name in sources:
                if self.family(name).weights is None:
                    raise UserError(
                        f"source {name!r} with --data-root needs a generator: train generators on "
                        f"--corpus-root DIR, or name weights with --set {name}.weights=DIR"
                    )
        wanted = {*sources, *(() if self.without_corpus else self.config.quality.rows or ())}
        if "ophora" in wanted and self.config.ophora.weights is None:
            wanted.add("ophora_tpt")
        order = typing.get_args(QualityRow)
        found = {name: self._generator(name) for name in order if name in wanted}
        for name in sorted(wanted - set(order)):
            found[name] = self._variant(name.removeprefix(VARIANT))
        if "endora" in self.config.origins(labelled=True):
            by_class = {class_endora(task): self._class_endora(task) for task in self.config.tasks}
            found |= by_class
        return found

    def _generator(self, name: str) -> Generator:
        match name:
            case "endora_base":
                return self._given_endora(self._endora_base)
            case "endora":
                return self._endora
            case "bora_base":
                return self._given_bora(self.weights_of(self.config.bora.base))
            case "bora":
                return self._bora
            case "cogvideox":
                return self._given_ophora(self.weights_of(self.config.ophora.base))
            case "cogvideox_ophvl":
                return self._cogvideox_ophvl
            case "ophora_tpt":
                return self._ophora_tpt
            case _:
                return self._ophora

    def family(self, generator: str) -> Any:
        """The configuration's section that a generator of the plan belongs to."""
        return getattr(self.config, FAMILIES[re.split("[_/]", generator)[0]])

    def sampling_of(self, generator: str) -> Sampling:
        """Sampling settings of a generator by its name in the plan."""
        sampling: Sampling = self.family(generator).sampling
        return sampling

    # -- Ophora and CogVideoX -----------------------------------------------------------------

    @cached_property
    def _ophora(self) -> Generator:
        """Fine-tuned on the clips without text."""
        section = self.config.ophora
        if section.weights is not None:
            return self._given_ophora(self.weights_of(section.weights))
        start = self._ophora_tpt
        return self._train_ophora("P2FT", start, self._encoded(self.clean, section), section.p2ft)

    @cached_property
    def _ophora_tpt(self) -> Generator:
        """Transfer pre-trained on the curated clips."""
        section = self.config.ophora
        start = self.weights_of(section.base)
        if section.tpt_weights is not None:
            return self._given_ophora(self._start(start, section.tpt_weights))
        return self._train_ophora("TPT", start, self._encoded(self.curated, section), section.tpt)

    @cached_property
    def _cogvideox_ophvl(self) -> Generator:
        """The base model trained as TPT is, on the clips as they were found."""
        section = self.config.ophora
        start = self.weights_of(section.base)
        if section.ophvl_weights is not None:
            return self._given_ophora(self._start(start, section.ophvl_weights))
        tokens = section.ophvl_text_tokens
        longer = section.model_copy(update={"max_text_tokens": tokens or section.max_text_tokens})
        encoded = self._encoded(self.uncurated, longer)
        return self._train_ophora("OphVL", start, encoded, section.tpt, max_text_tokens=tokens)

    def _train_ophora(
        self,
        name: Any,
        start: Weights,
        encoded: dict[str, Encoding],
        training: DiffusionTrainingSection,
        max_text_tokens: int | None = None,
    ) -> OphoraTraining:
        section = self.config.ophora
        return OphoraTraining(
            name=name,
            init=start,
            **encoded,
            **dict(training),
            gradient_checkpointing=section.gradient_checkpointing,
            lora_rank=section.lora_rank,
            max_text_tokens=max_text_tokens,
            preview=section.preview,
            **self.common,
        )

    def _given_ophora(self, given: Weights) -> Generator:
        return GivenOphora(given=given, shape=self.config.clip, **self.common)

    # -- Bora ---------------------------------------------------------------------------------

    @cached_property
    def _bora(self) -> Generator:
        section = self.config.bora
        if section.weights is not None:
            return self._given_bora(self.weights_of(section.weights))
        return BoraTraining(
            name="fine-tuned",
            init=self._start(self.weights_of(section.base), section.start),
            **self._encoded(self.curated, section),
            **dict(section.fine_tuning),
            preview=section.preview,
            guided_channels=section.guided_channels,
            **self.common,
        )

    def _given_bora(self, given: Weights) -> Generator:
        guided = {"guided_channels": self.config.bora.guided_channels}
        return GivenBora(given=given, shape=self.config.clip, **guided, **self.common)

    # -- Endora -------------------------------------------------------------------------------

    @cached_property
    def _endora_base(self) -> Weights:
        section = self.config.endora
        if not section.base.endswith(CHECKPOINT_SUFFIX):
            return self.weights_of(section.base)
        if section.autoencoder is None:
            raise UserError(
                f"endora.base {section.base}: a checkpoint has no VAE: name it as "
                "endora.autoencoder (a folder or hub id)"
            )
        path, known = locate(section.base), {}
        if not path.is_file():
            self.missing.append(f"endora.base {section.base}: no such file")
            known = {"sha256": UNKNOWN}
        autoencoder = self.weights_of(section.autoencoder)
        return ReleasedEndora(path=path, **known, autoencoder=autoencoder, **self.common)

    @cached_property
    def _endora(self) -> Generator:
        """Unconditional, fine-tuned on the curated clips."""
        section = self.config.endora
        if section.weights is not None:
            return self._given_endora(self.weights_of(section.weights))
        start = self._start(self._endora_base, section.start)
        return self._train_endora("fine-tuned", start, self.curated, section.fine_tuning)

    def _variant(self, name: str) -> Generator:
        """Endora with some of its parts, trained from nothing on the curated clips."""
        section = self.config.endora
        variant, sizes, vae = section.variants[name], section.transformer, section.autoencoder
        assert sizes is not None and vae is not None  # EndoraSection has seen to it

        def assembly(chosen: EndoraSettings) -> EndoraAssembly:
            autoencoder = self.weights_of(vae)
            shape = self._endora_shape
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
        encoded = self._encoded(clips, section, encoder)
        looks: dict[str, Any] = {}
        if prior and section.prior is not None and section.dino is not None:
            frames = FrameCache(clips=clips, **self._endora_shape.model_dump(), **self.common)
            dino = self.weights_of(section.dino)
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
        return GivenEndora(given=given, shape=self._endora_shape, **self.common)

    @property
    def _endora_shape(self) -> ClipShape:
        return self.config.endora.clip or self.config.clip

    # -- shared -------------------------------------------------------------------------------

    def _start(self, base: Weights, name: str | None) -> Weights:
        """`base`, or its parts with the transformer that was trained from it beforehand."""
        if name is None:
            return base
        return BeforehandTraining(base=base, transformer=self.weights_of(name), **self.common)

    def _encoded(
        self,
        clips: ClipSource,
        section: OphoraSection | BoraSection | EndoraSection,
        parts: Weights | None = None,
    ) -> dict[str, Encoding]:
        """What a training reads: its clips and the held-out ones. parts: None: those of `base`."""
        if isinstance(section, EndoraSection):
            parts = parts or self._endora_base
            own: dict[str, Any] = {
                "parts": parts, "shape": self._endora_shape, "max_text_tokens": 0
            }  # fmt: skip
        else:
            own = {
                "parts": self.weights_of(section.base),
                "shape": self.config.clip,
                "max_text_tokens": section.max_text_tokens,
                "mask_padding": isinstance(section, BoraSection),
            }
        return {
            name: Encoding(clips=clips, split=split, **own, **dict(section.encoding), **self.common)
            for name, split in (("encoding", "train"), ("held_out", "val"))
        }
