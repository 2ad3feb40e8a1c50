"""Endora's prior: what its spatial blocks attend to should agree with what a frozen DINO sees.

frames -> frozen ViT -> features of some of its blocks -> strided convolution -> one map a frame and
block -> 1 - Pearson's correlation with the map of a spatial block

Source: Endora (arXiv 2403.11050), Sec. 2.3, and CUHK-AIM-Group/Endora, whose choices are the
defaults here (features, 2x2 convolution, weight 0.5). The paper says attention maps and 3x3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UserError
from core.files import read_object, write_json

MODEL_NAME, CONFIG_NAME = "model.safetensors", "config.json"
# Source: DINO's and timm's normalisation of ImageNet images.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PriorSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How the prior enters the loss."""

    weight: float = pydantic.Field(default=0.5, gt=0)
    """Of the prior, beside the loss of the noise."""
    of: Literal["features", "attention"] = "features"
    """What is taken from the ViT: the tokens after a block ("features"), or the class token's
    attention in it, a map a head ("attention")."""
    layers: tuple[int, ...] = pydantic.Field(default=(2, 5, 8, 11), min_length=1)
    """Blocks of the ViT, counted from 0."""
    blocks: tuple[int, ...] = pydantic.Field(default=(2, 5, 8, 11), min_length=1)
    """The denoiser's spatial blocks that are matched with them, counted from 0."""
    kernel: Literal[2, 3] = 2
    """Side of the convolution's kernel; its stride is 2."""
    reach: Literal["spatial", "all"] = "spatial"
    """Where the gradient goes: "spatial", those blocks alone; "all", also what comes before them,
    as in the released code."""

    @pydantic.model_validator(mode="after")
    def _matched_one_to_one(self) -> PriorSettings:
        if len(self.layers) != len(self.blocks):
            raise ValueError(f"layers {self.layers} and blocks {self.blocks}: as many of each")
        for name, numbers in (("layers", self.layers), ("blocks", self.blocks)):
            if list(numbers) != sorted(set(numbers)):
                raise ValueError(f"{name} {numbers}: each once, in ascending order")
        return self


class DinoPrior(nn.Module):
    """The frozen ViT and the convolution that is trained with the denoiser.

    vit: timm's VisionTransformer; hidden_size, grid: width of the denoiser and its patches (rows,
    columns) a frame.
    """

    def __init__(
        self, vit: Any, settings: PriorSettings, hidden_size: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        depth = len(vit.blocks)
        if max(settings.layers) >= depth:
            raise UserError(f"prior.layers {settings.layers}: the ViT has blocks 0 to {depth - 1}")
        self.settings, self.grid = settings, grid
        self.vit = vit.eval().requires_grad_(False)
        channels = vit.embed_dim if settings.of == "features" else vit.blocks[0].attn.num_heads
        padding = settings.kernel // 2 if settings.kernel % 2 else 0
        self.projection = nn.Conv2d(
            channels, hidden_size, settings.kernel, stride=2, padding=padding, bias=False
        )

    def train(self, mode: bool = True) -> DinoPrior:
        """The ViT stays as it is."""
        super().train(mode)
        self.vit.eval()
        return self

    def forward(self, frames: Tensor, features: list[Tensor]) -> Tensor:
        """Args: frames: (B, T, H, W, 3) uint8; features: (B T, S, D) of each matched block.

        Returns: (B,): 1 - r, averaged over frames and blocks.
        """
        targets = self._targets(frames.flatten(0, 1))
        convolution, losses = self.projection, []
        # The map is the channels' mean, which is what one channel with the mean kernel gives.
        kernel = convolution.weight.mean(0, keepdim=True)
        for target, feature in zip(targets, features, strict=True):
            projected = functional.conv2d(
                target.to(kernel.dtype), kernel, stride=2, padding=convolution.padding
            )
            # The ViT's patches are half as large as the denoiser's, where sizes allow it.
            projected = functional.adaptive_avg_pool2d(projected, self.grid)
            maps = projected.float().flatten(1), feature.float().mean(2)
            losses.append(1 - pearson(*maps))
        return torch.stack(losses).mean(0).view(len(frames), -1).mean(1)

    @torch.no_grad()
    def _targets(self, frames: Tensor) -> list[Tensor]:
        """(N, H, W, 3) uint8 -> one (N, C, h, w) a matched layer."""
        images = frames.permute(0, 3, 1, 2).to(self.projection.weight.dtype) / 255
        images = normalised(images)
        if self.settings.of == "features":
            found: list[Tensor] = self.vit.forward_intermediates(
                images, indices=list(self.settings.layers), norm=True, intermediates_only=True
            )
            return found
        return _attention_maps(self.vit, images, self.settings.layers)


def normalised(images: Tensor) -> Tensor:
    """(N, 3, H, W) in 0..1 -> as DINO was shown them."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


def _attention_maps(vit: Any, images: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
    """The class token's attention to the patches, (N, heads, h, w) for each of the blocks."""
    maps: dict[int, Tensor] = {}
    rows, columns = (images.shape[-2] // vit.patch_embed.patch_size[0],
                     images.shape[-1] // vit.patch_embed.patch_size[1])  # fmt: skip

    def note(number: int) -> Any:
        def hook(attention: Any, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            qkv = attention.qkv(x).view(*x.shape[:2], 3, attention.num_heads, -1)
            queries, keys, _ = qkv.permute(2, 0, 3, 1, 4)
            scores = (queries[:, :, :1] @ keys.transpose(-1, -2)) * attention.scale
            weights = scores.softmax(-1)[:, :, 0, vit.num_prefix_tokens :]
            maps[number] = weights.view(*weights.shape[:2], rows, columns)

        return hook

    hooks = [vit.blocks[n].attn.register_forward_pre_hook(note(n)) for n in layers]
    try:
        vit.forward_features(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [maps[number] for number in layers]


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """(N, S), (N, S) -> (N,): Pearson's correlation of each pair of rows; 0 for a constant row."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return functional.cosine_similarity(a, b, dim=1)


def save_vit(folder: Path, vit: nn.Module, arguments: dict[str, Any]) -> None:
    """Write a ViT and the arguments that built it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_NAME, arguments)
    save_file({k: v.contiguous() for k, v in vit.state_dict().items()}, folder / MODEL_NAME)


def load_vit(folder: Path) -> Any:
    """The ViT of a folder that `save_vit` wrote, or of a timm model of the hub, in float32.

    Raises: UserError: if there is none, or its weights do not fit.
    """
    try:
        arguments = read_object(folder / CONFIG_NAME)
        if "architecture" in arguments:  # timm's own folders
            name = arguments["architecture"]
            vit = timm.create_model(name, num_classes=0, dynamic_img_size=True)
        else:
            vit = timm.models.vision_transformer.VisionTransformer(**arguments)
        state = load_file(folder / MODEL_NAME)
        vit.load_state_dict({name: value.float() for name, value in state.items()})
    except Exception as error:  # whatever timm's code makes of arguments that it cannot use
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"prior {folder}: no DINO can be read ({reason}); name one that `python -m "
            "benchmarks.commands.pretrain dino_nano` made, or DINO's own, "
            "timm/vit_small_patch8_224.dino"
        ) from None
    return vit
