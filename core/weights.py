"""What a stage that has model weights looks like, whoever trains or names them; the hub."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.errors import UserError
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


def hub_snapshot(repository: str, revision: str, *, only: str | None = None) -> Path:
    """A repository's folder in the hub's cache, downloaded if need be.

    Args: only: pattern of the files to fetch, None: all.
    Raises: UserError: if it is not there and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=only))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"weights {repository}: not in the hub's cache, and cannot be downloaded ({reason}); "
            "download them elsewhere and give the folder's path"
        ) from None
