"""The stages behind the shipped weights (`benchmarks/commands/pretrain.py` is the command).

Natural-sim -------------------------------> video autoencoder, T5 -> Ophora's base model
Biomed-sim --------------------------------> image autoencoder -> Bora's, Endora's base models
Natural-sim, Biomed-sim -------------------> DINO, for Endora's prior
OphVL-sim (a large corpus), curated -------> the base models, trained on
OphVL-sim, OphSim (cases of their own) ----> autoencoders, T5, the metrics' encoders
"""

from __future__ import annotations

from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from augment.prompts import PromptBook
from benchmarks.datasets.ophvl_sim.narration import load_descriptions
from benchmarks.datasets.taxonomy import NUM_CLASSES
from benchmarks.metrics.encoders import VideoEncoderTraining
from benchmarks.metrics.ophclip import OphClipTraining
from benchmarks.plan.data import PROJECT_ROOT
from benchmarks.pretraining.config import (
    AutoencoderSection,
    BoraBaseSection,
    EndoraTrainingSection,
    OphoraBaseSection,
    PretrainConfig,
    TrainingSection,
)
from benchmarks.pretraining.corpora import Corpora
from core.clip import Split
from core.frame_cache import FrameCache
from core.stage import ClipStage
from generator.backbone.autoencoder import AutoencoderTraining
from generator.backbone.text import TextEncoderTraining
from generator.base import BeforehandTraining, Weights, weights_named
from generator.bora.pipeline import BoraAssembly
from generator.bora.training import BoraTraining
from generator.curation.narrated import Uncurated
from generator.encoding import Encoding
from generator.endora.dino import DinoTraining
from generator.endora.pipeline import EndoraAssembly
from generator.endora.training import EndoraTraining
from generator.ophora.pipeline import OphoraAssembly
from generator.ophora.training import OphoraTraining

T = TypeVar("T", OphoraTraining, BoraTraining, EndoraTraining)


