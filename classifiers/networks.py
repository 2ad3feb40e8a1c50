"""SlowFast and MViTv2: one class each; nano and paper scale differ in widths, depths and sizes.

Both are configurations (plain data, part of a stage's key) whose `build` gives a torch module.
The defaults are the paper's networks; the nano ones are in `benchmarks/configs/_nano.yaml`.
"""

from __future__ import annotations

import logging
import warnings
from abc import abstractmethod
from typing import Annotated, Any, Literal

import pydantic
import torch
from exca.helpers import DiscriminatedModel
from torch import Tensor, nn

from core.errors import UserError

Count = Annotated[int, pydantic.Field(ge=1)]
Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]


class Classifier(nn.Module):
    """Backbone -> features (B, D) -> Dropout -> Linear -> logits (B, num_classes).

    Input: (B, 3, T, H, W) float32, normalised by `classifiers.prediction.normalise`.
    """

    def __init__(
        self, backbone: nn.Module, dim: int, num_classes: int, dropout: float, head_std: float
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=head_std)
        nn.init.zeros_(self.head.bias)

    @abstractmethod
    def features(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) float32 -> what the linear layer sees, (B, D) float32."""

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(clips)))
        return logits


class Network(DiscriminatedModel, discriminator_key="kind", extra="forbid", frozen=True):
    """Family of the classifiers' architectures. Subclasses add fields and `build`."""

    @abstractmethod
    def build(self, num_classes: int, num_frames: int, size: int) -> Classifier:
        """A freshly initialised network for clips of `num_frames` frames of `size` x `size` pixels.

        Its 5-D weights lie in channels_last_3d where that is the faster layout on a CPU.
        Initialisation draws from torch's global generator: seed it first.
        Raises: UserError: if the architecture cannot take such clips.
        """

    def reading(self, num_frames: int) -> str:
        """How the network uses the decoded frames, in words for a table's footnote."""
        return f"{num_frames} frames"


def _lay_out(module: Any, layout: torch.memory_format) -> None:
    module.to(memory_format=layout)  # torch's type stubs do not know this overload


