"""What the rest of the suite knows of a generator: one value, exported by its `family.py`.

`generator/families.py` lists them; nothing else names a generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from core.errors import UserError
from core.stage import ClipStage, Stage
from generator.base import BeforehandTraining, ClipShape, Generator, GivenGenerator, Weights
from generator.encoding import Encoding
from generator.opening import Wanted
from generator.sections import GeneratorSection

S = TypeVar("S", bound=GeneratorSection)


@dataclass(frozen=True)
class TableRow:
    """A row of Table 1: the model as it is printed there, and the set that it is fine-tuned on."""

    model: str
    fine_tuned_on: str | None


@dataclass(frozen=True)
class Size:
    """A denoiser at its published size; `patch` covers (frames, rows, columns) of pixels.

    attention_layers: of its layers, how many attend over all tokens. latent_channels, compression
    (frames, rows, columns) and text_width: of the frozen parts that it reads.
    """

    parameters: float
    layers: int
    attention_layers: int
    width: int
    text_tokens: int
    patch: tuple[int, int, int]
    latent_channels: int = 4
    compression: tuple[int, int, int] = (1, 8, 8)
    text_width: int = 4096

    def forward_flops(self, shape: ClipShape) -> float:
        """Operations of one forward pass over one clip."""
        tokens = self.tokens(shape)
        return 2 * self.parameters * tokens + 4 * self.attention_layers * self.width * tokens**2

    def tokens(self, shape: ClipShape) -> int:
        """Tokens of one clip, its text included."""
        frames, rows, columns = self.patch
        latent_frames = -(-shape.num_frames // frames)
        return latent_frames * (shape.height // rows) * (shape.width // columns) + self.text_tokens

    def encoded_bytes(self, shape: ClipShape, text_tokens: int) -> int:
        """Of one clip's latents and caption on disk, as float16."""
        frames, rows, columns = self.compression
        latents = -(-shape.num_frames // frames) * (shape.height // rows) * (shape.width // columns)
        return 2 * (latents * self.latent_channels + text_tokens * self.text_width)


class Materials(Protocol):
    """What a run offers to whoever builds a generator: clips, weights by name, machinery."""

    @property
    def missing(self) -> list[str]:
        """Where files that are not there are noted; the run is refused then."""

    @property
    def clip(self) -> ClipShape:
        """Of the run's clips."""

    @property
    def common(self) -> dict[str, Any]:
        """Machinery that every stage gets."""

    @property
    def curated(self) -> ClipStage:
        """Ophora-160K: narrated clips after curation."""

    @property
    def clean(self) -> ClipStage:
        """Ophora-28K: those of them without burned-in text."""

    @property
    def uncurated(self) -> ClipStage:
        """OphVL: the same clips and captions before curation."""

    def weights(self, name: str, field: str, wanted: Wanted | None = None) -> Weights:
        """Weights by folder or hub id.

        Raises: UserError: with `field`, if there are none, or a folder lacks what is `wanted`.
        """

    def locate(self, name: str) -> Path:
        """A file that the configuration names; it may not exist."""


class Family(ABC, Generic[S]):
    """A kind of generator.

    name: its source's and its section's in the configuration; label: in the tables; about: a line
    for `--list`; section: the section's class; stages: what its trainings and its given weights
    are; size: as published, None where that is not known: then no cost is told. reads_captions:
    whether its clips answer to a prompt, so that CLIPScore says something. by_class: whether its
    clips of a class come from a training of its own on the labelled clips.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]
    section: ClassVar[type[GeneratorSection]]
    stages: ClassVar[tuple[type[Generator], ...]]
    size: ClassVar[Size | None] = None
    reads_captions: ClassVar[bool] = True
    by_class: ClassVar[bool] = False

    @abstractmethod
    def rows(self, section: S) -> dict[str, TableRow]:
        """Table 1's rows of its models, in the table's order; the one named `name` makes the clips
        of the classes."""

    @abstractmethod
    def build(self, model: str, section: S, materials: Materials) -> Generator:
        """The model of a row."""

    def build_by_class(
        self,
        section: S,
        materials: Materials,
        *,
        task: str,
        labelled: ClipStage,
        names: Sequence[str],
    ) -> Generator:
        """What makes clips of a task's classes, for a family that trains one (`by_class`)."""
        raise NotImplementedError(f"{self.name} makes clips of a class by their prompts")

    def build_on_labelled(
        self, section: S, materials: Materials, clips: ClipStage, steps: int | None = None
    ) -> Generator:
        """Its base weights, trained on captioned clips of split train alone, as they are trained on
        the corpus first of all; for `steps` where they are given.

        Raises: UserError: for a family that does not say how.
        """
        raise UserError(
            f"arm of kind same_budget, of {self.name!r}: its family has no build_on_labelled: "
            "write one, or name another generator"
        )

    def beside(self, model: str, section: S) -> tuple[str, ...]:
        """Models that a run has wherever it has `model`, since they are made on the way to it."""
        return ()


class Unconditional(Family[S]):
    """A generator that knows neither captions nor classes: a row of Table 1, and clips without
    labels for FixMatch."""

    reads_captions = False
    by_class = True

    def build_by_class(
        self,
        section: S,
        materials: Materials,
        *,
        task: str,
        labelled: ClipStage,
        names: Sequence[str],
    ) -> Generator:
        """Raises: UserError: always; its clips of a class would be labelled at random."""
        raise UserError(
            f"source {self.name!r}: its clips are of no class; name an arm "
            f"{{kind: unlabelled, of: {self.name}}}, or a row of quality.rows"
        )


def trained_here(generator: Generator) -> bool:
    """Whether the run trains the generator from its corpus, rather than just loads it."""
    return not isinstance(generator, GivenGenerator)


def shape_of(section: GeneratorSection, materials: Materials) -> ClipShape:
    """Of the clips that a generator makes."""
    return section.clip or materials.clip


def going_on(
    base: Weights, name: str | None, field: str, materials: Materials, denoiser: str
) -> Weights:
    """`base`; where `name` names weights, its parts with their transformer, of the class
    `denoiser`, which was trained from it beforehand."""
    if name is None:
        return base
    transformer = materials.weights(name, field, Wanted(denoiser, whole=False))
    return BeforehandTraining(base=base, transformer=transformer, **materials.common)


def encoded(
    clips: ClipStage,
    section: GeneratorSection,
    parts: Weights,
    materials: Materials,
    **reading: Any,
) -> dict[str, Encoding]:
    """The clips that a training learns from and the held-out ones, encoded with `parts`.

    Args: reading: how captions are read, fields of `Encoding`.
    """
    shape = shape_of(section, materials)
    return {
        name: Encoding(
            clips=clips,
            split=split,
            parts=parts,
            shape=shape,
            **reading,
            **dict(section.encoding),
            **materials.common,
        )
        for name, split in (("encoding", "train"), ("held_out", "val"))
    }


def family_of(stage: Stage, families: Sequence[Family[Any]]) -> Family[Any] | None:
    """The family that a stage is a model of."""
    return next((family for family in families if isinstance(stage, family.stages)), None)
