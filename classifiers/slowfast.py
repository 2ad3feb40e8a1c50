"""SlowFast (pytorchvideo). The defaults are the paper's network."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from classifiers.family import ClassifierFamily
from classifiers.networks import Classifier, Count, Fraction, Network, lay_out
from core.errors import UserError

# Of "uniformly sampled 8 frames", by (decoded frames, alpha).
READINGS = {(8, 4): "A", (8, 8): "B", (32, 4): "C"}


class _SlowFastClassifier(Classifier):
    def __init__(self, alpha: int, freeze_norm: bool, **parts: Any) -> None:
        super().__init__(**parts)
        self.alpha, self.freeze_norm = alpha, freeze_norm
        # With its few channels the fast pathway is quicker in the default layout: a training step
        # takes a fifth less time than with channels_last_3d throughout (nano, one CPU thread).
        lay_out(self, torch.channels_last_3d)
        for block in parts["backbone"].blocks:
            lay_out(block.multipathway_blocks[1], torch.contiguous_format)

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

    Source: Feichtenhofer et al., "SlowFast networks for video recognition" (2019).
    """

    depth: int = 50
    """Layers of the residual network: 18, 50, 101 or 152."""
    stem_dim_outs: tuple[Count, Count] = (64, 8)
    """Channels of the (slow, fast) stem, 8 : 1; all later widths follow from them."""
    stem_kernel: Literal[3, 5, 7] = 7
    """Height and width of the stem's kernels in pixels."""
    alpha: Count = 4
    """Fast frames per slow frame. The paper's "uniformly sampled 8 frames" has three readings: A,
    the default: 8 decoded frames, alpha 4 (8 fast, 2 slow); B: 8 frames, alpha 8 (8 fast, 1 slow);
    C: 32 frames, alpha 4 (32 fast, 8 slow)."""
    dropout: Fraction = 0.5
    """Share of features left out before the last layer."""
    freeze_norm: bool = False
    """BatchNorm keeps the statistics that it has (those of `weights`), which suits small
    batches."""

    @pydantic.model_validator(mode="after")
    def _the_library_can_build_it(self) -> SlowFast:
        if self.depth not in (18, 50, 101, 152):
            raise ValueError(f"depth {self.depth} is not one of 18, 50, 101, 152")
        slow, fast = self.stem_dim_outs
        if slow != 8 * fast:
            raise ValueError(f"stem_dim_outs {slow}, {fast}: the first must be 8 times the second")
        return self

    def named_reading(self, num_frames: int) -> str:
        """Which of the paper's three readings it is, else how many frames each pathway sees."""
        letter = READINGS.get((num_frames, self.alpha))
        return f"reading {letter}" if letter else self.reading(num_frames)

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


FAMILY = ClassifierFamily(
    name="slowfast",
    label="SlowFast",
    about="SlowFast (pytorchvideo), 8 uniform frames",
    network=SlowFast,
    gflops=25.2,
)
