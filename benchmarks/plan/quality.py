"""Generation quality: clips for held-out captions, compared with the real ones (Table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from augment.synthesis import CaptionSynthesis
from benchmarks.config.schema import VARIANT
from benchmarks.metrics.clip_features import QualitySettings
from benchmarks.metrics.encoders import EncoderFolder, MetricEncoder
from benchmarks.metrics.quality import GenerationQuality
from benchmarks.metrics.torchscript_encoders import (
    SCRIPT_SUFFIX,
    ScriptProtocol,
    TorchScriptEncoder,
)
from benchmarks.plan.data import locate
from benchmarks.plan.generators import GeneratorPlan
from core.errors import UserError
from core.files import UNKNOWN
from core.stage import ClipSource

# Rows of Table 1, by the generator in the plan: model as the paper names it, its training data.
QUALITY_ROWS: dict[str, tuple[str, str | None]] = {
    "endora_base": ("Endora", None),
    "endora": ("Endora (w/ Ophora-160K)", "Ophora-160K"),
    "bora_base": ("Bora", None),
    "bora": ("Bora (w/ Ophora-160K)", "Ophora-160K"),
    "cogvideox": ("CogVideoX-2b", None),
    "cogvideox_ophvl": ("CogVideoX-2b (w/ OphVL)", "OphVL"),
    "ophora_tpt": ("Ophora (TPT-only)", "Ophora-160K"),
    "ophora": ("Ophora", "Ophora-160K"),
}


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
    def encoders(self) -> dict[str, MetricEncoder]:
        """The metrics' encoders."""
        section = self.config.quality
        found: dict[str, MetricEncoder] = {
            "video_encoder": self._video(self.missing),
            "image_text_encoder": self.image_text_encoder,
        }
        if section.image_encoder is not None:
            image = self._script(section.image_encoder, "inception_v3", self.missing)
            found["image_encoder"] = image
        return found

    @cached_property
    def image_text_encoder(self) -> MetricEncoder:
        """The encoder behind CLIPScore."""
        return self._folder(self.config.quality.image_text_encoder, self.missing)

    @cached_property
    def video_encoder(self) -> MetricEncoder | None:
        """The encoder behind FVD; None where it is not there.

        For what a run can do without, unlike Table 1, which is refused then (see `encoders`).
        """
        missing: list[str] = []
        encoder = self._video(missing)
        return None if missing else encoder

    @cached_property
    def qualities(self) -> list[QualityPlan]:
        """Rows of Table 1 for the generators in use; none where no caption is held out."""
        if self.without_corpus:
            return []
        section = self.config.quality
        clips, split = self.held_out
        rows = []
        titles = QUALITY_ROWS | {
            f"{VARIANT}{name}": (f"Endora, {name.replace('_', ' ')}", "Ophora-160K")
            for name in self.config.endora.variants
        }
        chosen = section.rows or tuple(QUALITY_ROWS)
        for name, (model, data) in titles.items():
            if name not in self.generators or name not in chosen:
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
            stage = self._quality(clips, generated, prompted=not name.startswith("endora"))
            rows.append(QualityPlan(model, data, stage))
        return rows

    def _quality(
        self, real: ClipSource, generated: ClipSource, *, prompted: bool
    ) -> GenerationQuality:
        section = self.config.quality
        settings = QualitySettings(num_clips=section.num_clips, protocol=section.protocol)
        return GenerationQuality(
            real=real,
            generated=generated,
            **self.encoders,
            settings=settings,
            prompted=prompted,
            **self.common,
        )

    def _video(self, missing: list[str]) -> MetricEncoder:
        section = self.config.quality
        if section.video_encoder.endswith(SCRIPT_SUFFIX):
            return self._script(section.video_encoder, section.video_protocol, missing)
        return self._folder(section.video_encoder, missing)

    def _folder(self, name: str, missing: list[str]) -> EncoderFolder:
        path = locate(name)
        try:
            found = EncoderFolder.identify(path)
        except UserError as error:
            missing.append(str(error))
            found = {"path": path, "sha256": UNKNOWN}
        return EncoderFolder(**found, **self.common)

    def _script(
        self, name: str, protocol: ScriptProtocol, missing: list[str]
    ) -> TorchScriptEncoder:
        path = locate(name)
        try:
            found = TorchScriptEncoder.identify(path, protocol)
        except UserError as error:
            missing.append(str(error))
            found = {"path": path, "sha256": UNKNOWN, "protocol": protocol}
        return TorchScriptEncoder(**found, **self.common)
