"""MoStGAN-V: trained from nothing on the curated clips, without captions."""

from __future__ import annotations

from generator.mostgan_v.network import MoStNetworkSettings
from generator.mostgan_v.training import GivenMoStGANV, MoStGANVTraining
from generator.video_gan.kind import VideoGAN
from generator.video_gan.settings import GANSection


class MoStGANVSection(GANSection):
    """MoStGAN-V in the configuration."""

    network: MoStNetworkSettings = MoStNetworkSettings()


class MoStGANV(VideoGAN):
    """MoStGAN-V, which makes clips of nothing in particular."""

    name = "mostgan_v"
    label = "MoStGAN-V"
    about = "plus clips of MoStGAN-V, without labels; a row of Table 1"
    section = MoStGANVSection
    training = MoStGANVTraining
    given = GivenMoStGANV
    stages = (MoStGANVTraining, GivenMoStGANV)


FAMILY = MoStGANV()
