"""The clips that the shipped weights are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.config.sections import CorpusSection
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import BiomedSim, NaturalSim, OphSim, OphVLSim
from benchmarks.pretraining.config import PretrainConfig
from generator.curation.stages import Curation


@dataclass(frozen=True)
class Corpora:
    """Simulated clips: natural, biomedical, surgical. common: machinery of every stage."""

    config: PretrainConfig
    common: dict[str, Any]

    @cached_property
    def natural(self) -> NaturalSim:
        section = self.config.natural
        return NaturalSim(seed=section.seed, num_clips=section.num_clips, **self.common)

    @cached_property
    def biomed(self) -> BiomedSim:
        section = self.config.biomed
        return BiomedSim(seed=section.seed, num_clips=section.num_clips, **self.common)

    @cached_property
    def surgical(self) -> OphVLSim:
        section = self.config.surgical
        return OphVLSim(**dict(section), **self.common)

    def curated(self, corpus: CorpusSection) -> Curation:
        """Clips of cases of their own with captions as the benchmark's generators read them."""
        section = self.config.curation
        return Curation(
            narrated=OphVLSim(**dict(corpus), **self.common),
            refine=section.refine,
            dynamics=section.dynamics,
            resolution=section.resolution,
            **self.common,
        )

    @cached_property
    def cases(self) -> OphNet:
        """Labelled OphSim cases of a seed of their own."""
        simulator = OphSim(**self.config.encoder_cases, **self.common)
        return OphNet(task="operation", name="OphSim", written_by=simulator, **self.common)
