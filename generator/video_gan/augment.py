"""Adaptive augmentation: what the discriminator sees is changed at random, real or made, and as
often as keeps it from knowing its real clips by heart.

Source: StyleGAN2-ADA (arXiv 2006.06676), Sec. 3 and Eq. 1 (r_t), with the strengths of its code for
mirrors, shifts by whole pixels, brightness, contrast and saturation; its rotations, scalings and
turns of hue are left out (our choice). All frames of a clip are changed alike, as in StyleGAN-V.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHIFT = 0.125  # of the side, at most
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # deviations; of the last two, in octaves
LUMA = (0.299, 0.587, 0.114)


def augmented(clips: Tensor, probability: float) -> Tensor:
    """Change each clip, each way with `probability`.

    Args: clips: (B, T, 3, H, W), about in [-1, 1]; gradients flow through.
    """
    if probability == 0:
        return clips
    return _coloured(_moved(clips, probability), probability)


def _chosen(clips: Tensor, probability: float) -> Tensor:
    """(B,) bool: which clips are changed in one way."""
    return torch.rand(len(clips), device=clips.device) < probability


def _moved(clips: Tensor, probability: float) -> Tensor:
    """Mirrored and shifted; what comes in at the border is its mirror image."""
    places = []
    for side in clips.shape[-2:]:
        reach = int(SHIFT * side)
        shift = torch.randint(-reach, reach + 1, (len(clips),), device=clips.device)
        shift = shift * _chosen(clips, probability)
        place = (torch.arange(side, device=clips.device) + shift[:, None]).abs()
        places.append(torch.where(place < side, place, 2 * (side - 1) - place))
    rows, columns = places
    mirrored = _chosen(clips, probability / 2)[:, None]  # half of those chosen look the same
    columns = torch.where(mirrored, clips.shape[-1] - 1 - columns, columns)
    of_clip = torch.arange(len(clips), device=clips.device)[:, None, None]
    moved = clips.permute(0, 3, 4, 1, 2)[of_clip, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 4, 1, 2)


def _coloured(clips: Tensor, probability: float) -> Tensor:
    def draw(deviation: float) -> Tensor:
        drawn = deviation * torch.randn(len(clips), device=clips.device)
        return (drawn * _chosen(clips, probability)).view(-1, 1, 1, 1, 1)

    clips = (clips + draw(BRIGHTNESS)) * draw(CONTRAST).exp2()
    weights = torch.tensor(LUMA, device=clips.device).view(3, 1, 1)
    grey = (clips * weights).sum(2, keepdim=True)
    return torch.lerp(grey, clips, draw(SATURATION).exp2())
