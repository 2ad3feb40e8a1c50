"""The batch of a step as a function of (seed, step), and what is drawn for each of its samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import UserError
from core.runtime import derive_seed


@dataclass(frozen=True)
class Batch:
    """One step's samples: `number` counts every sample since the start of the training (it decides
    noise, timestep and dropout), `index` is the row of the data set. Both are lists of length B."""

    number: list[int]
    index: list[int]
    seed: int

    def rngs(self, purpose: str) -> Iterator[torch.Generator]:
        """One CPU random generator a sample, a function of (seed, sample number, purpose)."""
        for number in self.number:
            yield torch.Generator().manual_seed(derive_seed(self.seed, purpose, number))

    def normal(self, shape: tuple[int, ...], purpose: str = "noise") -> Tensor:
        """(B, *shape) float32 standard normal noise."""
        return torch.stack([torch.randn(shape, generator=rng) for rng in self.rngs(purpose)])

    def uniform(self, purpose: str) -> Tensor:
        """(B,) float32 in [0, 1)."""
        return torch.cat([torch.rand(1, generator=rng) for rng in self.rngs(purpose)])

    def split(self, size: int) -> list[Batch]:
        """The batch in runs of at most `size` samples."""
        starts = range(0, len(self.number), size)
        return [
            Batch(self.number[start : start + size], self.index[start : start + size], self.seed)
            for start in starts
        ]


def batch_at(step: int, batch_size: int, num_samples: int, seed: int) -> Batch:
    """The batch of a step: epochs are seeded permutations, laid end to end."""
    numbers = list(range(step * batch_size, (step + 1) * batch_size))
    orders: dict[int, list[int]] = {}
    for epoch in {number // num_samples for number in numbers}:
        rng = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        orders[epoch] = torch.randperm(num_samples, generator=rng).tolist()
    indices = [orders[number // num_samples][number % num_samples] for number in numbers]
    return Batch(numbers, indices, seed)


def samples_per_rank(batch_size: int, ranks: int) -> int:
    """A rank's share of a batch.  Raises: UserError: if the ranks cannot share it evenly."""
    if batch_size % ranks:
        raise UserError(f"batch_size {batch_size}: not a multiple of {ranks} ranks")
    return batch_size // ranks