class Pretraining:
    """The stages behind the shipped weights."""

    def __init__(self, config: PretrainConfig, cache: Path) -> None:
        self.config = config
        self.common: dict[str, Any] = {"infra": {"folder": str(cache)}, "runtime": config.runtime}
        self.corpora = Corpora(config, self.common)

    def _autoencoder(self, section: AutoencoderSection, others: ClipStage) -> AutoencoderTraining:
        # Surgical clips count twice: it is their instruments that the latents must keep.
        return AutoencoderTraining(
            clips=(others, self.corpora.surgical, self.corpora.surgical),
            shape=self.config.clip,
            settings=section.settings,
            optimisation=section.optimisation,
            init=None if section.start is None else self._autoencoder(section.start, others),
            **self.common,
        )

    @cached_property
    def video_autoencoder(self) -> Weights:
        section = self.config.video_autoencoder
        if section.given is not None:
            return self._given("video_autoencoder.given")
        return self._autoencoder(section, self.corpora.natural)

    @cached_property
    def image_autoencoder(self) -> Weights:
        section = self.config.image_autoencoder
        if section.given is not None:
            return self._given("image_autoencoder.given")
        return self._autoencoder(section, self.corpora.biomed)

    @cached_property
    def text(self) -> Weights:
        """T5; wordings of each operation, no prompts, stand for what a large one knows."""
        section, prompts = self.config.text, PromptBook.load().operations.values()
        if section.given is not None:
            return self._given("text.given")
        return TextEncoderTraining(
            clips=(self.corpora.natural, self.corpora.biomed, self.corpora.surgical),
            paraphrases=tuple(load_descriptions().values()),
            extra_words=tuple(prompt for group in prompts for prompt in group),
            init=self._given("text.start") if section.start else None,
            settings=section.settings,
            optimisation=section.optimisation,
            **self.common,
        )

    @cached_property
    def ophora_assembly(self) -> OphoraAssembly:
        return OphoraAssembly(
            autoencoder=self.video_autoencoder,
            text=self.text,
            shape=self.config.clip,
            transformer=self.config.ophora_base.transformer,
            **self.common,
        )

    @cached_property
    def ophora_base(self) -> Weights:
        section = self.config.ophora_base
        if section.given is not None:
            return self._given("ophora_base.given")
        start = self._begun(self.ophora_assembly, "ophora_base")
        encoding = self._encoding(self.corpora.natural, section, self.ophora_assembly)
        return self._after_earlier(OphoraTraining, "base", start, section, encoding=encoding)

    @cached_property
    def ophora_tpt(self) -> OphoraTraining:
        section, base = self.config.ophora_tpt, self.config.ophora_base
        parts = self.ophora_assembly if base.given is None else self.ophora_base
        encodings = self._surgical_encodings(base, parts)
        start = self._begun(parts, "ophora_tpt") if section.start else self.ophora_base
        return self._after_earlier(OphoraTraining, "TPT", start, section, **encodings)

    @cached_property
    def cogvideox_ophvl(self) -> OphoraTraining:
        """Trained as TPT is, on the clips and captions before curation."""
        section, base = self.config.ophora_tpt, self.config.ophora_base
        parts = self.ophora_assembly if base.given is None else self.ophora_base
        clips = Uncurated(
            narrated=self.corpora.curated(self.config.transfer).narrated, **self.common
        )
        tokens = {"max_text_tokens": self.config.cogvideox_ophvl.max_text_tokens}
        longer = base.model_copy(update={"transformer": base.transformer.model_copy(update=tokens)})
        encodings = self._both_splits(clips, longer, parts)
        start = self._begun(self.ophora_base, "cogvideox_ophvl")
        return self._after_earlier(OphoraTraining, "OphVL", start, section, **encodings, **tokens)

    @cached_property
    def bora_assembly(self) -> BoraAssembly:
        return BoraAssembly(
            autoencoder=self.image_autoencoder,
            text=self.text,
            shape=self.config.clip,
            transformer=self.config.bora_base.transformer,
            **self.common,
        )

    @cached_property
    def bora_base(self) -> Weights:
        section = self.config.bora_base
        if section.given is not None:
            return self._given("bora_base.given")
        start = self._begun(self.bora_assembly, "bora_base")
        encoding = self._encoding(self.corpora.biomed, section, self.bora_assembly)
        return self._after_earlier(BoraTraining, "base", start, section, encoding=encoding)

    @cached_property
    def bora_tuned(self) -> BoraTraining:
        section, base = self.config.bora_tuned, self.config.bora_base
        parts = self.bora_assembly if base.given is None else self.bora_base
        encodings = self._surgical_encodings(base, parts)
        start = self._begun(parts, "bora_tuned") if section.start else self.bora_base
        return self._after_earlier(BoraTraining, "fine-tuned", start, section, **encodings)

    @cached_property
    def dino_nano(self) -> Weights:
        """What nano Endora's prior looks through; it has seen no eye."""
        section = self.config.dino_nano
        if section.given is not None:
            return self._given("dino_nano.given")
        return DinoTraining(
            clips=(self.corpora.natural, self.corpora.biomed),
            shape=self.config.clip,
            settings=section.settings,
            optimisation=section.optimisation,
            **self.common,
        )

    @cached_property
    def endora_assembly(self) -> EndoraAssembly:
        return EndoraAssembly(
            autoencoder=self.image_autoencoder,
            shape=self.config.clip,
            transformer=self.config.endora_base.transformer,
            **self.common,
        )

    @cached_property
    def endora_base(self) -> Weights:
        """Trained on the clips of Bora's base model, encoded once for both."""
        section, corpus = self.config.endora_base, self.corpora.biomed
        if section.given is not None:
            return self._given("endora_base.given")
        init = self._begun(self.endora_assembly, "endora_base")
        encoding = self._encoding(corpus, self.config.bora_base, self.bora_assembly)
        parts = {"name": "base", "init": init, "encoding": encoding, **self._settings(section)}
        return EndoraTraining(**parts, **self._prior(section, corpus))

    @cached_property
    def endora_tuned(self) -> EndoraTraining:
        section, base = self.config.endora_tuned, self.config.bora_base
        parts = self.bora_assembly if base.given is None else self.bora_base
        return self._after_earlier(
            EndoraTraining,
            "fine-tuned",
            self._begun(self.endora_base, "endora_tuned"),
            section,
            **self._surgical_encodings(base, parts),
            **self._prior(section, self.corpora.curated(self.config.transfer)),
        )

    def _prior(self, section: EndoraTrainingSection, clips: ClipStage) -> dict[str, Any]:
        if section.prior is None:
            return {}
        size = self.config.clip.model_dump()
        frames = FrameCache(clips=clips, **size, **self.common)
        return {"prior": section.prior, "dino": self.dino_nano, "frames": frames}

    def _given(self, field: str) -> Weights:
        name = attrgetter(field)(self.config)
        return weights_named(name, field=field, root=PROJECT_ROOT, **self.common)

    def _begun(self, base: Weights, training: str) -> Weights:
        """What a training starts with: `base`, or its parts with the transformer named."""
        if getattr(self.config, training).start is None:
            return base
        transformer = self._given(f"{training}.start")
        return BeforehandTraining(base=base, transformer=transformer, **self.common)

    def _surgical_encodings(
        self, base: OphoraBaseSection | BoraBaseSection, parts: Weights
    ) -> dict[str, Encoding]:
        """Clips of the large surgical corpus to train on and, of other videos, to measure with."""
        return self._both_splits(self.corpora.curated(self.config.transfer), base, parts)

    def _both_splits(
        self, clips: ClipStage, base: OphoraBaseSection | BoraBaseSection, parts: Weights
    ) -> dict[str, Encoding]:
        return {
            "encoding": self._encoding(clips, base, parts, "train"),
            "held_out": self._encoding(clips, base, parts, "val"),
        }

    def _encoding(
        self,
        clips: ClipStage,
        base: OphoraBaseSection | BoraBaseSection,
        parts: Weights,
        split: Split | None = None,
    ) -> Encoding:
        return Encoding(
            clips=clips,
            split=split,
            parts=parts,
            shape=self.config.clip,
            max_text_tokens=base.transformer.max_text_tokens,
            mask_padding=isinstance(base, BoraBaseSection),
            **dict(base.encoding),
            **self.common,
        )

    def _settings(self, section: TrainingSection) -> dict[str, Any]:
        names = set(TrainingSection.model_fields) - {"start", "earlier"}
        return {**{name: getattr(section, name) for name in names}, **self.common}

    def _after_earlier(
        self,
        kind: type[T],
        name: str,
        start: Weights,
        section: TrainingSection,
        **others: Any,
    ) -> T:
        """The section's training, after those on fewer frames if it names any.  Args: others:
        further fields of all."""
        settings: dict[str, Any] = {"name": name, **others, **self._settings(section)}
        for part in section.earlier:
            diffusion = section.diffusion.model_copy(update={"frames": part.frames})
            first = {"optimisation": part.optimisation, "diffusion": diffusion, "preview": None}
            start = kind(init=start, **settings | first)
        return kind(init=start, **settings)

    @cached_property
    def slowfast_nano(self) -> VideoEncoderTraining:
        """FVD's encoder: labelled OphSim cases of a seed of their own."""
        clips, optimisation = self.corpora.cases, self.config.slowfast_nano
        kept = {"task": "operation", "num_classes": NUM_CLASSES["operation"], **self.common}
        return VideoEncoderTraining(clips=clips, optimisation=optimisation, **kept)

    @cached_property
    def ophclip_nano(self) -> OphClipTraining:
        """FID's and CLIPScore's encoder, on instructions of the surgical corpus."""
        clips = self.corpora.curated(self.config.encoder_corpus)
        optimisation = self.config.ophclip_nano
        return OphClipTraining(clips=clips, optimisation=optimisation, **self.common)
