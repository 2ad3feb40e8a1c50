"""Pre-training of everything the nano scale loads: `python -m benchmarks.pretrain NAME ...`

    Natural-sim -------------------------------> video autoencoder, T5 -> Ophora's base model
    Biomed-sim --------------------------------> image autoencoder     -> Bora's base model
    OphVL-sim, OphSim (cases of their own) ----> autoencoders, T5, the metrics' encoders

Each network goes to `generator/weights/NAME` in fp16, with a card that says how it was made. Hours
on a laptop; resumable; nobody needs it to run the benchmark.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
from safetensors import safe_open
from safetensors.torch import save_file

from augment.prompts import PromptBook
from benchmarks.config import CorpusSection, CurationSection, EncodingSection, Section, load_yaml
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import BiomedSim, NaturalSim, OphSim, OphVLSim
from benchmarks.metrics.encoders import VideoEncoderTraining
from benchmarks.metrics.ophclip import OphClipTraining
from benchmarks.plan import PROJECT_ROOT
from core.errors import UserError, did_you_mean
from core.files import sha256_of_file, write_json, write_text
from core.runtime import Runtime, commit_of
from core.stage import RECORD_NAME, RESULT_NAME, ClipSource, Stage
from generator.backbone.autoencoder import AutoencoderSettings, AutoencoderTraining
from generator.backbone.text import TextEncoderSettings, TextEncoderTraining
from generator.base import TRAINING_RECORD, ClipShape, Generator, Weights
from generator.bora.pipeline import BoraAssembly, STDiTSettings
from generator.bora.training import BoraTraining
from generator.curation.stages import Curation
from generator.diffusion import DiffusionSettings
from generator.encoding import Encoding
from generator.ophora.pipeline import OphoraAssembly, TransformerSettings
from generator.ophora.training import OphoraTraining
from generator.training import Optimisation

WEIGHTS_ROOT = PROJECT_ROOT / "generator" / "weights"
NAMES = ("ophora_base", "bora_base", "slowfast_nano", "ophclip_nano")


class AutoencoderSection(Section):
    """start: the (image) autoencoder, trained on the same clips, whose weights it begins with."""

    settings: AutoencoderSettings
    optimisation: Optimisation
    start: AutoencoderSection | None = None


class TextSection(Section):
    settings: TextEncoderSettings
    optimisation: Optimisation


class BaseSection(Section):
    optimisation: Optimisation
    diffusion: DiffusionSettings
    encoding: EncodingSection


class OphoraBaseSection(BaseSection):
    transformer: TransformerSettings


class BoraBaseSection(BaseSection):
    transformer: STDiTSettings


class PretrainConfig(Section):
    """What the shipped weights are trained on and how."""

    clip: ClipShape
    natural: CorpusSection
    biomed: CorpusSection
    surgical: CorpusSection
    encoder_corpus: CorpusSection
    encoder_cases: dict[str, int]
    curation: CurationSection
    video_autoencoder: AutoencoderSection
    image_autoencoder: AutoencoderSection
    text: TextSection
    ophora_base: OphoraBaseSection
    bora_base: BoraBaseSection
    slowfast_nano: Optimisation
    ophclip_nano: Optimisation
    runtime: Runtime = Runtime()


class Pretraining:
    """The stages behind the shipped weights."""

    def __init__(self, config: PretrainConfig, cache: Path) -> None:
        self.config = config
        self.common: dict[str, Any] = {"infra": {"folder": str(cache)}, "runtime": config.runtime}

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

    @cached_property
    def instructions(self) -> Curation:
        """Clips of cases of their own with captions as the benchmark's generators read them."""
        section = self.config.curation
        return Curation(
            narrated=OphVLSim(**dict(self.config.encoder_corpus), **self.common),
            refine=section.refine,
            dynamics=section.dynamics,
            resolution=section.resolution,
            **self.common,
        )

    def _autoencoder(self, section: AutoencoderSection, others: ClipSource) -> AutoencoderTraining:
        # Surgical clips count twice: it is their instruments that the latents must keep.
        return AutoencoderTraining(
            clips=(others, self.surgical, self.surgical),
            shape=self.config.clip,
            settings=section.settings,
            optimisation=section.optimisation,
            init=None if section.start is None else self._autoencoder(section.start, others),
            **self.common,
        )

    @cached_property
    def video_autoencoder(self) -> AutoencoderTraining:
        section = self.config.video_autoencoder
        return self._autoencoder(section, self.natural)

    @cached_property
    def image_autoencoder(self) -> AutoencoderTraining:
        section = self.config.image_autoencoder
        return self._autoencoder(section, self.biomed)

    @cached_property
    def text(self) -> TextEncoderTraining:
        prompts = PromptBook.load().operations.values()
        return TextEncoderTraining(
            clips=(self.natural, self.biomed, self.surgical),
            extra_words=tuple(prompt for group in prompts for prompt in group),
            settings=self.config.text.settings,
            optimisation=self.config.text.optimisation,
            **self.common,
        )

    @cached_property
    def ophora_base(self) -> OphoraTraining:
        section = self.config.ophora_base
        assembly = OphoraAssembly(
            autoencoder=self.video_autoencoder,
            text=self.text,
            shape=self.config.clip,
            transformer=section.transformer,
            **self.common,
        )
        return OphoraTraining(**self._base(section, assembly, self.natural))

    @cached_property
    def bora_base(self) -> BoraTraining:
        section = self.config.bora_base
        assembly = BoraAssembly(
            autoencoder=self.image_autoencoder,
            text=self.text,
            shape=self.config.clip,
            transformer=section.transformer,
            **self.common,
        )
        return BoraTraining(**self._base(section, assembly, self.biomed, mask_padding=True))

    def _base(
        self,
        section: OphoraBaseSection | BoraBaseSection,
        assembly: Weights,
        clips: ClipSource,
        *,
        mask_padding: bool = False,
    ) -> dict[str, Any]:
        """Fields of a base model's training on `clips`."""
        encoding = Encoding(
            clips=clips,
            parts=assembly,
            shape=self.config.clip,
            max_text_tokens=section.transformer.max_text_tokens,
            mask_padding=mask_padding,
            **dict(section.encoding),
            **self.common,
        )
        return {
            "name": "base",
            "init": assembly,
            "encoding": encoding,
            "diffusion": section.diffusion,
            "optimisation": section.optimisation,
            **self.common,
        }

    @cached_property
    def slowfast_nano(self) -> VideoEncoderTraining:
        """FVD's encoder: labelled OphSim cases of a seed of their own."""
        simulator = OphSim(**self.config.encoder_cases, **self.common)
        cases = OphNet(task="operation", name="OphSim", written_by=simulator, **self.common)
        return VideoEncoderTraining(
            clips=cases, optimisation=self.config.slowfast_nano, **self.common
        )

    @cached_property
    def ophclip_nano(self) -> OphClipTraining:
        """FID's and CLIPScore's encoder, on instructions of the surgical corpus."""
        optimisation = self.config.ophclip_nano
        return OphClipTraining(clips=self.instructions, optimisation=optimisation, **self.common)


