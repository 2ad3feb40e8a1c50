"""MViTv2 (mmaction2). The defaults are the paper's network."""

from __future__ import annotations

import logging
import warnings

import pydantic
import torch
from torch import Tensor

from classifiers.family import ClassifierFamily
from classifiers.networks import Classifier, Count, Fraction, Network, lay_out
from core.errors import UserError


class _MViTClassifier(Classifier):
    def features(self, clips: Tensor) -> Tensor:
        _feature_map, class_token = self.backbone(clips)[0]
        token: Tensor = class_token
        return token


class MViTv2(Network):
    """MViTv2 through mmaction2's `MViT`; the defaults are MViTv2-S: at 52 classes and 224 px,
    34,270,132 parameters with 16 frames and 34,257,844 with 8.

    Source: Li et al., "MViTv2" (2022); mmaction2, configs/recognition/mvit (mvit-small-p244).
    """

    embed_dims: Count = 96
    """Width of the first layers."""
    num_layers: Count = 16
    """Transformer layers."""
    num_heads: Count = 1
    """Attention heads of the first layers."""
    downscale_indices: tuple[int, ...] = (1, 3, 14)
    """Layers, counted from 0, that halve the map and double width and heads."""
    patch_kernel: tuple[Count, Count, Count] = (3, 7, 7)
    """Of the convolution that makes patches: frames, pixels, pixels (height before width)."""
    patch_stride: tuple[Count, Count, Count] = (2, 4, 4)
    """Of the same convolution: a token for each so many frames, rows and columns."""
    pool_kernel: tuple[Count, Count, Count] = (3, 3, 3)
    """Of the pooling of queries, keys and values: (time, height, width)."""
    kv_stride: tuple[Count, Count, Count] = (1, 8, 8)
    """Of keys and values in the first layers: (time, height, width); each halving of the map halves
    it."""
    drop_path: Fraction = 0.2
    """Largest share of residual branches left out, reached in the last layer."""
    dropout: Fraction = 0.5
    """Share of features left out before the last layer."""

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
        lay_out(model, torch.channels_last_3d)
        return model


FAMILY = ClassifierFamily(
    name="mvit_v2",
    label="MViTv2",
    about="MViTv2 (mmaction2), 8 uniform frames",
    network=MViTv2,
    gflops=57.0,
)
