"""What a stage that has model weights looks like, whoever trains or names them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.stage import Stage


class Weights(Stage):
    """A stage that yields a folder of model weights in the layout of diffusers or transformers.

    is_given: whether it trains nothing: the weights exist already.
    """

    is_given: ClassVar[bool] = False

    def weights(self) -> Path:
        """Run the stage if need be; the folder that holds the weights."""
        self.run()
        return self.folder / "weights"

    def at_hand(self) -> Path | None:
        """The folder of weights that are on this machine before the stage runs; None if not."""
        return None

    def described(self) -> Path:
        """A folder with the json files of the weights, which alone are fetched if need be.

        Raises: UserError: if they cannot be.
        """
        return self.at_hand() or self.weights()
