"""Names of sources and arms: each is its own, and each that is used is known."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import get_args

from benchmarks.config.arms import ArmSection, DerivedArm
from classifiers.recipe import Schedule
from core.errors import did_you_mean
from generator.families import GENERATORS

BUILT_IN_SOURCES = ("source", *GENERATORS)
# Of a path: dots alone would lead out of the results folder.
PART = r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*"
ONE_CASE = "upper and lower case count as one"


def check_arms(arms: Mapping[str, ArmSection]) -> None:
    """Raises: ValueError: for a name that is taken, or an arm of one that does not come before."""
    known = [*GENERATORS]
    for name, arm in arms.items():
        if not is_own(name, (*BUILT_IN_SOURCES, *known)):
            raise ValueError(f"arm {name!r}: give it a name of its own ({ONE_CASE})")
        if isinstance(arm, DerivedArm) and arm.of not in known:
            hint = did_you_mean(arm.of, known)
            raise ValueError(f"arm {name!r}: no generator or earlier arm {arm.of!r}: {hint}")
        known.append(name)


def check_sources(sources: Sequence[str], arms: Collection[str]) -> None:
    """Raises: ValueError: for a source that is unknown, or a folder's name that is taken."""
    known: list[str] = [*BUILT_IN_SOURCES, *arms]
    names = [source.partition("=")[0] for source in sources]
    if len(set(names)) != len(names):
        raise ValueError(f"a source is named twice: {', '.join(names)}")
    for source, name in zip(sources, names, strict=True):
        if "=" in source:
            if not is_own(name, known):
                hint = f"give it a name of its own, NAME=DIR ({ONE_CASE})"
                raise ValueError(f"source {source!r}: {hint}")
            known.append(name)
        elif name not in (*BUILT_IN_SOURCES, *arms):
            hint = did_you_mean(name, (*BUILT_IN_SOURCES, *arms))
            raise ValueError(f"unknown source {name!r}: {hint} A folder is given as NAME=DIR")


def check_contrasts(
    pairs: Sequence[tuple[str, str]], names: Sequence[str], arms: Collection[str]
) -> None:
    """Args: names: of the run's sources.  Raises: ValueError: for a pair that is none of them."""
    known = [*names, *GENERATORS, *arms]
    for pair in pairs:
        for name in pair:
            if name == "source":
                raise ValueError("contrasts: Table 2 has every difference from source")
            if name not in known:
                raise ValueError(f"contrasts: no {name!r}: {did_you_mean(name, known)}")
        if pair[0] == pair[1]:
            raise ValueError(f"contrasts: {pair[0]!r} against itself")


def check_rows(rows: Sequence[str], folders: Collection[str], known: Collection[str]) -> None:
    """Args: rows, folders: of Table 1; known: the generators' rows.

    Raises: ValueError: for a row that is none of them, or a folder's name that is no row's.
    """
    for row in rows:
        if row not in (*known, *folders):
            raise ValueError(f"quality.rows: no {row!r}: {did_you_mean(row, known)}")
    for row in folders:
        if row not in known and not is_own(row, known):
            raise ValueError(f"quality.folders: {row!r}: name a row, or another ({ONE_CASE})")


def is_own(name: str, taken: Collection[str]) -> bool:
    """Whether a name can be an arm's: a file's, which no other arm has and no schedule of one."""
    free = name.lower() not in {other.lower() for other in taken}
    of_schedule = name.lower().endswith(tuple(f"-{schedule}" for schedule in get_args(Schedule)))
    return free and not of_schedule and re.fullmatch(PART, name) is not None
