"""STDiT: the denoiser of Bora (Open-Sora 1.0's architecture), of diffusers' layers.

patches + positions -> N x [spatial attention -> temporal attention -> cross-attention to text
-> MLP] -> adaptive norm -> noise and variance of every latent value

Source: Bora (arXiv 2407.08944) and Weixiang-Sun/Bora: PixArt's adaLN-single (one shared time MLP, a
table of shifts and scales a block), learned sigma, zero-initialised temporal, cross and final
projections.
"""

from __future__ import annotations

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import (
    PixArtAlphaTextProjection,
    TimestepEmbedding,
    Timesteps,
    get_1d_sincos_pos_embed_from_grid,
    get_2d_sincos_pos_embed,
)
from torch import Tensor, nn


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift."""
    return x * (1 + scale) + shift


class STDiTBlock(nn.Module):
    """One block; all sub-layers are residual. Tokens (B, T, S, D): T frames of S patches."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        head = {"heads": heads, "dim_head": dim // heads, "bias": True}
        self.norm1 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.spatial = Attention(dim, **head)
        self.temporal = Attention(dim, **head)
        self.cross = Attention(dim, cross_attention_dim=dim, **head)
        self.norm2 = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        inner = int(dim * mlp_ratio)
        self.mlp = FeedForward(dim, inner_dim=inner, activation_fn="gelu-approximate")
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)

    def forward(
        self, x: Tensor, text: Tensor, text_mask: Tensor, time: Tensor, position: Tensor | None
    ) -> Tensor:
        """Args: x: (B, T, S, D); text: (B, L, D); text_mask: (B, L) bool; time: (B, 6, D);
        position: (T, D) or (B, T, D) temporal positions, given to the first block only."""
        batch, frames, patches, dim = x.shape
        table = (self.scale_shift_table + time)[:, :, None, None]
        shift1, scale1, gate1, shift2, scale2, gate2 = table.unbind(1)

        within = modulate(self.norm1(x), shift1, scale1).flatten(0, 1)
        x = x + gate1 * self.spatial(within).view_as(x)

        across = x if position is None else x + position[..., None, :]
        across = self.temporal(across.transpose(1, 2).flatten(0, 1))
        x = x + gate1 * across.view(batch, patches, frames, dim).transpose(1, 2)

        mask = text_mask[:, None].expand(-1, frames * patches, -1)
        crossed = self.cross(
            x.flatten(1, 2), encoder_hidden_states=text, attention_mask=bias(mask, x.dtype)
        )
        x = x + crossed.view_as(x)
        return x + gate2 * self.mlp(modulate(self.norm2(x), shift2, scale2))


def bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention bias of a boolean mask: 0 where True, very negative where False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -1e4)


class STDiT(ModelMixin, ConfigMixin):
    """The network. Defaults: STDiT-XL/2 as Bora uses it (T5 v1.1 XXL text, SD VAE latents).

    Args: num_frames, height, width: of the latent clip; patch_size: spatial patch (1, p, p);
    space_scale: positions in a frame go from 0 to 16 / space_scale, whatever its size.
    """

    @register_to_config
    def __init__(
        self,
        num_frames: int = 40,
        height: int = 32,
        width: int = 32,
        in_channels: int = 4,
        patch_size: int = 2,
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        text_dim: int = 4096,
        max_text_tokens: int = 120,
        space_scale: float = 0.5,
    ) -> None:
        super().__init__()
        self.grid = (height // patch_size, width // patch_size)
        self.patchify = nn.Conv2d(in_channels, hidden_size, patch_size, stride=patch_size)
        self.time_proj = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(256, hidden_size)
        time_linear = nn.Linear(hidden_size, 6 * hidden_size)
        self.time_block = nn.Sequential(nn.SiLU(), time_linear)
        self.caption_projection = PixArtAlphaTextProjection(text_dim, hidden_size)
        self.null_text = nn.Parameter(torch.randn(max_text_tokens, text_dim) / text_dim**0.5)
        self.blocks = nn.ModuleList(
            STDiTBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.norm_out = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.final_table = nn.Parameter(torch.randn(2, hidden_size) / hidden_size**0.5)
        self.final = nn.Linear(hidden_size, patch_size**2 * 2 * in_channels)
        self._add_positions(hidden_size, num_frames, space_scale)
        self._initialise()

    def _add_positions(self, dim: int, num_frames: int, space_scale: float) -> None:
        # Fixed functions of the shape: kept out of the saved weights. Shapes (S, D) and (T, D).
        space = get_2d_sincos_pos_embed(
            dim, self.grid, interpolation_scale=space_scale, output_type="pt"
        )
        time = get_1d_sincos_pos_embed_from_grid(dim, torch.arange(num_frames), output_type="pt")
        self.register_buffer("space_positions", space.float(), persistent=False)
        self.register_buffer("time_positions", time.float(), persistent=False)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patchify.weight.flatten(1))
        for block in self.blocks:
            assert isinstance(block, STDiTBlock)
            for projection in (block.temporal.to_out[0], block.cross.to_out[0]):
                nn.init.zeros_(projection.weight)
        nn.init.zeros_(self.final.weight)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        mask: Tensor,
        dropped: Tensor,
        places: Tensor | None = None,
    ) -> Tensor:
        """Args: latents: (B, T, C, h, w); timestep: (B,); text: (B, L, D); mask: (B, L) bool;
        dropped: (B,) bool, which samples get the learned empty caption instead of their text: as
        many of its tokens as the text has, as in the released code; places: (B, T) int64, which
        frames of a clip these are, None: the first T.

        Returns: (B, T, 2C, h, w): predicted noise, then variance interpolation in about [-1, 1].
        """
        batch, frames, channels, height, width = latents.shape
        tokens = self.patchify(latents.flatten(0, 1)).flatten(2).transpose(1, 2)
        x = (tokens + self.space_positions).view(batch, frames, *tokens.shape[1:])

        embedded = self.time_embedding(self.time_proj(timestep).to(x.dtype))
        time = self.time_block(embedded).view(batch, 6, -1)
        text = torch.where(dropped[:, None, None], self.null_text, text)
        caption = self.caption_projection(text)
        positions = self.time_positions[:frames] if places is None else self.time_positions[places]
        for number, block in enumerate(self.blocks):
            x = block(x, caption, mask, time, positions if number == 0 else None)

        shift, scale = (self.final_table + embedded[:, None])[:, :, None, None].unbind(1)
        x = self.final(modulate(self.norm_out(x), shift, scale))
        return self._unpatchify(x, channels).view(batch, frames, 2 * channels, height, width)

    def _unpatchify(self, x: Tensor, channels: int) -> Tensor:
        patch, (rows, columns) = self.config.patch_size, self.grid
        x = x.flatten(0, 1).view(-1, rows, columns, patch, patch, 2 * channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(x), 2 * channels, rows * patch, -1)
