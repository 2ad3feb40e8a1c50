"""What the rest of the suite knows of a classifier: one value, exported by its module."""

from __future__ import annotations

from dataclasses import dataclass

from classifiers.networks import Network


@dataclass(frozen=True)
class ClassifierFamily:
    """name: in the configuration and in file names; label: in the tables; about: a line for
    `--list`; network: its settings, which build it; gflops: of one forward pass of its default
    network over 8 frames of 224x224 (torch.utils.flop_counter), None where it was not counted."""

    name: str
    label: str
    about: str
    network: type[Network]
    gflops: float | None = None
