"""Sections of a configuration: data, curation, classifiers, Table 1, a sweep.

`benchmarks/config/schema.py` and `benchmarks/pretraining/config.py` put them together.
"""

from __future__ import annotations

import pydantic

from benchmarks.datasets.ophsim.appearance import NUISANCE
from benchmarks.datasets.ophvl_sim.writer import CorpusMix
from benchmarks.datasets.taxonomy import NUM_CLASSES
from benchmarks.metrics.frames import FrameProtocol
from benchmarks.metrics.torchscript_encoders import VideoProtocol
from classifiers.networks import Network
from classifiers.recipe import Recipe
from generator.curation.dynamics import DynamicsSettings
from generator.curation.privacy import OcrPrivacy, PrivacySettings
from generator.curation.refine import RefineSettings, RulesRefine
from generator.curation.resolution import ResolutionSettings
from generator.sections import Section


class OphSimSection(Section):
    """The embedded labelled data set, used when no --data-root is given."""

    seed: int = pydantic.Field(default=1, ge=0)
    train_cases: int = pydantic.Field(default=24, ge=1)
    val_cases: int = pydantic.Field(default=30, ge=1)
    test_cases: int = pydantic.Field(default=60, ge=1)
    train_clips: int = pydantic.Field(default=900, ge=NUM_CLASSES["phase"])
    val_clips: int = pydantic.Field(default=1000, ge=NUM_CLASSES["phase"])
    test_clips: int = pydantic.Field(default=2000, ge=NUM_CLASSES["phase"])
    minimum: int = pydantic.Field(default=2, ge=1)
    nuisance: float = pydantic.Field(default=NUISANCE, ge=0, le=1)


class CorpusSection(Section):
    """The embedded narrated corpus, used when no --corpus-root is given."""

    seed: int = pydantic.Field(ge=0)
    num_clips: int = pydantic.Field(ge=8)
    mix: CorpusMix = CorpusMix()


class CurationSection(Section):
    """The four filters. Paper: at least 720x480, 2 to 100 keyframes, language models."""

    refine: RefineSettings = RulesRefine()
    dynamics: DynamicsSettings = DynamicsSettings()
    resolution: ResolutionSettings = ResolutionSettings()
    privacy: PrivacySettings = OcrPrivacy()


class ClassifierSection(Section):
    """A network and the recipe that trains it in every arm.

    weights: checkpoint of the published network, by path; null starts from random weights.
    """

    network: Network
    recipe: Recipe
    weights: str | None = None


class QualitySection(Section):
    """Table 1: held-out captioned clips, their number, and the encoders.

    rows: the generators that are compared; null: those that the sources need.
    video_encoder: folder of a metric encoder, or I3D as a torchscript file (.pt), called as
    video_protocol says. image_text_encoder: folder of OphCLIP, or of a `transformers` CLIP.
    image_encoder: Inception-V3 as a torchscript file, for FID and KID; null takes the image
    features of image_text_encoder.
    """

    rows: tuple[str, ...] | None = None
    corpus: CorpusSection
    num_clips: int = pydantic.Field(default=256, ge=2)
    protocol: FrameProtocol = FrameProtocol()
    video_encoder: str
    video_protocol: VideoProtocol = "stylegan_v"
    image_text_encoder: str
    image_encoder: str | None = None


class VarySection(Section):
    """The run is made at several values of one field, and one table and figure show them."""

    field: str = pydantic.Field(pattern=r"^\w+(\.\w+)*$")
    values: tuple[float, ...] = pydantic.Field(min_length=2)
