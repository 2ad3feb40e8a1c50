"""What every generator's training reads: weights to start from, and encoded clips."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from benchmarks.plan.data import PROJECT_ROOT, DataPlan
from benchmarks.sections import BoraSection, EndoraSection, OphoraSection
from core.stage import ClipSource
from generator.base import BeforehandTraining, ClipShape, Weights, weights_named
from generator.encoding import Encoding
from generator.opening import COGVIDEOX, ENDORA, STDIT, Wanted

# What must be in the folder that a field names.
WANTED = {
    "ophora.base": Wanted(COGVIDEOX),
    "ophora.weights": Wanted(COGVIDEOX),
    "ophora.tpt_weights": Wanted(COGVIDEOX, whole=False),
    "ophora.ophvl_weights": Wanted(COGVIDEOX, whole=False),
    "bora.weights": Wanted(STDIT),
    "bora.start": Wanted(STDIT, whole=False),
    "endora.base": Wanted(ENDORA),
    "endora.weights": Wanted(ENDORA),
    "endora.start": Wanted(ENDORA, whole=False),
}

GeneratorSection = OphoraSection | BoraSection | EndoraSection


@dataclass(frozen=True)
class EncodingPlan(DataPlan):
    """Weights by name, and clips as latents and text embeddings."""

    def weights_at(self, field: str) -> Weights:
        """The weights, a folder or a hub id, that the configuration names in a field, such as
        "ophora.base".  Raises: UserError: if a folder does not hold what the field is for."""
        name = attrgetter(field)(self.config)
        wanted = WANTED.get(field)
        released = self.config.bora.autoencoder is not None and self.config.bora.text is not None
        if field == "bora.base" and not released:  # `ReleasedBora` looks at a released one
            wanted = Wanted(STDIT)
        return weights_named(name, field=field, root=PROJECT_ROOT, wanted=wanted, **self.common)

    def start_of(self, base: Weights, field: str) -> Weights:
        """`base`; where `field` names weights, its parts with their transformer, which was
        trained from it beforehand."""
        if attrgetter(field)(self.config) is None:
            return base
        return BeforehandTraining(base=base, transformer=self.weights_at(field), **self.common)

    def shape_of(self, section: GeneratorSection) -> ClipShape:
        """Of the clips that a generator makes: its own, or those of the run."""
        own = None if isinstance(section, OphoraSection) else section.clip
        return own or self.config.clip

    def encoded(
        self, clips: ClipSource, section: GeneratorSection, parts: Weights
    ) -> dict[str, Encoding]:
        """The clips that a training learns from and the held-out ones, encoded with `parts`."""
        own: dict[str, Any] = {"parts": parts, "shape": self.shape_of(section)}
        if isinstance(section, EndoraSection):
            own["max_text_tokens"] = 0
        else:
            own["max_text_tokens"] = section.max_text_tokens
            own["mask_padding"] = isinstance(section, BoraSection)
        return {
            name: Encoding(clips=clips, split=split, **own, **dict(section.encoding), **self.common)
            for name, split in (("encoding", "train"), ("held_out", "val"))
        }
