"""Data-parallel training inside one stage: N processes of this machine, one a GPU.

    stage (parent) -> launch -> N ranks run the same function -> parent reads what rank 0 left

Started and watched by torch's elastic launcher, what `torchrun` calls: if a rank dies, all stop.
The libraries behind it take seconds to import, so they are imported where they are used.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import UserError
from core.runtime import Runtime, Sharding
from core.workers import die_with_parent


def rank() -> int:
    """This process's number among those that train together; 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together; 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def launch(function: Callable[..., object], *arguments: Any, runtime: Runtime, ranks: int) -> None:
    """Run `function(*arguments)` in so many ranks and wait for all of them.

    Both must be picklable. Each rank has its own device and `runtime.threads` threads.
    Raises: UserError: the first rank's own, if an input was wrong. RuntimeError: if a rank failed.
    KeyboardInterrupt, SystemExit: if this process was told to stop (Ctrl-C; a cluster's SIGTERM).
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, _rank_main)(function, arguments, runtime)
    except SignalException as error:
        # It cannot be unpickled: as a stage's failure it would make the next run fail as well.
        if error.sigval is signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        written: Any = error.get_first_failure()[1].message  # a dictionary where Python raised
        message = str(written["message"] if isinstance(written, dict) else written)
        name, _, said = message.partition(": ")
        if name == UserError.__name__:
            raise UserError(said) from None
        raise RuntimeError(f"a training process failed: {message}") from error


def _rank_main(
    function: Callable[..., object], arguments: tuple[Any, ...], runtime: Runtime
) -> None:
    die_with_parent()
    faulthandler.enable()  # a rank that a signal ends says where it was
    local = int(os.environ["LOCAL_RANK"])
    runtime.apply()
    cuda = runtime.torch_device().type == "cuda"
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        function(*arguments)
        dist.barrier()  # a rank that leaves early can cut off what another still reads from it
    finally:
        dist.destroy_process_group()


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
