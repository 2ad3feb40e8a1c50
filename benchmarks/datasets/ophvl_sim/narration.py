"""Captions as a surgeon speaks them: the description of an operation, buried in talk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pydantic
import yaml

DESCRIPTIONS_PATH: Final = Path(__file__).with_name("descriptions.yaml")
NARRATIONS_PATH: Final = Path(__file__).with_name("narrations.yaml")

Lines = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]


class NarrationBook(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The lines that surround a description, by kind. Every lead-in holds "{description}"."""

    lead_ins: Lines
    greetings: Lines
    teaching: Lines
    plugs: Lines
    small_talk: Lines
    fillers: Lines

    @classmethod
    def load(cls, path: Path | str = NARRATIONS_PATH) -> NarrationBook:
        """Read a book from yaml."""
        return cls.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))


def load_descriptions(path: Path | str = DESCRIPTIONS_PATH) -> dict[int, tuple[str, ...]]:
    """Operation id -> its descriptions."""
    text = Path(path).read_text(encoding="utf-8")
    return {key: tuple(value) for key, value in yaml.safe_load(text)["operations"].items()}


def narrate(rng: np.random.Generator, description: str, book: NarrationBook) -> str:
    """One caption of two to seven sentences that holds `description` word for word.

    The first letter may become a capital. Source of the shares: our choice.
    """

    def some(lines: tuple[str, ...], chance: float) -> list[str]:
        return [lines[int(rng.integers(len(lines)))]] if rng.random() < chance else []

    before = some(book.greetings, 0.4) + some(book.teaching, 0.5)
    lead_in = book.lead_ins[int(rng.integers(len(book.lead_ins)))]
    spoken = lead_in.format(description=description)
    spoken = spoken[0].upper() + spoken[1:]
    after = some(book.teaching, 0.5) + some(book.small_talk, 0.35) + some(book.plugs, 0.45)
    if not before and not after:
        after = some(book.plugs, 1.0)
    before += some(book.fillers, 0.35)
    return " ".join(dict.fromkeys([*before, spoken, *after]))
