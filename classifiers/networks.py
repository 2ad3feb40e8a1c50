"""What a classifier is: a configuration (plain data, part of a stage's key) that builds a network.

Nano and paper scale differ in widths, depths and sizes. `classifiers/families.py` lists the kinds.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

import pydantic
import torch
from exca.helpers import DiscriminatedModel
from torch import Tensor, nn

# Source: the Kinetics recipes of pytorchvideo (SlowFast) and mmaction2 (MViTv2), which agree.
MEAN, STD = 0.45, 0.225
Count = Annotated[int, pydantic.Field(ge=1)]
Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]


def normalise(frames: Tensor) -> Tensor:
    """(B, T, H, W, 3) uint8 RGB -> (B, 3, T, H, W) float32 in about -2..2.44.

    The memory is not moved, so the result lies in channels_last_3d.
    """
    return frames.permute(0, 4, 1, 2, 3).to(torch.float32).sub_(255 * MEAN).div_(255 * STD)


class Classifier(nn.Module):
    """Backbone -> features (B, D) -> Dropout -> Linear -> logits (B, num_classes).

    Input: (B, 3, T, H, W) float32, as `prepare` makes it of what a table of clips holds.
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

    def prepare(self, frames: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 RGB -> the network's input."""
        return normalise(frames)

    @abstractmethod
    def features(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) float32 -> what the linear layer sees, (B, D) float32."""

    def tokens(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) float32 -> the features of places and times, (B, L, D) float32; of a
        network that does not say where, one."""
        return self.features(clips)[:, None]

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

    def shape(self, num_frames: int, size: int) -> tuple[int, int]:
        """Frames and side in pixels of the clips that it sees, where a run has (num_frames, size);
        a network whose weights fix them has its own."""
        return num_frames, size

    def reading(self, num_frames: int) -> str:
        """How the network uses the decoded frames, in words for a table's footnote."""
        return f"{num_frames} frames"


def lay_out(module: Any, layout: torch.memory_format) -> None:
    module.to(memory_format=layout)  # torch's type stubs do not know this overload
