"""Ways to draw a CogVideoX clip in less time or memory, put on a loaded pipeline.

loaded pipeline -> scheduler, 8-bit weights, cache, tiles, offload or device, compiled -> pipeline
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from diffusers import (
    CogVideoXDPMScheduler,
    CogVideoXPipeline,
    FasterCacheConfig,
    FirstBlockCacheConfig,
    PyramidAttentionBroadcastConfig,
)

from core.errors import UserError
from generator.base import Faster, Sampling


def check_installed(faster: Faster) -> None:
    """Raises: UserError: if 8-bit weights are asked for and torchao is not installed."""
    if faster.weights != "as_loaded" and importlib.util.find_spec("torchao") is None:
        raise UserError(
            f"sampling.faster.weights {faster.weights}: torchao is not installed; "
            "`pip install torchao`, or leave the weights as_loaded"
        )


def prepare(
    pipeline: CogVideoXPipeline, sampling: Sampling, device: torch.device
) -> CogVideoXPipeline:
    """The pipeline on `device`, with the scheduler and the faster ways that `sampling` asks for.

    Source of the scheduler: the sampling scripts of CogVideoX, which Ophora's code follows.
    """
    faster = sampling.faster
    if sampling.scheduler == "dpm":
        config = pipeline.scheduler.config
        pipeline.scheduler = CogVideoXDPMScheduler.from_config(config, timestep_spacing="trailing")
    if faster.weights != "as_loaded":
        _shrink_weights(pipeline.transformer, faster)
    if faster.cache != "none":
        pipeline.transformer.enable_cache(_cache(faster.cache, pipeline))
    if faster.tiled:
        pipeline.vae.enable_slicing()
        pipeline.vae.enable_tiling()
    if faster.offload and device.type != "cpu":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if faster.compiled:
        pipeline.transformer.compile()
    return pipeline


def _shrink_weights(transformer: torch.nn.Module, faster: Faster) -> None:
    check_installed(faster)
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    kinds = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}
    quantize_(transformer, kinds[faster.weights]())


def _cache(name: str, pipeline: CogVideoXPipeline) -> Any:
    """A cache's settings as its paper recommends them for CogVideoX.

    Source: diffusers' documentation of each.
    """

    def timestep() -> Any:
        return pipeline.current_timestep

    if name == "first_block":
        return FirstBlockCacheConfig(threshold=0.1)
    if name == "faster":
        return FasterCacheConfig(
            unconditional_batch_timestep_skip_range=(-1, 641),
            attention_weight_callback=lambda _: 0.5,
            tensor_format="BFCHW",
            current_timestep_callback=timestep,
        )
    return PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=timestep
    )
