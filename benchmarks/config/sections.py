"""Parts of a configuration that several configurations are made of: corpora and curation.

`benchmarks/config/schema.py` and `benchmarks/pretraining/config.py` put them together.
"""

from __future__ import annotations

import pydantic

from benchmarks.datasets.ophvl_sim.writer import CorpusMix
from generator.curation.dynamics import DynamicsSettings
from generator.curation.privacy import OcrPrivacy, PrivacySettings
from generator.curation.refine import RefineSettings, RulesRefine
from generator.curation.resolution import ResolutionSettings
from generator.sections import Section


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