def ship(name: str, stage: Stage, command: str, commit: str | None, output: Path) -> Path:
    """Copy a trained network to `output/NAME` (fp16) with its card."""
    result = stage.run()
    target = output / name
    shutil.rmtree(target, ignore_errors=True)
    source = stage.weights()  # type: ignore[attr-defined]
    kept = (".safetensors", ".json", ".model", ".txt")
    encoder = source == stage.folder  # the metrics' encoders share their stage's folder
    for file in sorted(path for path in source.rglob("*") if path.suffix in kept):
        if encoder and file.name in (RESULT_NAME, RECORD_NAME):
            continue
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            _save_half(file, place)
        else:
            shutil.copyfile(file, place)
    if isinstance(stage, Generator):
        record = {key: result[key] for key in ("steps", "samples", "parameters", "last_loss")}
        write_json(target / TRAINING_RECORD, record)
    made_by = f"`{command}` at commit {commit}"
    write_text(target / "CARD.md", card(name, stage, result, made_by, target))
    return target


def _save_half(source: Path, target: Path) -> None:
    with safe_open(source, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    halved = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(halved, target, metadata)


def card(name: str, stage: Stage, result: dict[str, Any], made_by: str, folder: Path) -> str:
    """How the weights were made: data, numbers, command, commit, hashes."""
    lines = [f"# {name}", "", f"Made by {made_by}.", ""]
    lines += ["| stage | trained at | seconds | result |", "| --- | --- | --- | --- |"]
    for below in stage.tower():
        shown = json.dumps(below.run())[:400] if below.is_done() else ""
        made = below.record()
        lines.append(
            f"| {type(below).__name__} | {made.get('commit')} | {made.get('seconds')} | `{shown}` |"
        )
    lines += ["", f"Result: `{json.dumps(result)[:600]}`", "", "| file | sha256 |", "| --- | --- |"]
    for file in sorted(folder.rglob("*.safetensors")):
        lines.append(f"| {file.relative_to(folder)} | {sha256_of_file(file)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Train the named networks and ship them."""
    command = argparse.ArgumentParser(prog="python -m benchmarks.pretrain", description=__doc__)
    command.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    command.add_argument("--config", default="_pretrain_nano")
    command.add_argument("--output", type=Path, default=WEIGHTS_ROOT)
    command.add_argument("--cache", type=Path, default=Path("results/cache"))
    options = command.parse_args()
    try:
        config = PretrainConfig.model_validate(load_yaml(options.config))
        pretraining = Pretraining(config, options.cache)
        commit = commit_of(PROJECT_ROOT)  # before the first copy changes the work tree
        for name in options.names:
            if name not in NAMES:
                raise UserError(f"{name}: no such network; {did_you_mean(name, NAMES)}")
            shown = f"python -m benchmarks.pretrain {name}"
            shipped = ship(name, getattr(pretraining, name), shown, commit, options.output)
            print(f"shipped {shipped}")
    except pydantic.ValidationError as error:
        print(f"error: {options.config}: {error.errors()[0]}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
