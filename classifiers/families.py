"""The classifiers of the suite, in the order of the tables. A new one: its module, a line here."""

from __future__ import annotations

from classifiers.family import ClassifierFamily
from classifiers.mvit_v2 import MVIT_V2
from classifiers.slowfast import SLOWFAST

CLASSIFIERS: dict[str, ClassifierFamily] = {
    family.name: family
    for family in (
        SLOWFAST,
        MVIT_V2,
    )
}


def by_label(label: str) -> ClassifierFamily | None:
    """The classifier of a table's column; None where there is none."""
    return next((family for family in CLASSIFIERS.values() if family.label == label), None)
