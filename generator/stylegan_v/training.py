"""StyleGAN-V's stages."""

from __future__ import annotations

from typing import ClassVar

from generator.stylegan_v.network import StyleGANVGenerator
from generator.video_gan.networks import ClipGenerator, VideoDiscriminator
from generator.video_gan.training import GANTraining, GivenGAN


class StyleGANVTraining(GANTraining):
    """The training from nothing."""

    label = "StyleGAN-V"
    makes: ClassVar[type[ClipGenerator]] = StyleGANVGenerator

    def discriminator(self) -> VideoDiscriminator:
        sizes = self.network
        return VideoDiscriminator(
            self.shape, self.gan.frames, sizes.channel_base, sizes.channel_limit
        )


class GivenStyleGANV(GivenGAN):
    """A trained one that the user names."""

    makes: ClassVar[type[ClipGenerator]] = StyleGANVGenerator
