"""Sections of a configuration: data, curation, classifiers, Table 1, a sweep.

`benchmarks/config/schema.py` and `benchmarks/pretraining/config.py` put them together.
"""

from __future__ import annotations

from typing import Literal

import pydantic

from benchmarks.datasets.ophsim.appearance import NUISANCE
from benchmarks.datasets.ophvl_sim.writer import CorpusMix
from benchmarks.datasets.taxonomy import NUM_CLASSES
from benchmarks.metrics.frames import FrameProtocol
from benchmarks.metrics.torchscript_encoders import VideoProtocol
from classifiers.family import Mode
from classifiers.networks import Network
from classifiers.probe import Head
from classifiers.recipe import Recipe
from core.runtime import Precision
from generator.base import ClipShape
from generator.curation.dynamics import DynamicsSettings
from generator.curation.privacy import OcrPrivacy, PrivacySettings
from generator.curation.refine import RefineSettings, RulesRefine
from generator.curation.resolution import ResolutionSettings
from generator.sections import Section

Published = Literal["ophora", "endora"]


class OphSimSection(Section):
    """The embedded labelled data set, used when no --data-root is given."""

    seed: int = pydantic.Field(default=1, ge=0)
    """Other seeds draw other cases."""
    train_cases: int = pydantic.Field(default=24, ge=1)
    """Operated eyes, a video each, that clips of the train split are cut from."""
    val_cases: int = pydantic.Field(default=30, ge=1)
    """The same of the val split."""
    test_cases: int = pydantic.Field(default=60, ge=1)
    """The same of the test split."""
    train_clips: int = pydantic.Field(default=900, ge=NUM_CLASSES["phase"])
    """About so many clips of phases; their frequencies are OphNet's."""
    val_clips: int = pydantic.Field(default=1000, ge=NUM_CLASSES["phase"])
    """The same of the val split."""
    test_clips: int = pydantic.Field(default=2000, ge=NUM_CLASSES["phase"])
    """The same of the test split."""
    minimum: int = pydantic.Field(default=2, ge=1)
    """Clips that every class has in every split at least; with too few clips for 107 operations,
    every phase."""
    nuisance: float = pydantic.Field(default=NUISANCE, ge=0, le=1)
    """How much cases differ in eyes, instruments and microscope; 0: all look alike."""


class CorpusSection(Section):
    """The embedded narrated corpus, used when no --corpus-root is given."""

    seed: int = pydantic.Field(ge=0)
    """Other seeds draw other cases."""
    num_clips: int = pydantic.Field(ge=8)
    """Narrated clips before curation."""
    mix: CorpusMix = CorpusMix()
    """Shares of defects and burned-in text, sizes, lengths."""


class CurationSection(Section):
    """The four filters. Paper: at least 720x480, 2 to 100 keyframes, language models."""

    refine: RefineSettings = RulesRefine()
    """Makes an instruction of each narrated caption: by rules, or by a language model."""
    dynamics: DynamicsSettings = DynamicsSettings()
    """Drops clips that stand still or are full of cuts."""
    resolution: ResolutionSettings = ResolutionSettings()
    """Drops small clips."""
    privacy: PrivacySettings = OcrPrivacy()
    """Finds clips with burned-in text, which P2FT and Table 1 leave out: with OCR, or a
    vision-language model."""


class FootageSection(Section):
    """Clips without captions, cut of the videos or folders of frames of a --corpus-root that holds
    no clips.csv. Nothing curates them."""

    clip: ClipShape | None = None
    """Their frames and size, cropped to its shape around the middle; null: that of the run."""
    interval: int = pydantic.Field(default=3, ge=1)
    """From one frame of a clip to its next one, in frames of the recording. Endora's has 3."""
    stride: int | None = pydantic.Field(default=None, ge=1)
    """From the start of a clip to that of the next one, in frames of the recording; null: none
    overlap."""


class ClassifierSection(Section):
    """A network and the recipe that trains it in every arm."""

    network: Network
    """Its architecture; `kind` says which."""
    recipe: Recipe
    """Its hyperparameters, the same in all arms."""
    weights: str | None = None
    """Checkpoint of the published network, by path (of a video transformer a folder or hub id);
    null starts from random weights."""
    mode: Mode = "full"
    """"full" trains all of it; "probe" freezes it as `weights` have it and trains a head on
    features that are computed once."""
    head: Head = "linear"
    """Of a probe: "linear", on the network's own pooled features; "attentive", on its tokens."""


class PipelineSection(Section):
    """How the clips of a video pipeline of diffusers are drawn, where it is a source."""

    steps: int | None = pydantic.Field(default=None, ge=1, le=1000)
    """Denoising steps; null: the default of the pipeline's class."""
    guidance_scale: float | None = pydantic.Field(default=None, ge=1)
    """Classifier-free guidance, 1: none; null: the default of the pipeline's class."""
    clip: ClipShape | None = None
    """Of the clips that it makes; null: those of the run."""
    precision: Precision = "auto"
    """Type that the networks are loaded in."""
    offload: bool = False
    """Each network waits in the host's memory until it is used; needs a GPU."""


class QualitySection(Section):
    """Table 1: held-out captioned clips, their number, and the encoders."""

    rows: tuple[str, ...] | None = None
    """The generators that are compared; null: those that the sources need; none: no Table 1 but for
    `folders`."""
    beside: tuple[str, ...] = ()
    """Generators beside those that the sources need, where `rows` is null and all sources of the
    paper's Table 2 are in the run."""
    folders: dict[str, str] = {}
    """Folders of clips (videos, or folders of frames) by row: each takes the place of the generator
    whose row has that name, or is a row of its own."""
    published: Published = "ophora"
    """Whose numbers stand beside: Ophora's tables, or Endora's, which are by data set."""
    corpus: CorpusSection
    """The held-out clips, where they are simulated."""
    num_clips: int = pydantic.Field(default=256, ge=2)
    """Captions, each with its real clip and one of every generator."""
    protocol: FrameProtocol = FrameProtocol()
    """Frames and size that real and generated clips are compared at."""
    video_encoder: str
    """For distances between clips, FVD first: folder of a metric encoder, or I3D as a torchscript
    file (.pt)."""
    video_protocol: VideoProtocol = "stylegan_v"
    """How a torchscript I3D is called: as StyleGAN-V or as VideoGPT does it."""
    image_text_encoder: str
    """For CLIPScore: folder of OphCLIP, or of a `transformers` CLIP."""
    image_encoder: str | None = None
    """Inception-V3 as a torchscript file, for FID and KID; null takes the image features of
    `image_text_encoder`."""


class VarySection(Section):
    """The run is made at several values of one field, and one table and figure show them."""

    field: str = pydantic.Field(pattern=r"^\w+(\.\w+)*$")
    """Its dotted name, as for `--set`."""
    values: tuple[float, ...] = pydantic.Field(min_length=2)
    """The numbers that it takes in turn."""
