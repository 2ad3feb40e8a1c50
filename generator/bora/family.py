"""Bora: its base weights -> fine-tuned on the curated clips."""

from __future__ import annotations

from typing import Any

import pydantic

from core.stage import ClipStage
from generator.base import Generator, Weights
from generator.bora.given import ReleasedBora
from generator.bora.pipeline import STDiTSettings
from generator.bora.training import BoraTraining, GivenBora
from generator.encoding import Encoding
from generator.family import Family, Materials, Size, TableRow, encoded, going_on, shape_of
from generator.opening import STDIT, Wanted
from generator.sections import DiffusionTrainingSection, GeneratorSection, sampled_plainly

# STDiT attends within frames and along time, never over all tokens.
STDIT_XL_2 = Size(7.2e8, 28, 0, 1152, 0, (1, 16, 16))


class BoraSection(GeneratorSection):
    """Bora in the configuration."""

    base: str
    """Folder of Bora's own weights (or a hub id, "org/name")."""
    autoencoder: str | None = None
    """The VAE that the released weights were trained with; they need it and `text`."""
    text: str | None = None
    """A folder (or hub id) with `text_encoder` and `tokenizer`."""
    transformer: STDiTSettings = STDiTSettings()
    """Sizes of released weights' network."""
    start: str | None = None
    """A folder whose `transformer/` was fine-tuned from `base` beforehand, to go on from; null
    starts from `base`."""
    max_text_tokens: int = pydantic.Field(default=120, ge=1)
    """Of a caption; what is longer is cut."""
    fine_tuning: DiffusionTrainingSection
    """Its training on the curated clips."""
    guided_channels: int | None = 3
    """The released sampler guides the first 3 of 4 latent channels; null guides all."""

    _plain_sampling = pydantic.field_validator("sampling")(sampled_plainly)

    @pydantic.model_validator(mode="after")
    def _released_weights_have_their_parts(self) -> BoraSection:
        if (self.autoencoder is None) != (self.text is None):
            raise ValueError("autoencoder, text: released weights need both, others neither")
        return self


class Bora(Family[BoraSection]):
    """Bora, as it was released and fine-tuned."""

    name = "bora"
    label = "Bora"
    about = "plus clips of Bora, fine-tuned on Ophora-160K"
    section = BoraSection
    stages = (BoraTraining, GivenBora)
    size = STDIT_XL_2

    def rows(self, section: BoraSection) -> dict[str, TableRow]:
        return {
            "bora_base": TableRow("Bora", None),
            "bora": TableRow("Bora (w/ Ophora-160K)", "Ophora-160K"),
        }

    def build(self, model: str, section: BoraSection, materials: Materials) -> Generator:
        if model == "bora_base":
            return self._given(_base(section, materials), section, materials)
        if section.weights is not None:
            weights = materials.weights(section.weights, "bora.weights", Wanted(STDIT))
            return self._given(weights, section, materials)
        base = _base(section, materials)
        start = going_on(base, section.start, "bora.start", materials, STDIT)
        clips = _read(materials.curated, section, materials)
        return self._train("fine-tuned", start, clips, section.fine_tuning, section, materials)

    def build_on_labelled(
        self,
        section: BoraSection,
        materials: Materials,
        clips: ClipStage,
        steps: int | None = None,
    ) -> Generator:
        alone = {"encoding": _read(clips, section, materials)["encoding"]}
        training, start = section.fine_tuning.lasting(steps), _base(section, materials)
        return self._train("labelled", start, alone, training, section, materials)

    def _train(
        self,
        name: Any,
        start: Weights,
        clips: dict[str, Encoding],
        training: DiffusionTrainingSection,
        section: BoraSection,
        materials: Materials,
    ) -> BoraTraining:
        return BoraTraining(
            name=name,
            init=start,
            **clips,
            **dict(training),
            preview=section.preview,
            guided_channels=section.guided_channels,
            **materials.common,
        )

    def _given(self, given: Weights, section: BoraSection, materials: Materials) -> Generator:
        return GivenBora(
            given=given,
            shape=shape_of(section, materials),
            guided_channels=section.guided_channels,
            **materials.common,
        )


def _base(section: BoraSection, materials: Materials) -> Weights:
    if section.autoencoder is None or section.text is None:
        return materials.weights(section.base, "bora.base", Wanted(STDIT))
    return ReleasedBora(
        checkpoint=materials.weights(section.base, "bora.base"),
        autoencoder=materials.weights(section.autoencoder, "bora.autoencoder"),
        text=materials.weights(section.text, "bora.text"),
        shape=shape_of(section, materials),
        transformer=section.transformer,
        **materials.common,
    ).check()


def _read(clips: ClipStage, section: BoraSection, materials: Materials) -> dict[str, Encoding]:
    reading = {"max_text_tokens": section.max_text_tokens, "mask_padding": True}
    return encoded(clips, section, _base(section, materials), materials, **reading)


FAMILY = Bora()
