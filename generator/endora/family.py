"""Endora: its base weights -> fine-tuned on the curated clips -> on the labelled ones, by class;
and its variants, trained from nothing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pydantic

from core.errors import UserError
from core.files import sha256_of_file
from core.frame_cache import FrameCache
from core.stage import ClipStage
from generator.base import Generator, Weights
from generator.endora.given import (
    CHECKPOINT_SUFFIX,
    ClassCaptions,
    EndoraWithClasses,
    ReleasedEndora,
)
from generator.endora.pipeline import EndoraAssembly, EndoraSettings
from generator.endora.prior import PriorSettings
from generator.endora.training import EndoraTraining, GivenEndora
from generator.family import Family, Materials, Size, TableRow, encoded, going_on, shape_of
from generator.opening import ENDORA, Wanted
from generator.sections import (
    DiffusionTrainingSection,
    GeneratorSection,
    Section,
    sampled_plainly,
)

ENDORA_XL_2 = Size(673_681_568, 28, 0, 1152, 0, (1, 16, 16))
VARIANT = "endora/"  # begins the name of a variant's row
UNKNOWN = "0" * 64  # sha256 of a file that is not there; the plan is printed all the same


class EndoraVariant(Section):
    """Which of Endora's parts a training from nothing has; the paper's Table 3 takes them away.

    Source: Endora, Table 3; which part of its code a column stands for is our reading.
    """

    modified_diffusion: bool
    """Improved DDPM (learned variance) instead of DDPM."""
    spatiotemporal: bool
    """Every second block attends along time, with positions in time, instead of within frames."""
    prior: bool
    """DINO."""


class EndoraSection(GeneratorSection):
    """Endora in the configuration."""

    base: str
    """Folder of Endora's own weights (or a hub id), or the released checkpoint (.pt)."""
    autoencoder: str | None = None
    """Folder or hub id of the VAE that the checkpoint was trained with, which needs it."""
    start: str | None = None
    """A folder whose `transformer/` was fine-tuned from `base` beforehand, to go on from."""
    transformer: EndoraSettings | None = None
    """Sizes of the variants, which need it and `autoencoder`, and of a checkpoint's network; null:
    EnDora-XL/2."""
    variants: dict[str, EndoraVariant] = {}
    """Trained from nothing as `fine_tuning` says, rows "endora/NAME" of Table 1."""
    fine_tuning: DiffusionTrainingSection
    """Its training on the curated clips, without classes."""
    classes: DiffusionTrainingSection
    """From there on, with the run's labelled training clips: the Endora that makes clips of a
    class."""
    prior: PriorSettings | None = None
    """The DINO prior of both trainings."""
    dino: str | None = None
    """Folder of the frozen ViT that the prior looks through."""

    _plain_sampling = pydantic.field_validator("sampling")(sampled_plainly)

    @pydantic.model_validator(mode="after")
    def _prior_sees_through_a_vit(self) -> EndoraSection:
        if self.prior is not None and self.dino is None:
            raise ValueError(
                "prior: it needs a trained ViT: name its folder as `dino`, or set prior to null"
            )
        if self.variants and (self.autoencoder is None or self.transformer is None):
            raise ValueError("variants: name the VAE as `autoencoder`, the sizes as `transformer`")
        return self


