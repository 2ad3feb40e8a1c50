"""CLIP from a folder of `transformers` (`CLIPModel`): the published one, or OphCLIP saved so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from benchmarks.metrics.encoders import CONFIG_NAME, WEIGHTS_NAME, MetricEncoder
from core.errors import UserError
from core.files import read_object, sha256_of_file
from generator.base import HubWeights

IMAGES_AT_ONCE = 64  # bounds memory, does not change a value


class TransformersClip:
    """Both towers. Frames are resized, cut and normalised as the folder's own settings say.

    name: `name` of the folder's config.json where a trainer wrote one, else the image tower's size.
    """

    protocol = None  # takes frames of any number and size

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Raises: UserError: if the folder holds no whole CLIP, its weights as safetensors."""
        weights = folder / WEIGHTS_NAME
        if not weights.is_file():
            raise UserError(
                f"encoder {folder}: no {WEIGHTS_NAME} in it: other files can run code; save it "
                "with CLIPModel.save_pretrained, or name a revision that has it"
            )
        self.model, self.processor, self.tokenizer = _load(folder)
        self.model.to(device).eval()
        vision = self.model.config.vision_config
        size = f"clip_{vision.hidden_size}_patch{vision.patch_size}_{vision.image_size}"
        self.name: str = read_object(folder / CONFIG_NAME).get("name", size)
        self.sha256 = sha256_of_file(weights)
        self.device = device

    @property
    def logit_scale(self) -> float:
        """What the training multiplied cosines by."""
        return float(self.model.logit_scale.exp().item())

    @torch.inference_mode()
    def frames(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, T, H, W, 3) uint8 -> features (B, T, D) and embeddings (B, T, E), float32."""
        images = frames.reshape(-1, *frames.shape[2:])
        features, embeddings = [], []
        for start in range(0, len(images), IMAGES_AT_ONCE):
            part = list(images[start : start + IMAGES_AT_ONCE])
            pixels = self.processor(images=part, return_tensors="pt")["pixel_values"]
            pooled = self.model.vision_model(pixel_values=pixels.to(self.device)).pooler_output
            features.append(pooled.float().cpu().numpy())
            embeddings.append(self.model.visual_projection(pooled).float().cpu().numpy())
        shape = (*frames.shape[:2], -1)
        return np.concatenate(features).reshape(shape), np.concatenate(embeddings).reshape(shape)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """B texts -> embeddings (B, E) float32; a text is cut to the tower's length."""
        tokens = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)
        pooled = self.model.text_model(**tokens).pooler_output
        return np.asarray(self.model.text_projection(pooled).float().cpu().numpy())


class HubClip(MetricEncoder):
    """A CLIP of the hub, fetched when the stage first runs."""

    given: HubWeights

    def execute(self, folder: Path) -> dict[str, Any]:
        return self.given.run()

    def weights(self) -> Path:
        return self.given.weights()

    def check(self) -> HubClip:
        """Itself, after a look at its small files.  Raises: UserError: if it is no CLIP."""
        kind = read_object(self.given.described() / CONFIG_NAME).get("model_type")
        if kind != "clip":
            raise UserError(
                f"encoder hub:{self.given.repository}: a model of type {kind!r}, no CLIP: name one "
                "that CLIPModel of transformers reads"
            )
        return self


def _load(folder: Path) -> tuple[Any, Any, Any]:
    try:
        model, found = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"encoder {folder}: {str(error).splitlines()[0]}") from None
    # The library would draw what is missing at random.
    if found["missing_keys"]:
        raise UserError(f"encoder {folder}: weights lack {sorted(found['missing_keys'])[0]}")
    return model, processor, tokenizer
