"""What ranks do in the tests of `core.launching`; importable by them, on every node."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.batch import Batch
from core.distributed import rank, world_size
from core.fitting import fit
from core.optimisation import Optimisation
from core.runtime import Runtime

SETTINGS = Optimisation(
    steps=20, batch_size=8, lr=0.05, checkpoint_every=1, weight_decay=0.0, ema_decay=None
)


def fit_curve(folder: Path, runtime: Runtime, lose_at: int | None = None) -> nn.Module:
    """Fit y = x^2 from 20 points in 20 steps, logged step by step; optionally lose a node before a
    step is done."""
    points = torch.linspace(-1, 1, 20)[:, None]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    calls = 0

    def loss(batch: Batch) -> Tensor:
        nonlocal calls
        if calls == lose_at:
            lose_a_node()
        calls += 1
        x = points[batch.index]
        noise = 0.01 * batch.normal((1,))
        return (model(x) - x.square() - noise).square().mean(1)

    device = torch.device("cpu")
    fit(model, loss, 20, SETTINGS, folder, description="", device=device, runtime=runtime)
    return model


def lose_a_node() -> None:
    """The last rank's launcher is killed, and the rank with it; the others wait for it."""
    if rank() == world_size() - 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # until the kernel ends this one as well
    dist.barrier()