class _SlowFastClassifier(Classifier):
    def __init__(self, alpha: int, freeze_norm: bool, **parts: Any) -> None:
        super().__init__(**parts)
        self.alpha, self.freeze_norm = alpha, freeze_norm
        # With its few channels the fast pathway is quicker in the default layout: a training step
        # takes a fifth less time than with channels_last_3d throughout (nano, one CPU thread).
        _lay_out(self, torch.channels_last_3d)
        for block in parts["backbone"].blocks:
            _lay_out(block.multipathway_blocks[1], torch.contiguous_format)

    def train(self, mode: bool = True) -> _SlowFastClassifier:
        super().train(mode)
        if self.freeze_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def features(self, clips: Tensor) -> Tensor:
        # The slow pathway's frames are evenly spaced, first and last included.
        # Source: pytorchvideo, tutorial of the SlowFast hub model (PackPathway).
        frames = clips.shape[2]
        keep = torch.linspace(0, frames - 1, frames // self.alpha, device=clips.device).long()
        slow = clips.index_select(2, keep).contiguous(memory_format=torch.channels_last_3d)
        pathways = self.backbone([slow, clips.contiguous()])
        # The mean over all positions is the library's head pooling with kernels of the full map.
        return torch.cat([pathway.mean((2, 3, 4)) for pathway in pathways], dim=1)


class SlowFast(Network):
    """SlowFast through pytorchvideo's `create_slowfast`; the defaults are R50, 33,764,348
    parameters at 52 classes.

    depth: of the residual network. stem_dim_outs: channels of the (slow, fast) stem, 8 : 1.
    stem_kernel: height and width of the stem's kernels in pixels.
    alpha: fast frames per slow frame. The paper's "uniformly sampled 8 frames" has three readings:
    A, the default: 8 decoded frames, alpha 4 (8 fast, 2 slow); B: 8 frames, alpha 8 (8 fast, 1
    slow); C: 32 frames, alpha 4 (32 fast, 8 slow).
    freeze_norm: BatchNorm keeps the statistics that it has (those of `weights`), which suits small
    batches.
    Source: Feichtenhofer et al., "SlowFast networks for video recognition" (2019).
    """

    depth: int = 50
    stem_dim_outs: tuple[Count, Count] = (64, 8)
    stem_kernel: Literal[3, 5, 7] = 7
    alpha: Count = 4
    dropout: Fraction = 0.5
    freeze_norm: bool = False

    @pydantic.model_validator(mode="after")
    def _the_library_can_build_it(self) -> SlowFast:
        if self.depth not in (18, 50, 101, 152):
            raise ValueError(f"depth {self.depth} is not one of 18, 50, 101, 152")
        slow, fast = self.stem_dim_outs
        if slow != 8 * fast:
            raise ValueError(f"stem_dim_outs {slow}, {fast}: the first must be 8 times the second")
        return self

    def reading(self, num_frames: int) -> str:
        return f"{num_frames} fast and {num_frames // self.alpha} slow frames"

    def build(self, num_classes: int, num_frames: int, size: int) -> Classifier:
        if num_frames % self.alpha:
            raise UserError(
                f"num_frames {num_frames}: must be a multiple of alpha {self.alpha} for SlowFast"
            )
        from pytorchvideo.models.slowfast import create_slowfast

        backbone = create_slowfast(
            model_depth=self.depth,
            stem_dim_outs=self.stem_dim_outs,
            stem_conv_kernel_sizes=((1, *[self.stem_kernel] * 2), (5, *[self.stem_kernel] * 2)),
            slowfast_fusion_conv_stride=(self.alpha, 1, 1),
            head=None,
        )
        del backbone.blocks[-1]  # its pooling kernels are fixed to 32 x 224 x 224 clips
        return _SlowFastClassifier(
            alpha=self.alpha,
            freeze_norm=self.freeze_norm,
            backbone=backbone,
            dim=36 * self.stem_dim_outs[0],  # slow 32 x stem, fast an eighth of that
            num_classes=num_classes,
            dropout=self.dropout,
            head_std=0.01,  # Source: pytorchvideo, init_net_weights
        )


class _MViTClassifier(Classifier):
    def features(self, clips: Tensor) -> Tensor:
        _feature_map, class_token = self.backbone(clips)[0]
        token: Tensor = class_token
        return token


class MViTv2(Network):
    """MViTv2 through mmaction2's `MViT`; the defaults are MViTv2-S: at 52 classes and 224 px,
    34,270,132 parameters with 16 frames and 34,257,844 with 8.

    downscale_indices: layers that halve the map and double width and heads. patch_stride,
    kv_stride: (time, height, width).
    Source: Li et al., "MViTv2" (2022); mmaction2, configs/recognition/mvit (mvit-small-p244).
    """

    embed_dims: Count = 96
    num_layers: Count = 16
    num_heads: Count = 1
    downscale_indices: tuple[int, ...] = (1, 3, 14)
    patch_kernel: tuple[Count, Count, Count] = (3, 7, 7)
    patch_stride: tuple[Count, Count, Count] = (2, 4, 4)
    pool_kernel: tuple[Count, Count, Count] = (3, 3, 3)
    kv_stride: tuple[Count, Count, Count] = (1, 8, 8)
    drop_path: Fraction = 0.2
    dropout: Fraction = 0.5

    @pydantic.model_validator(mode="after")
    def _layers_exist(self) -> MViTv2:
        outside = [i for i in self.downscale_indices if not 1 <= i < self.num_layers]
        if outside:
            raise ValueError(f"downscale_indices {outside}: must lie in 1..{self.num_layers - 1}")
        return self

    def build(self, num_classes: int, num_frames: int, size: int) -> Classifier:
        smallest = self.patch_stride[1] * 2 ** len(self.downscale_indices)
        if size % smallest:
            raise UserError(f"size {size}: must be a multiple of {smallest} for this MViTv2")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmcv-lite has no deformable attention; unused here
            from mmaction.models.backbones.mvit import MViT
            from mmengine.logging import MMLogger
        # init_weights would log every single parameter.
        MMLogger.get_current_instance().setLevel(logging.WARNING)
        backbone = MViT(
            arch={
                "embed_dims": self.embed_dims,
                "num_layers": self.num_layers,
                "num_heads": self.num_heads,
                "downscale_indices": list(self.downscale_indices),
            },
            spatial_size=size,
            temporal_size=num_frames,
            drop_path_rate=self.drop_path,
            pool_kernel=self.pool_kernel,
            adaptive_kv_stride=self.kv_stride,
            patch_cfg={
                "kernel_size": self.patch_kernel,
                "stride": self.patch_stride,
                "padding": tuple(extent // 2 for extent in self.patch_kernel),
            },
        )
        backbone.init_weights()  # without it the weights keep torch's defaults
        model = _MViTClassifier(
            backbone=backbone,
            dim=self.embed_dims * 2 ** len(self.downscale_indices),
            num_classes=num_classes,
            dropout=self.dropout,
            head_std=0.02,  # Source: mmaction2, MViTHead
        )
        _lay_out(model, torch.channels_last_3d)
        return model
