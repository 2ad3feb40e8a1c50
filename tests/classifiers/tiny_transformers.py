"""Video transformers of a few thousand parameters, saved as the library saves published ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

FRAMES, SIDE = 4, 32
CROP = {"crop_size": {"height": SIDE, "width": SIDE}, "size": {"shortest_edge": SIDE}}
SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": SIDE, "patch_size": 16, "num_frames": FRAMES, "initializer_range": 0.2,
}  # fmt: skip
DECODER = {
    "decoder_num_hidden_layers": 1, "decoder_hidden_size": 16, "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 16,
}  # fmt: skip
JEPA: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "crop_size": SIDE,
    "frames_per_clip": FRAMES, "mlp_ratio": 2, "num_pooler_layers": 1, "pred_hidden_size": 24,
    "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "initializer_range": 0.2,
}  # fmt: skip


def _videomae(kind: str, **more: Any) -> Any:
    return getattr(transformers, kind)(transformers.VideoMAEConfig(**SMALL, **more))


def _jepa(kind: str) -> Any:
    return getattr(transformers, kind)(transformers.VJEPA2Config(**JEPA))


# Each with the image or video processor that is published beside it.
MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "VideoMAE": (
        lambda: _videomae("VideoMAEForVideoClassification", num_labels=5),
        lambda: transformers.VideoMAEImageProcessor(**CROP),
    ),
    "VideoMAE, pretrained": (
        lambda: _videomae("VideoMAEForPreTraining", **DECODER),
        lambda: transformers.VideoMAEImageProcessor(**CROP, image_mean=[0.1, 0.2, 0.3]),
    ),
    "TimeSformer": (
        lambda: transformers.TimesformerForVideoClassification(
            transformers.TimesformerConfig(**SMALL)
        ),
        lambda: transformers.VideoMAEImageProcessor(
            **CROP, image_mean=[0.45] * 3, image_std=[0.225] * 3
        ),
    ),
    "ViViT": (
        lambda: transformers.VivitForVideoClassification(transformers.VivitConfig(**SMALL)),
        lambda: transformers.VivitImageProcessor(**CROP),
    ),
    "V-JEPA 2": (
        lambda: _jepa("VJEPA2ForVideoClassification"),
        lambda: transformers.VJEPA2VideoProcessor(crop_size=SIDE),
    ),
    "V-JEPA 2, pretrained": (
        lambda: _jepa("VJEPA2Model"),
        lambda: transformers.VJEPA2VideoProcessor(crop_size=SIDE),
    ),
}


def saved(name: str, folder: Path) -> Path:
    """A tiny model of a class with its processor in `folder`; the same weights each time."""
    torch.manual_seed(0)
    model, processor = MODELS[name]
    model().save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder
