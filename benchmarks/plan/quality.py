"""Generation quality: clips for held-out captions, compared with the real ones (Table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from augment.synthesis import CaptionSynthesis
from benchmarks.metrics.encoders import EncoderFolder
from benchmarks.metrics.quality import GenerationQuality, QualitySettings
from benchmarks.plan.data import PROJECT_ROOT
from benchmarks.plan.generators import GeneratorPlan
from core.errors import UserError
from core.stage import ClipSource

# Rows of Table 1: model as the paper names it, its training data, generator in the plan.
QUALITY_ROWS = (
    ("Bora (w/ Ophora-160K)", "Ophora-160K", "bora"),
    ("Ophora (TPT-only)", "Ophora-160K", "ophora_tpt"),
    ("Ophora", "Ophora-160K", "ophora"),
)


@dataclass(frozen=True)
class QualityPlan:
    """One row of Table 1."""

    model: str
    fine_tuned_on: str | None
    stage: GenerationQuality


@dataclass(frozen=True)
class QualityStages(GeneratorPlan):
    """Stages of Table 1."""

    @cached_property
    def encoders(self) -> dict[str, EncoderFolder]:
        """The metrics' encoders."""
        section = self.config.quality
        return {
            "video_encoder": self._encoder(section.video_encoder),
            "image_text_encoder": self._encoder(section.image_text_encoder),
        }

    @cached_property
    def qualities(self) -> list[QualityPlan]:
        """Rows of Table 1 for the generators in use; none where no caption is held out."""
        if self.inputs.data_root and not self.inputs.corpus_root:
            return []
        section = self.config.quality
        clips, split = self.held_out
        rows = []
        for model, data, name in QUALITY_ROWS:
            if name not in self.generators:
                continue
            generated = CaptionSynthesis(
                source=name,
                generator=self.generators[name],
                clips=clips,
                split=split,
                num_clips=section.num_clips,
                sampling=self.sampling_of(name),
                **self.common,
            )
            rows.append(QualityPlan(model, data, self._quality(clips, generated)))
        return rows

    def _quality(self, real: ClipSource, generated: ClipSource) -> GenerationQuality:
        section = self.config.quality
        settings = QualitySettings(num_clips=section.num_clips, protocol=section.protocol)
        return GenerationQuality(
            real=real,
            generated=generated,
            **self.encoders,
            settings=settings,
            **self.common,
        )

    def _encoder(self, name: str) -> EncoderFolder:
        path = next((p for p in (Path(name), PROJECT_ROOT / name) if p.is_dir()), Path(name))
        try:
            found = EncoderFolder.identify(path)
        except UserError as error:
            self.missing.append(str(error))
            found = {"path": path, "sha256": "0" * 64}
        return EncoderFolder(**found, **self.common)
