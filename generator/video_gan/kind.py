"""What the families of video GANs are: trained from nothing on the pixels of the curated clips."""

from __future__ import annotations

from typing import ClassVar

from core.frame_cache import FrameCache
from generator.base import Generator
from generator.family import Materials, TableRow, Unconditional, shape_of
from generator.video_gan.settings import GANSection
from generator.video_gan.training import GANTraining, GivenGAN


class VideoGAN(Unconditional[GANSection]):
    """training, given: its stages."""

    training: ClassVar[type[GANTraining]]
    given: ClassVar[type[GivenGAN]]

    def rows(self, section: GANSection) -> dict[str, TableRow]:
        return {self.name: TableRow(self.label, "Ophora-160K")}

    def build(self, model: str, section: GANSection, materials: Materials) -> Generator:
        shape, common = shape_of(section, materials), materials.common
        if section.weights is not None:
            given = materials.weights(section.weights, f"{self.name}.weights")
            return self.given(given=given, shape=shape, **common)
        return self.training(
            frames=FrameCache(clips=materials.curated, **shape.model_dump(), **common),
            network=section.network,
            **dict(section.training),
            preview=section.preview,
            **common,
        )
