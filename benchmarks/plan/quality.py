"""Generation quality: clips for held-out captions, compared with the real ones (Table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.datasets.footage import Footage
from benchmarks.metrics.clip_features import QualitySettings
from benchmarks.metrics.encoders import EncoderFolder, MetricEncoder
from benchmarks.metrics.quality import GenerationQuality
from benchmarks.metrics.torchscript_encoders import (
    SCRIPT_SUFFIX,
    ScriptProtocol,
    TorchScriptEncoder,
)
from benchmarks.metrics.transformers_clip import HubClip
from benchmarks.plan.data import Data, locate
from benchmarks.plan.generators import Generators
from benchmarks.plan.pipelines import HUB, hub_weights
from core.errors import UserError
from core.files import UNKNOWN
from core.stage import ClipStage
from generator.families import GENERATORS
from generator.family import TableRow


@dataclass(frozen=True)
class Encoders:
    """The metrics' encoders."""

    data: Data

    @cached_property
    def all(self) -> dict[str, MetricEncoder]:
        """By their fields in `GenerationQuality`; those that are missing are noted as such."""
        section = self.data.config.quality
        found: dict[str, MetricEncoder] = {
            "video_encoder": self._video(self.data.missing),
            "image_text_encoder": self.image_text,
        }
        if section.image_encoder is not None:
            image = self._script(section.image_encoder, "inception_v3", self.data.missing)
            found["image_encoder"] = image
        return found

    @cached_property
    def image_text(self) -> MetricEncoder:
        """The encoder behind CLIPScore."""
        return self.image_text_of(self.data.config.quality.image_text_encoder)

    def image_text_of(self, name: str | None) -> MetricEncoder:
        """A folder's, or a hub's as hub:ORG/NAME; None: the one behind CLIPScore.

        Raises: UserError: if the hub's is no CLIP, or is not named so.
        """
        if name is None:
            return self.image_text
        if name.startswith(HUB):
            weights = hub_weights(name, f"encoder {name}", self.data)
            return HubClip(given=weights, **self.data.common).check()
        return self._folder(name, self.data.missing)

    @cached_property
    def video(self) -> MetricEncoder | None:
        """The encoder behind FVD; None where it is not there.

        For what a run can do without, unlike Table 1, which is refused then (see `all`).
        """
        missing: list[str] = []
        encoder = self._video(missing)
        return None if missing else encoder

    def _video(self, missing: list[str]) -> MetricEncoder:
        section = self.data.config.quality
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
        return EncoderFolder(**found, **self.data.common)

    def _script(
        self, name: str, protocol: ScriptProtocol, missing: list[str]
    ) -> TorchScriptEncoder:
        path = locate(name)
        try:
            found = TorchScriptEncoder.identify(path, protocol)
        except UserError as error:
            missing.append(str(error))
            found = {"path": path, "sha256": UNKNOWN, "protocol": protocol}
        return TorchScriptEncoder(**found, **self.data.common)


@dataclass(frozen=True)
class PlannedRow:
    """One row of Table 1."""

    model: str
    fine_tuned_on: str | None
    stage: GenerationQuality
    folder: str | None = None  # where the clips are given, its name


@dataclass(frozen=True)
class Quality:
    """Stages of Table 1."""

    data: Data
    generators: Generators
    encoders: Encoders

    @cached_property
    def rows(self) -> list[PlannedRow]:
        """For the generators in use and the folders given, which take their places; none where no
        clip is held out.

        Raises: UserError: if a folder is not what it should be, or holds fewer clips than compared.
        """
        if self.data.without_corpus:
            return []
        config = self.data.config
        folders, known = config.quality.folders, config.table_rows()
        chosen = tuple(known) if config.quality.rows is None else config.quality.rows
        found = []
        for name in GENERATORS:
            for model, row in self.generators.rows(name).items():
                if model in folders:
                    found.append(self._given(row.model, model))
                elif model in self.generators.models and model in chosen:
                    made = self.generators.clips_of_captions(name, model)
                    stage = self._compared(made, prompted=GENERATORS[name].reads_captions)
                    found.append(PlannedRow(*self._named(row), stage))
        return [*found, *(self._given(name, name) for name in folders if name not in known)]

    def _named(self, row: TableRow) -> tuple[str, str | None]:
        """A row's model and what it is fine-tuned on, where that is no narrated corpus by name."""
        footage = self.data.footage
        if footage is None or row.fine_tuned_on is None:
            return row.model, row.fine_tuned_on
        return row.model.replace(row.fine_tuned_on, footage.name), footage.name

    def _given(self, label: str, name: str) -> PlannedRow:
        """The row of a folder of clips."""
        section = self.data.config.quality
        path = Path(section.folders[name]).expanduser()
        if not path.is_dir():
            raise UserError(f"row {name}={path}: no such folder")
        clips = Footage.at(path, name=name, **self.data.hashing)
        if (count := len(clips.recordings().recordings)) < section.num_clips:
            raise UserError(
                f"row {name}={path}: {count} clips, but quality.num_clips is {section.num_clips}: "
                "give more, or set it to at most as many"
            )
        folder = path.resolve().name
        return PlannedRow(label, None, self._compared(clips, prompted=False), folder)

    def _compared(self, generated: ClipStage, *, prompted: bool) -> GenerationQuality:
        section, (real, split) = self.data.config.quality, self.data.held_out
        return GenerationQuality(
            real=real,
            real_split=split,
            with_text=self.data.held_out_with_text,
            generated=generated,
            **self.encoders.all,
            settings=QualitySettings(num_clips=section.num_clips, protocol=section.protocol),
            prompted=prompted,
            **self.data.common,
        )
