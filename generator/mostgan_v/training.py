"""MoStGAN-V's stages."""

from __future__ import annotations

from typing import ClassVar

from generator.mostgan_v.network import MoStGANVGenerator, MoStNetworkSettings
from generator.video_gan.networks import ClipGenerator, VideoDiscriminator
from generator.video_gan.training import GANTraining, GivenGAN


class MoStGANVTraining(GANTraining):
    """The training from nothing; its discriminator sees what changes between frames too."""

    label = "MoStGAN-V"
    makes: ClassVar[type[ClipGenerator]] = MoStGANVGenerator

    network: MoStNetworkSettings

    def discriminator(self) -> VideoDiscriminator:
        sizes = self.network
        return VideoDiscriminator(
            self.shape,
            self.gan.frames,
            sizes.channel_base,
            sizes.channel_limit,
            differences=True,
        )


class GivenMoStGANV(GivenGAN):
    """A trained one that the user names."""

    makes: ClassVar[type[ClipGenerator]] = MoStGANVGenerator
