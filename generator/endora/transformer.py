"""Endora's denoiser (Latte's architecture), of timm's layers.

patches + positions -> N x [block within frames -> block along time] -> adaptive norm -> noise and
variance of every latent value

Source: Endora (arXiv 2403.11050) and CUHK-AIM-Group/Endora: adaLN-zero (shift, scale and gate of a
block from its own layer, which begins at zero), learned sigma, temporal positions added once. The
parameters have the released names.
"""

from __future__ import annotations

from functools import partial

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import (
    Timesteps,
    get_1d_sincos_pos_embed_from_grid,
    get_2d_sincos_pos_embed,
)
from timm.layers import Mlp, PatchEmbed
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

FREQUENCIES = 256  # of the time step's sines and cosines


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(N, L, D) tokens, shifted and scaled by a (N, D) vector each."""
    return x * (1 + scale[:, None]) + shift[:, None]


class AdaptiveBlock(nn.Module):
    """Attention and MLP, both residual and gated by the condition; the identity when it is new."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(dim, num_heads=heads, qkv_bias=True)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        gelu = partial(nn.GELU, approximate="tanh")
        self.mlp = Mlp(dim, hidden_features=int(dim * mlp_ratio), act_layer=gelu)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Args: x: (B n, L, D), n sequences a clip; condition: (B, D)."""
        modulation = self.adaLN_modulation(condition).repeat_interleave(len(x) // len(condition), 0)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, 1)
        x = x + gate1[:, None] * self.attn(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


class TimestepEmbedder(nn.Module):
    """Diffusion step -> (B, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.frequencies = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, timestep: Tensor) -> Tensor:
        return self.mlp(self.frequencies(timestep).to(self.mlp[0].weight.dtype))


class LabelEmbedder(nn.Module):
    """Class -> (B, D); the row after the last class stands for no class."""

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, dim)


class FinalLayer(nn.Module):
    """Tokens -> patches of noise and variance."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(dim, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Args: x: (B n, L, D); condition: (B, D)."""
        modulation = self.adaLN_modulation(condition).repeat_interleave(len(x) // len(condition), 0)
        shift, scale = modulation.chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class EndoraTransformer(ModelMixin, ConfigMixin):
    """The network. Defaults: EnDora-XL/2 as released (16 frames of 128x128, SD VAE latents).

    Args: num_frames, height, width: of the latent clip; num_classes: None is unconditional; depth:
    blocks, spatial and temporal ones in turn; temporal: False makes all of them spatial, so that
    frames never meet; learned_variance: False leaves the variance out of the outputs.
    """

    @register_to_config
    def __init__(
        self,
        num_frames: int = 16,
        height: int = 16,
        width: int = 16,
        in_channels: int = 4,
        patch_size: int = 2,
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        num_classes: int | None = None,
        temporal: bool = True,
        learned_variance: bool = True,
    ) -> None:
        super().__init__()
        if depth % 2:
            raise ValueError(f"depth {depth}: must be even (spatial and temporal blocks in turn)")
        self.grid = (height // patch_size, width // patch_size)
        self.x_embedder = PatchEmbed((height, width), patch_size, in_channels, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        if num_classes is not None:
            self.y_embedder = LabelEmbedder(num_classes, hidden_size)
        self.blocks = nn.ModuleList(
            AdaptiveBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.outputs = in_channels * (2 if learned_variance else 1)
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * self.outputs)
        space = get_2d_sincos_pos_embed(hidden_size, self.grid, output_type="pt")
        frames = torch.arange(num_frames)
        time = get_1d_sincos_pos_embed_from_grid(hidden_size, frames, output_type="pt")
        self.register_buffer("pos_embed", space.float()[None])
        self.register_buffer("temp_embed", time.float()[None])
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, LabelEmbedder):
                nn.init.normal_(module.embedding_table.weight, std=0.02)
        nn.init.xavier_uniform_(self.x_embedder.proj.weight.flatten(1))
        nn.init.zeros_(self.x_embedder.proj.bias)
        for layer in self.t_embedder.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        for block in [*self.blocks, self.final_layer]:
            nn.init.zeros_(block.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        labels: Tensor | None = None,
        features_of: tuple[int, ...] = (),
        *,
        local: bool = False,
        places: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Args: latents: (B, T, C, h, w); timestep: (B,); labels: (B,) int64, `num_classes` for
        none; features_of: spatial blocks, counted from 0, whose outputs are returned; local: those
        are computed once more from detached inputs, so that a loss on them reaches these blocks
        alone; places: (B, T) int64, which frames of a clip these are, None: the first T.

        Returns: (B, T, 2C, h, w), predicted noise, then variance interpolation in about [-1, 1]
        (C: the noise alone, without a learned variance); features (B T, S, D).
        """
        batch, frames = latents.shape[:2]
        condition = self.t_embedder(timestep)
        if labels is not None:
            condition = condition + self.y_embedder.embedding_table(labels)
        x = self.x_embedder(latents.flatten(0, 1)) + self.pos_embed
        features: list[Tensor] = []
        for number in range(0, len(self.blocks), 2):
            inputs, spatial = x, self.blocks[number]
            x = spatial(inputs, condition)
            if number // 2 in features_of:
                features.append(spatial(inputs.detach(), condition.detach()) if local else x)
            if not self.config.temporal:
                x = self.blocks[number + 1](x, condition)
                continue
            x = _swap(x, batch)
            if number == 0:
                x = x + self._times(places, frames)
            x = _swap(self.blocks[number + 1](x, condition), batch)
        return self._unpatchify(self.final_layer(x, condition), batch), features

    def _times(self, places: Tensor | None, frames: int) -> Tensor:
        """(1, T, D), or (B S, T, D): the same places for all patches of a clip."""
        if places is None:
            return self.temp_embed[:, :frames]
        rows, columns = self.grid
        return self.temp_embed[0, places].repeat_interleave(rows * columns, 0)

    def _unpatchify(self, x: Tensor, batch: int) -> Tensor:
        patch, (rows, columns) = self.config.patch_size, self.grid
        x = x.view(-1, rows, columns, patch, patch, self.outputs).permute(0, 5, 1, 3, 2, 4)
        x = x.reshape(len(x), self.outputs, rows * patch, columns * patch)
        return x.view(batch, -1, *x.shape[1:])


def _swap(x: Tensor, batch: int) -> Tensor:
    """(B a, b, D) -> (B b, a, D): from patches of frames to frames of patches, and back."""
    return x.view(batch, -1, *x.shape[1:]).transpose(1, 2).flatten(0, 1)
