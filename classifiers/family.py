"""What the rest of the suite knows of a classifier: one value, exported by its module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from classifiers.checkpoints import open_file
from classifiers.networks import Network
from classifiers.starts import Place, Start

Mode = Literal["full", "probe"]


class Opener(Protocol):
    """Looks at weights that a configuration names, before anything runs."""

    def __call__(
        self, network: Network, weights: str, field: str, shape: tuple[int, int], place: Place
    ) -> tuple[Network, Start]:
        """The network that the weights are of (the configured one, unless they describe it), and
        the stage that loads them.

        Args: field: what names them; shape: the run's frames and size; place: where to look.
        Raises: UserError: if they are missing, damaged, or of another network: better now than
        after days.
        """


@dataclass(frozen=True)
class ClassifierFamily:
    """name: in the configuration and in file names; label: in the tables; about: a line for
    `--list`; network: its settings, which build it; gflops: of one forward pass of its default
    network over 8 frames of 224x224 (torch.utils.flop_counter), None where it was not counted;
    open: how its weights are opened."""

    name: str
    label: str
    about: str
    network: type[Network]
    gflops: float | None = None
    open: Opener = open_file

    def shown_as(self, mode: Mode) -> str:
        """What the tables call it: a probe is not the network that the paper trained."""
        return self.label if mode == "full" else f"{self.label}, {mode}"
