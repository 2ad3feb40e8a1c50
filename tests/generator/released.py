"""Random weights under the names and shapes that Bora was published with."""

from __future__ import annotations

import torch
from torch import Tensor

from generator.bora.stdit import STDiT

State = dict[str, Tensor]


def released(model: STDiT) -> State:
    """Random weights with the published names and shapes for a network of `model`'s sizes."""
    torch.manual_seed(3)
    config, dim = model.config, model.config.hidden_size
    patch = (dim, config.in_channels, 1, config.patch_size, config.patch_size)
    inner, out = int(dim * config.mlp_ratio), 2 * config.in_channels * config.patch_size**2
    shapes: dict[str, tuple[int, ...]] = {
        "y_embedder.y_embedding": (config.max_text_tokens, config.text_dim),
        "final_layer.scale_shift_table": (2, dim),
    }

    def layer(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    layer("x_embedder.proj", *patch)
    layer("t_embedder.mlp.0", dim, 256)
    layer("t_embedder.mlp.2", dim, dim)
    layer("t_block.1", 6 * dim, dim)
    layer("y_embedder.y_proj.fc1", dim, config.text_dim)
    layer("y_embedder.y_proj.fc2", dim, dim)
    layer("final_layer.linear", out, dim)
    for number in range(config.depth):
        block = f"blocks.{number}"
        shapes[f"{block}.scale_shift_table"] = (6, dim)
        for name in ("attn", "attn_temp"):
            layer(f"{block}.{name}.qkv", 3 * dim, dim)
            layer(f"{block}.{name}.proj", dim, dim)
        layer(f"{block}.cross_attn.q_linear", dim, dim)
        layer(f"{block}.cross_attn.kv_linear", 2 * dim, dim)
        layer(f"{block}.cross_attn.proj", dim, dim)
        layer(f"{block}.mlp.fc1", inner, dim)
        layer(f"{block}.mlp.fc2", dim, inner)
    return {name: 0.1 * torch.randn(shape) for name, shape in shapes.items()}