class Endora(Family[EndoraSection]):
    """Endora, which reads no text: of a class it makes clips by the class's number."""

    name = "endora"
    label = "Endora"
    about = "plus clips of Endora, fine-tuned on Ophora-160K, then by class on labelled clips"
    section = EndoraSection
    stages = (EndoraTraining, GivenEndora)
    size = ENDORA_XL_2
    reads_captions = False
    by_class = True

    def rows(self, section: EndoraSection) -> dict[str, TableRow]:
        return {
            "endora_base": TableRow("Endora", None),
            "endora": TableRow("Endora (w/ Ophora-160K)", "Ophora-160K"),
            **{
                f"{VARIANT}{name}": TableRow(f"Endora, {name.replace('_', ' ')}", "Ophora-160K")
                for name in section.variants
            },
        }

    def build(self, model: str, section: EndoraSection, materials: Materials) -> Generator:
        if model.startswith(VARIANT):
            return self._variant(model.removeprefix(VARIANT), section, materials)
        if model == "endora_base":
            return self._given(_base(section, materials), section, materials)
        if section.weights is not None:
            weights = materials.weights(section.weights, "endora.weights", Wanted(ENDORA))
            return self._given(weights, section, materials)
        base = _base(section, materials)
        return EndoraTraining(
            name="fine-tuned",
            init=going_on(base, section.start, "endora.start", materials, ENDORA),
            **encoded(materials.curated, section, base, materials, max_text_tokens=0),
            **dict(section.fine_tuning),
            **_looking(materials.curated, section, materials),
            preview=section.preview,
            **materials.common,
        )

    def build_by_class(
        self,
        section: EndoraSection,
        materials: Materials,
        *,
        task: str,
        labelled: ClipStage,
        names: Sequence[str],
    ) -> Generator:
        """The one of Table 1, trained on the labelled clips."""
        common = materials.common
        unconditional = self.build(self.name, section, materials)
        start = EndoraWithClasses(base=unconditional, classes=tuple(names), **common)
        clips = ClassCaptions(clips=labelled, task=task, names=tuple(names), **common)
        read = encoded(clips, section, _base(section, materials), materials, max_text_tokens=0)
        return EndoraTraining(
            name="classes",
            init=start,
            encoding=read["encoding"],
            **dict(section.classes),
            **_looking(clips, section, materials),
            preview=section.preview,
            **common,
        )

    def _variant(self, name: str, section: EndoraSection, materials: Materials) -> Generator:
        """Endora with some of its parts, trained from nothing on the curated clips."""
        variant, sizes, vae = section.variants[name], section.transformer, section.autoencoder
        assert sizes is not None and vae is not None  # EndoraSection has seen to it

        def assembly(chosen: EndoraSettings) -> EndoraAssembly:
            return EndoraAssembly(
                autoencoder=materials.weights(vae, "endora.autoencoder"),
                shape=shape_of(section, materials),
                transformer=chosen,
                **materials.common,
            )

        parts = {
            "temporal": variant.spatiotemporal,
            "learned_variance": variant.modified_diffusion,
        }
        # One encoder for all variants: clips are encoded once.
        read = encoded(materials.curated, section, assembly(sizes), materials, max_text_tokens=0)
        looks = _looking(materials.curated, section, materials) if variant.prior else {}
        return EndoraTraining(
            name="base",
            init=assembly(sizes.model_copy(update=parts)),
            **read,
            **dict(section.fine_tuning),
            **looks,
            preview=section.preview,
            **materials.common,
        )

    def _given(self, given: Weights, section: EndoraSection, materials: Materials) -> Generator:
        return GivenEndora(given=given, shape=shape_of(section, materials), **materials.common)


def _looking(clips: ClipStage, section: EndoraSection, materials: Materials) -> dict[str, Any]:
    """The fields of a training with the prior; none without it."""
    if section.prior is None or section.dino is None:
        return {}
    size = shape_of(section, materials).model_dump()
    frames = FrameCache(clips=clips, **size, **materials.common)
    dino = materials.weights(section.dino, "endora.dino")
    return {"prior": section.prior, "dino": dino, "frames": frames}


def _base(section: EndoraSection, materials: Materials) -> Weights:
    if not section.base.endswith(CHECKPOINT_SUFFIX):
        return materials.weights(section.base, "endora.base", Wanted(ENDORA))
    if section.autoencoder is None:
        raise UserError(
            f"endora.base {section.base}: a checkpoint has no VAE: name it as "
            "endora.autoencoder (a folder or hub id)"
        )
    path = materials.locate(section.base)
    if not path.is_file():
        materials.missing.append(f"endora.base {section.base}: no such file")
    return ReleasedEndora(
        path=path,
        sha256=_sha256(path) if path.is_file() else UNKNOWN,
        autoencoder=materials.weights(section.autoencoder, "endora.autoencoder"),
        shape=shape_of(section, materials),
        transformer=section.transformer or EndoraSettings(),
        **materials.common,
    ).check()


_sha256 = functools.cache(sha256_of_file)  # gigabytes, and several models start from them


FAMILY = Endora()
