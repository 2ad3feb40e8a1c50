"""The classifiers of the suite. A new one: its module with a `FAMILY`, and its name here."""

from __future__ import annotations

from importlib import import_module
from typing import get_args

from classifiers.family import ClassifierFamily, Mode

NAMES = (  # in the order of the tables
    "slowfast",
    "mvit_v2",
    "transformers",
)
CLASSIFIERS: dict[str, ClassifierFamily] = {
    name: import_module(f"classifiers.{name}").FAMILY for name in NAMES
}


# What the tables call a classifier -> its name in files.
FILE_NAMES = {
    family.shown_as(mode): family.name if mode == "full" else f"{family.name}_{mode}"
    for family in CLASSIFIERS.values()
    for mode in get_args(Mode)
}
