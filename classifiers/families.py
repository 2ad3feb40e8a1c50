"""The classifiers of the suite. A new one: its module with a `FAMILY`, and its name here."""

from __future__ import annotations

from importlib import import_module

from classifiers.family import ClassifierFamily

NAMES = (  # in the order of the tables
    "slowfast",
    "mvit_v2",
)
CLASSIFIERS: dict[str, ClassifierFamily] = {
    name: import_module(f"classifiers.{name}").FAMILY for name in NAMES
}


def by_label(label: str) -> ClassifierFamily | None:
    """The classifier of a table's column; None where there is none."""
    return next((family for family in CLASSIFIERS.values() if family.label == label), None)
