"""Ophora and what it is made from: CogVideoX -> TPT on the curated clips -> P2FT on those without
text."""

from __future__ import annotations

from typing import Any

import pydantic

from core.stage import ClipStage
from generator.base import Generator, Weights
from generator.encoding import Encoding
from generator.family import Family, Materials, Size, TableRow, encoded, going_on, shape_of
from generator.opening import COGVIDEOX, Wanted
from generator.ophora.adapters import AdaptedWeights
from generator.ophora.faster import check_installed
from generator.ophora.training import GivenOphora, OphoraTraining
from generator.sections import DiffusionTrainingSection, GeneratorSection

COGVIDEOX_2B = Size(1_693_783_872, 30, 30, 1920, 226, (4, 16, 16), 16, (4, 8, 8))


class OphoraSection(GeneratorSection):
    """Ophora in the configuration."""

    base: str
    """Folder of the base text-to-video pipeline (or a hub id, "org/name")."""
    lora: str | None = None
    """Adapters that make Ophora of `weights` or, without those, of `base`: a folder or hub id with
    the file that diffusers' `save_lora_weights` writes; nothing is trained then."""
    tpt_weights: str | None = None
    """A folder whose `transformer/` was transfer pre-trained from `base` beforehand; null trains it
    now, as `tpt` says."""
    ophvl_weights: str | None = None
    """The same on the uncurated clips, for the row "CogVideoX-2b (w/ OphVL)" of Table 1."""
    max_text_tokens: int = pydantic.Field(default=226, ge=1)
    """Of an instruction; what is longer is cut."""
    ophvl_text_tokens: int | None = pydantic.Field(default=None, ge=1)
    """Of uncurated captions, which are longer than instructions; null: as `max_text_tokens`."""
    tpt: DiffusionTrainingSection
    """Transfer pre-training, on all curated clips."""
    p2ft: DiffusionTrainingSection
    """Privacy-preserving fine-tuning, on those without text."""
    gradient_checkpointing: bool = False
    """Computes activations again in the backward pass: less memory, more time."""
    lora_rank: int | None = pydantic.Field(default=None, ge=1)
    """Low-rank updates instead of all weights; see `OphoraTraining`."""


class Ophora(Family[OphoraSection]):
    """Ophora, its two stages and the base model."""

    name = "ophora"
    label = "Ophora"
    about = "plus clips of Ophora (transfer pre-training, then privacy-preserving fine-tuning)"
    section = OphoraSection
    stages = (OphoraTraining, GivenOphora)
    size = COGVIDEOX_2B

    def rows(self, section: OphoraSection) -> dict[str, TableRow]:
        return {
            "cogvideox": TableRow("CogVideoX-2b", None),
            "cogvideox_ophvl": TableRow("CogVideoX-2b (w/ OphVL)", "OphVL"),
            "ophora_tpt": TableRow("Ophora (TPT-only)", "Ophora-160K"),
            "ophora": TableRow("Ophora", "Ophora-160K"),
        }

    def beside(self, model: str, section: OphoraSection) -> tuple[str, ...]:
        trained = section.weights is None and section.lora is None
        return ("ophora_tpt",) if model == "ophora" and trained else ()

    def build(self, model: str, section: OphoraSection, materials: Materials) -> Generator:
        check_installed(section.sampling.faster)
        builders = {
            "cogvideox": self.base,
            "cogvideox_ophvl": self._on_ophvl,
            "ophora_tpt": self._transferred,
            "ophora": self._fine_tuned,
        }
        return builders[model](section, materials)

    def base(self, section: OphoraSection, materials: Materials) -> Generator:
        """CogVideoX as it is."""
        return self._given(_base(section, materials), section, materials)

    def _on_ophvl(self, section: OphoraSection, materials: Materials) -> Generator:
        """The base model trained as TPT is, on the clips as they were found."""
        start, field = _base(section, materials), "ophora.ophvl_weights"
        if section.ophvl_weights is not None:
            weights = going_on(start, section.ophvl_weights, field, materials, COGVIDEOX)
            return self._given(weights, section, materials)
        tokens = section.ophvl_text_tokens
        clips = _read(materials.uncurated, section, materials, tokens)
        return self._train("OphVL", start, clips, section.tpt, section, materials, tokens)

    def _transferred(self, section: OphoraSection, materials: Materials) -> Generator:
        """Transfer pre-trained on the curated clips."""
        start, field = _base(section, materials), "ophora.tpt_weights"
        if section.tpt_weights is not None:
            weights = going_on(start, section.tpt_weights, field, materials, COGVIDEOX)
            return self._given(weights, section, materials)
        clips = _read(materials.curated, section, materials)
        return self._train("TPT", start, clips, section.tpt, section, materials)

    def _fine_tuned(self, section: OphoraSection, materials: Materials) -> Generator:
        """Fine-tuned on the clips without text."""
        if section.weights is not None or section.lora is not None:
            return self._given(_ready_made(section, materials), section, materials)
        start = self._transferred(section, materials)
        clips = _read(materials.clean, section, materials)
        return self._train("P2FT", start, clips, section.p2ft, section, materials)

    def build_on_labelled(
        self,
        section: OphoraSection,
        materials: Materials,
        clips: ClipStage,
        steps: int | None = None,
    ) -> Generator:
        check_installed(section.sampling.faster)
        read = _read(clips, section, materials)
        training, start = section.tpt.lasting(steps), _base(section, materials)
        alone = {"encoding": read["encoding"]}
        return self._train("labelled", start, alone, training, section, materials)

    def _train(
        self,
        name: Any,
        start: Weights,
        clips: dict[str, Encoding],
        training: DiffusionTrainingSection,
        section: OphoraSection,
        materials: Materials,
        max_text_tokens: int | None = None,
    ) -> OphoraTraining:
        return OphoraTraining(
            name=name,
            init=start,
            **clips,
            **dict(training),
            gradient_checkpointing=section.gradient_checkpointing,
            lora_rank=section.lora_rank,
            max_text_tokens=max_text_tokens,
            preview=section.preview,
            **materials.common,
        )

    def _given(self, given: Weights, section: OphoraSection, materials: Materials) -> Generator:
        return GivenOphora(given=given, shape=shape_of(section, materials), **materials.common)


def _ready_made(section: OphoraSection, materials: Materials) -> Weights:
    """Ophora that is not trained here: whole, or adapters on a whole one."""
    if section.weights is None:
        whole = _base(section, materials)
    else:
        whole = materials.weights(section.weights, "ophora.weights", Wanted(COGVIDEOX))
    if section.lora is None:
        return whole
    wanted = Wanted(COGVIDEOX, adapter=True)
    adapter = materials.weights(section.lora, "ophora.lora", wanted)
    return AdaptedWeights(base=whole, adapter=adapter, **materials.common)


def _base(section: OphoraSection, materials: Materials) -> Weights:
    return materials.weights(section.base, "ophora.base", Wanted(COGVIDEOX))


def _read(
    clips: ClipStage, section: OphoraSection, materials: Materials, tokens: int | None = None
) -> dict[str, Encoding]:
    tokens = tokens or section.max_text_tokens
    return encoded(clips, section, _base(section, materials), materials, max_text_tokens=tokens)


FAMILY = Ophora()
