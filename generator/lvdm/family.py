"""LVDM: trained from nothing on the curated clips, without captions."""

from __future__ import annotations

from dataclasses import dataclass

import pydantic

from generator.base import ClipShape, Generator
from generator.family import Materials, Size, TableRow, Unconditional, encoded, shape_of
from generator.lvdm.pipeline import LVDMAssembly, UNetSettings
from generator.lvdm.training import GivenLVDM, LVDMTraining
from generator.sections import DiffusionTrainingSection, GeneratorSection, sampled_plainly

PUBLISHED_CLIP = ClipShape(num_frames=16, width=128, height=128)  # Endora's comparison


@dataclass(frozen=True)
class UNetSize(Size):
    """A U-Net: most of its parameters see a coarse grid, so operations are counted, not estimated.

    flops: of one forward pass over PUBLISHED_CLIP; clips of another size in proportion.
    """

    flops: float = 0.0

    def forward_flops(self, shape: ClipShape) -> float:
        """See `Size`."""
        return self.flops * _pixels(shape) / _pixels(PUBLISHED_CLIP)


def _pixels(shape: ClipShape) -> int:
    return shape.num_frames * shape.height * shape.width


# `layers`: those of full width that hold as many activations as all levels together, a coarser
# level's counting half, 3/16 and 1/16 of the finest's.
LVDM_SHORT = UNetSize(1_213_201_412, 36, 0, 256, 0, (1, 8, 8), flops=771_361_996_800)


class LVDMSection(GeneratorSection):
    """LVDM in the configuration."""

    autoencoder: str
    """Folder or hub id of the VAE whose latents it makes: of single frames or of clips."""
    unet: UNetSettings = UNetSettings()
    """Sizes of the denoiser."""
    training: DiffusionTrainingSection
    """From nothing, on the curated clips."""

    _plain_sampling = pydantic.field_validator("sampling")(sampled_plainly)


class LVDM(Unconditional[LVDMSection]):
    """LVDM, which makes clips of nothing in particular."""

    name = "lvdm"
    label = "LVDM"
    about = "plus clips of LVDM, without labels; a row of Table 1"
    section = LVDMSection
    stages = (LVDMTraining, GivenLVDM)
    size = LVDM_SHORT

    def rows(self, section: LVDMSection) -> dict[str, TableRow]:
        return {"lvdm": TableRow("LVDM", "Ophora-160K")}

    def build(self, model: str, section: LVDMSection, materials: Materials) -> Generator:
        shape, common = shape_of(section, materials), materials.common
        if section.weights is not None:
            given = materials.weights(section.weights, "lvdm.weights")
            return GivenLVDM(given=given, shape=shape, **common)
        base = LVDMAssembly(
            autoencoder=materials.weights(section.autoencoder, "lvdm.autoencoder"),
            shape=shape,
            unet=section.unet,
            **common,
        )
        return LVDMTraining(
            init=base,
            **encoded(materials.curated, section, base, materials, max_text_tokens=0),
            **dict(section.training),
            preview=section.preview,
            **common,
        )


FAMILY = LVDM()
