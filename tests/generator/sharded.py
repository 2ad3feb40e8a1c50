"""What ranks do in the tests of sharding; importable by them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.distributed.fsdp import FSDPModule

from core.distributed import rank, share, whole
from core.files import write_json
from generator.endora.training import WithPrior
from tests.generator.tiny import endora_network


def shard_endora(folder: Path) -> None:
    """Share an Endora in its prior's wrapper; note what is sharded and what each rank keeps."""
    model = WithPrior(endora_network(), None)
    config = model.denoiser.config
    share(model, "shard")
    latents = torch.zeros(1, config.num_frames, config.in_channels, config.height, config.width)
    output, _ = model(latents, torch.tensor([3]), None, None)
    output.square().mean().backward()
    kept = whole(model.state_dict(), keep=rank() == 0)
    write_json(
        folder / f"rank-{rank()}.json",
        {
            "sharded": [
                name for name, part in model.named_modules() if isinstance(part, FSDPModule)
            ],
            "kept": sum(value is not None for value in kept.values()),
            "states": len(kept),
        },
    )
