"""The generators of a run: trained from the curated corpus, or named by the user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.config import DiffusionTrainingSection
from benchmarks.plan.data import PROJECT_ROOT, DataPlan
from core.errors import UserError
from core.stage import ClipSource
from generator.base import BeforehandTraining, Generator, GivenGenerator, Weights, weights_named
from generator.bora.training import BoraTraining, GivenBora
from generator.encoding import Encoding
from generator.ophora.training import GivenOphora, OphoraTraining

TABLE_NAMES = {"bora": "Bora", "ophora": "Ophora"}


def trained_here(generator: Generator) -> bool:
    """Whether the run trains the generator from its corpus, rather than just loads it."""
    return not isinstance(generator, GivenGenerator)


@dataclass(frozen=True)
class GeneratorPlan(DataPlan):
    """Generator stages."""

    def weights_of(self, name: str) -> Weights:
        """The weights that the configuration names: a folder or a hub id."""
        return weights_named(name, root=PROJECT_ROOT, **self.common)

    def _training(self, section: DiffusionTrainingSection) -> dict[str, Any]:
        return {"optimisation": section.optimisation, "diffusion": section.diffusion}

    @cached_property
    def generators(self) -> dict[str, Generator]:
        """Every generator that the chosen sources need, by name.

        Raises: UserError: if real data came without a corpus or weights to make them from.
        """
        wanted = [name for name in TABLE_NAMES if name in self.config.origins()]
        generators: dict[str, Generator] = {}
        for name in wanted:
            section = getattr(self.config, name)
            if section.weights is None and self.inputs.data_root and not self.inputs.corpus_root:
                raise UserError(
                    f"source {name!r} with --data-root needs a generator: train generators on "
                    f"--corpus-root DIR, or name weights with --set {name}.weights=DIR"
                )
            generators |= self._ophora() if name == "ophora" else {"bora": self._bora()}
        return generators

    def _ophora(self) -> dict[str, Generator]:
        section, shape = self.config.ophora, self.config.clip
        if section.weights is not None:
            given = self.weights_of(section.weights)
            return {"ophora": GivenOphora(given=given, shape=shape, **self.common)}
        base = self.weights_of(section.base)
        encoding = {
            "parts": base,
            "shape": shape,
            "max_text_tokens": section.max_text_tokens,
            **dict(section.encoding),
        }
        shared = {
            "gradient_checkpointing": section.gradient_checkpointing,
            "lora_rank": section.lora_rank,
            "preview": section.preview,
        }
        tpt: Generator
        if section.tpt_weights is None:
            tpt = OphoraTraining(
                name="TPT",
                init=base,
                **self._encoded(self.curated, encoding),
                **self._training(section.tpt),
                **shared,
                **self.common,
            )
        else:
            given = self._beforehand(base, section.tpt_weights)
            tpt = GivenOphora(given=given, shape=shape, **self.common)
        p2ft = OphoraTraining(
            name="P2FT",
            init=tpt,
            **self._encoded(self.clean, encoding),
            **self._training(section.p2ft),
            **shared,
            **self.common,
        )
        return {"ophora_tpt": tpt, "ophora": p2ft}

    def _beforehand(self, base: Weights, name: str) -> Weights:
        transformer = self.weights_of(name)
        return BeforehandTraining(base=base, transformer=transformer, **self.common)

    def _encoded(self, clips: ClipSource, settings: dict[str, Any]) -> dict[str, Encoding]:
        """What a training reads: its clips and the held-out ones."""
        return {
            name: Encoding(clips=clips, split=split, **settings, **self.common)
            for name, split in (("encoding", "train"), ("held_out", "val"))
        }

    def _bora(self) -> Generator:
        section, shape = self.config.bora, self.config.clip
        guided = {"guided_channels": section.guided_channels}
        if section.weights is not None:
            given = self.weights_of(section.weights)
            return GivenBora(given=given, shape=shape, **guided, **self.common)
        base = self.weights_of(section.base)
        encoding = {
            "parts": base,
            "shape": shape,
            "max_text_tokens": section.max_text_tokens,
            **dict(section.encoding),
            "mask_padding": True,
        }
        return BoraTraining(
            name="fine-tuned",
            init=base if section.start is None else self._beforehand(base, section.start),
            **self._encoded(self.curated, encoding),
            **self._training(section.fine_tuning),
            preview=section.preview,
            **guided,
            **self.common,
        )

    def sampling_of(self, generator: str) -> Any:
        """Sampling settings of a generator by its name in the plan."""
        return getattr(self.config, generator.partition("_")[0]).sampling
