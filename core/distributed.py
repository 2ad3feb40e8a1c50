"""Data-parallel training inside one stage: N processes of this machine, one a GPU.

    stage (parent) -> launch -> N ranks run the same function -> parent reads what rank 0 left

Started and watched by torch's elastic launcher, what `torchrun` calls: if a rank dies, all stop.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.fsdp import fully_shard
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.tensor import DTensor, distribute_tensor

from core.errors import UserError
from core.runtime import Runtime, die_with_parent

Sharding = Literal["replicate", "shard"]


def rank() -> int:
    """This process's number among those that train together; 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together; 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def launch(function: Callable[..., object], *arguments: Any, runtime: Runtime) -> None:
    """Run `function(*arguments)` in `runtime.processes` ranks and wait for all of them.

    Both must be picklable. Each rank has its own device and `runtime.threads` threads.
    Raises: UserError: the first rank's own, if an input was wrong. RuntimeError: if a rank failed.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=runtime.processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, _rank_main)(function, arguments, runtime)
    except ChildFailedError as error:
        written: Any = error.get_first_failure()[1].message  # a dictionary where Python raised
        message = str(written["message"] if isinstance(written, dict) else written)
        name, _, said = message.partition(": ")
        if name == UserError.__name__:
            raise UserError(said) from None
        raise RuntimeError(f"a training process failed: {message}") from error


@record
def _rank_main(
    function: Callable[..., object], arguments: tuple[Any, ...], runtime: Runtime
) -> None:
    die_with_parent()
    local = int(os.environ["LOCAL_RANK"])
    runtime.apply()
    cuda = runtime.torch_device().type == "cuda"
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        function(*arguments)
    finally:
        dist.destroy_process_group()


def share(model: nn.Module, sharding: Sharding) -> None:
    """Keep the ranks' copies of `model` equal, in place: its gradients are averaged from now on.

    "replicate": every rank holds all of it (DDP). "shard": every rank holds a part of parameters,
    gradients and optimiser state (FSDP2), gathered block by block.
    """
    size = world_size()
    shape = (size, 1) if sharding == "replicate" else (1, size)
    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, shape, mesh_dim_names=("replicate", "shard"))
    for blocks in model.children():
        if isinstance(blocks, nn.ModuleList):
            for block in blocks:
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a detached scalar over all ranks, on each of them."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value = value / world_size()
    return value


def whole(tensor: Tensor) -> Tensor:
    """A parameter's full value on the CPU, gathered if it is spread over ranks."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu()


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """`value` on `like`'s device, spread over ranks as `like` is."""
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value.to(like.device)
