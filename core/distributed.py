"""Data-parallel training: what the ranks that `core/launching.py` starts do together.

Alone, a process is rank 0 of 1. FSDP takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from core.runtime import Sharding


def rank() -> int:
    """This process's number among those that train together; 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together; 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(model: nn.Module, sharding: Sharding) -> None:
    """Train `model` together from now on, in place; call `average_gradients` after each backward.

    "replicate": every rank holds all of it, as rank 0 has it. "shard": every rank holds a part of
    parameters, gradients and optimiser state (FSDP2), gathered block by block.
    """
    if sharding == "replicate":
        for value in model.state_dict().values():
            dist.broadcast(value, src=0)
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (1, world_size()), mesh_dim_names=("replicate", "shard"))
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The layers that stand in lists, wherever those lie in `model`, but for lists in such layers:
    a transformer's blocks."""
    found: list[nn.Module] = []
    for child in model.children():
        found += list(child) if isinstance(child, nn.ModuleList) else blocks_of(child)
    return found


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make every gradient its mean over the ranks; FSDP has done so for the ones it holds.

    Once a step, after the last micro-batch. DDP and FSDP's replicas hide the exchange behind the
    backward pass; on CPUs their own work costs more than they hide (docs/log.md).
    """
    if not dist.is_initialized():
        return
    held = [p.grad for p in parameters if p.grad is not None and not hasattr(p, "placements")]
    sum_over_ranks(held)
    for gradient in held:
        gradient /= world_size()


def sum_over_ranks(values: Iterable[Tensor]) -> None:
    """Make every tensor its sum over the ranks, in place."""
    if dist.is_initialized():
        for exchange in [dist.all_reduce(value, async_op=True) for value in values]:
            exchange.wait()


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a detached scalar over all ranks, on each of them."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value = value / world_size()
    return value


def whole(value: Any, *, keep: bool = True) -> Any:
    """`value` (a tensor, or a nest of dictionaries and lists of them) on the CPU, every tensor
    gathered that is spread over ranks.

    keep: False for a rank that only hands over its part; it gets None for each tensor, and no rank
    but the others holds a copy.
    """
    if isinstance(value, dict):
        return {key: whole(item, keep=keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole(item, keep=keep) for item in value]
    if not isinstance(value, Tensor):
        return value
    full = value.full_tensor() if hasattr(value, "full_tensor") else value
    return full.detach().cpu() if keep else None


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """`value` on `like`'s device, spread over ranks as `like` is."""
    spread: Any = like  # a DTensor, in ranks
    if not hasattr(spread, "placements"):
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), spread.device_mesh, spread.placements)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state that `whole` gathered, each rank its part of it."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, moments in state["state"].items():
        like = parameters[index]
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == like.shape:  # not the number of steps
                moments[name] = part_of(value, like)
    optimiser.load_state_dict(state)


def gathered(rows: NDArray[Any]) -> NDArray[Any]:
    """The rows of all ranks below one another, on each of them."""
    if not dist.is_initialized():
        return rows
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, rows)
    return np.concatenate(parts)
