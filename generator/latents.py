"""Encoded clips, read: rows of the shards that `generator.encoding` writes."""

from __future__ import annotations

import bisect
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from core.errors import UserError
from core.files import read_json


def notes_of(file: Path) -> Path:
    return file.with_suffix(".json")


class LatentDataset:
    """Random access to the shards of an `Encoding`.

    scaling_factor: what the latents were multiplied by. captions: of the rows, in their order.
    Raises: UserError: naming the shard, if one is cut short or holds other rows than recorded.
    """

    def __init__(self, folder: Path, rows_per_shard: list[int], scaling_factor: float) -> None:
        self._ends = list(np.cumsum(rows_per_shard))
        self._files = []
        self.scaling_factor = scaling_factor
        self.captions: list[str] = []
        for number, rows in enumerate(rows_per_shard):
            path = folder / f"shard-{number:05d}.safetensors"
            try:
                file = safe_open(path, "pt")
                found = file.get_slice("latents").get_shape()[0]
            except Exception as error:  # safetensors raises its own type and OSError
                raise UserError(
                    f"{path}: damaged ({error}); delete its folder to encode again"
                ) from None
            if found != rows:
                raise UserError(f"{path}: {found} rows, expected {rows}; delete its folder")
            self._files.append(file)
            self.captions += read_json(notes_of(path))["captions"]
        empty = safe_open(folder / "empty_prompt.safetensors", "pt")
        self.empty_text: Tensor = empty.get_tensor("text").float()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(T', C, h, w)"""
        return tuple(self._files[0].get_slice("latents").get_shape()[1:])

    def rows(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, T', C, h, w) and text (B, L, D), both float32, and mask (B, L) bool."""
        columns: tuple[list[Tensor], ...] = ([], [], [])
        for index in indices:
            shard = bisect.bisect_right(self._ends, index)
            row = index - (self._ends[shard - 1] if shard else 0)
            for column, name in zip(columns, ("latents", "text", "mask"), strict=True):
                column.append(self._files[shard].get_slice(name)[int(row)])
        # CPU autocast cannot stack booleans, and stored values must not be rounded again.
        with torch.autocast("cpu", enabled=False):
            latents, text, mask = (torch.stack(column) for column in columns)
        return latents.float(), text.float(), mask
