"""The generators of a run: trained from the curated corpus, or named by the user.

base weights -> fine-tuned on the curated clips -> (Ophora) on those without text
             `> on the uncurated clips          `> (Endora) on the labelled clips, by class
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.config import VARIANT, QualityRow
from benchmarks.plan.endora import EndoraPlan
from benchmarks.sections import DiffusionTrainingSection
from core.clip import Task
from core.errors import UserError
from generator.base import Generator, GivenGenerator, Sampling, Weights
from generator.bora.given import ReleasedBora
from generator.bora.training import BoraTraining, GivenBora
from generator.encoding import Encoding
from generator.ophora.training import GivenOphora, OphoraTraining

TABLE_NAMES = {"endora": "Endora", "bora": "Bora", "ophora": "Ophora"}
# Which section of the configuration a generator belongs to, by the first part of its name.
FAMILIES = {**{name: name for name in TABLE_NAMES}, "cogvideox": "ophora"}


def class_endora(task: Task) -> str:
    """The name in the plan of the Endora that makes clips of a task's classes."""
    return f"endora_{task}"


def trained_here(generator: Generator) -> bool:
    """Whether the run trains the generator from its corpus, rather than just loads it."""
    return not isinstance(generator, GivenGenerator)


@dataclass(frozen=True)
class GeneratorPlan(EndoraPlan):
    """Generator stages."""

    @cached_property
    def generators(self) -> dict[str, Generator]:
        """Every generator of the run by name: what its sources are made by, what Table 1 compares.

        Raises: UserError: if real data came without a corpus or weights to make them from.
        """
        sources = [name for name in TABLE_NAMES if name in self.config.origins()]
        if self.without_corpus:
            for name in sources:
                if self.family(name).weights is None:
                    raise UserError(
                        f"source {name!r} with --data-root needs a generator: train generators on "
                        f"--corpus-root DIR, or name weights with --set {name}.weights=DIR"
                    )
        wanted = {*sources, *(() if self.without_corpus else self.config.quality.rows or ())}
        if "ophora" in wanted and self.config.ophora.weights is None:
            wanted.add("ophora_tpt")
        order = typing.get_args(QualityRow)
        found = {name: self._generator(name) for name in order if name in wanted}
        for name in sorted(wanted - set(order)):
            found[name] = self._variant(name.removeprefix(VARIANT))
        if "endora" in self.config.origins(labelled=True):
            by_class = {class_endora(task): self._class_endora(task) for task in self.config.tasks}
            found |= by_class
        return found

    def _generator(self, name: str) -> Generator:
        match name:
            case "endora_base":
                return self._given_endora(self._endora_base)
            case "endora":
                return self._endora
            case "bora_base":
                return self._given_bora(self._bora_base)
            case "bora":
                return self._bora
            case "cogvideox":
                return self._given_ophora(self.weights_at("ophora.base"))
            case "cogvideox_ophvl":
                return self._cogvideox_ophvl
            case "ophora_tpt":
                return self._ophora_tpt
            case _:
                return self._ophora

    def family(self, generator: str) -> Any:
        """The configuration's section that a generator of the plan belongs to."""
        return getattr(self.config, FAMILIES[re.split("[_/]", generator)[0]])

    def sampling_of(self, generator: str) -> Sampling:
        """Sampling settings of a generator by its name in the plan."""
        sampling: Sampling = self.family(generator).sampling
        return sampling

    # -- Ophora and CogVideoX -----------------------------------------------------------------

    @cached_property
    def _ophora(self) -> Generator:
        """Fine-tuned on the clips without text."""
        section = self.config.ophora
        if section.weights is not None:
            return self._given_ophora(self.weights_at("ophora.weights"))
        start = self._ophora_tpt
        encoded = self.encoded(self.clean, section, self.weights_at("ophora.base"))
        return self._train_ophora("P2FT", start, encoded, section.p2ft)

    @cached_property
    def _ophora_tpt(self) -> Generator:
        """Transfer pre-trained on the curated clips."""
        section = self.config.ophora
        start = self.weights_at("ophora.base")
        if section.tpt_weights is not None:
            return self._given_ophora(self.start_of(start, "ophora.tpt_weights"))
        encoded = self.encoded(self.curated, section, start)
        return self._train_ophora("TPT", start, encoded, section.tpt)

    @cached_property
    def _cogvideox_ophvl(self) -> Generator:
        """The base model trained as TPT is, on the clips as they were found."""
        section = self.config.ophora
        start = self.weights_at("ophora.base")
        if section.ophvl_weights is not None:
            return self._given_ophora(self.start_of(start, "ophora.ophvl_weights"))
        tokens = section.ophvl_text_tokens
        longer = section.model_copy(update={"max_text_tokens": tokens or section.max_text_tokens})
        encoded = self.encoded(self.uncurated, longer, start)
        return self._train_ophora("OphVL", start, encoded, section.tpt, max_text_tokens=tokens)

    def _train_ophora(
        self,
        name: Any,
        start: Weights,
        encoded: dict[str, Encoding],
        training: DiffusionTrainingSection,
        max_text_tokens: int | None = None,
    ) -> OphoraTraining:
        section = self.config.ophora
        return OphoraTraining(
            name=name,
            init=start,
            **encoded,
            **dict(training),
            gradient_checkpointing=section.gradient_checkpointing,
            lora_rank=section.lora_rank,
            max_text_tokens=max_text_tokens,
            preview=section.preview,
            **self.common,
        )

    def _given_ophora(self, given: Weights) -> Generator:
        return GivenOphora(given=given, shape=self.config.clip, **self.common)

    # -- Bora ---------------------------------------------------------------------------------

    @cached_property
    def _bora_base(self) -> Weights:
        section = self.config.bora
        base = self.weights_at("bora.base")
        if section.autoencoder is None or section.text is None:
            return base
        return ReleasedBora(
            checkpoint=base,
            autoencoder=self.weights_at("bora.autoencoder"),
            text=self.weights_at("bora.text"),
            shape=self.shape_of(self.config.bora),
            **self.common,
        ).check()

    @cached_property
    def _bora(self) -> Generator:
        section = self.config.bora
        if section.weights is not None:
            return self._given_bora(self.weights_at("bora.weights"))
        return BoraTraining(
            name="fine-tuned",
            init=self.start_of(self._bora_base, "bora.start"),
            **self.encoded(self.curated, section, self._bora_base),
            **dict(section.fine_tuning),
            preview=section.preview,
            guided_channels=section.guided_channels,
            **self.common,
        )

    def _given_bora(self, given: Weights) -> Generator:
        guided = {"guided_channels": self.config.bora.guided_channels}
        return GivenBora(
            given=given, shape=self.shape_of(self.config.bora), **guided, **self.common
        )
