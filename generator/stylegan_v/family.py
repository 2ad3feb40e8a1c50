"""StyleGAN-V: trained from nothing on the curated clips, without captions."""

from __future__ import annotations

from generator.stylegan_v.training import GivenStyleGANV, StyleGANVTraining
from generator.video_gan.kind import VideoGAN
from generator.video_gan.settings import GANSection


class StyleGANVSection(GANSection):
    """StyleGAN-V in the configuration."""


class StyleGANV(VideoGAN):
    """StyleGAN-V, which makes clips of nothing in particular."""

    name = "stylegan_v"
    label = "StyleGAN-V"
    about = "plus clips of StyleGAN-V, without labels; a row of Table 1"
    section = StyleGANVSection
    training = StyleGANVTraining
    given = GivenStyleGANV
    stages = (StyleGANVTraining, GivenStyleGANV)


FAMILY = StyleGANV()
