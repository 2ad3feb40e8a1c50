"""What the rest of the suite knows of a classifier: one value, exported by its module."""

from __future__ import annotations

from dataclasses import dataclass

from classifiers.networks import Network


@dataclass(frozen=True)
class ClassifierFamily:
    """name: in the configuration and in file names; label: in the tables; about: a line for
    `--list`; network: its settings, which build it."""

    name: str
    label: str
    about: str
    network: type[Network]
