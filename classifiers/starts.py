"""What a network's backbone starts from: weights that exist, and the report of their loading."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from classifiers.networks import Classifier
from core.stage import Stage
from core.weights import Weights


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors, by name.

    Of ours: loaded; interpolated (to another length); missing in the file (they keep their
    initialisation). Of the file: unexpected (we have no place for them); head (left out).
    """

    loaded: tuple[str, ...]
    interpolated: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    head: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The report for a stage's result: of the many that were loaded, just the number."""
        lists = {name: list(names) for name, names in asdict(self).items()}
        return {**lists, "loaded": len(self.loaded)}


class Start(Stage):
    """Weights of a backbone, named by the user. Subclasses know where they lie and how to load."""

    @abstractmethod
    def load_into(self, model: Classifier) -> LoadReport:
        """Run the stage if need be and load the backbone of `model`, in place, not its head.

        Raises: UserError: if the weights cannot be read, or are of another network.
        """


class Place(Protocol):
    """Where a run looks for what its configuration names (`benchmarks.plan.data.Data`)."""

    @property
    def common(self) -> dict[str, Any]:
        """Machinery every stage gets."""

    def locate(self, name: str) -> Path:
        """A file by its name; it may not exist."""

    def weights(self, name: str, field: str) -> Weights:
        """A folder of weights by its path or hub id.  Raises: UserError: with `field`, if none."""
