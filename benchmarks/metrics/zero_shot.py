"""Which class a clip shows, by its nearness to each class's prompts: no label is needed.

clips -> image-text encoder -> cosines with the prompts -> probability of each class
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.clip_features import check_protocol, load_image_text_encoder
from benchmarks.metrics.clip_score import class_probabilities
from benchmarks.metrics.encoders import MetricEncoder
from benchmarks.metrics.frames import FrameProtocol, readable
from core.errors import UserError
from core.files import atomic_path
from core.stage import ClipStage, Stage

PROBABILITIES_NAME = "probabilities.npz"


class ZeroShot(Stage):
    """Probability of each class for every clip of a set that can be read.

    encoder: image-text encoder. prompts_of_class: prompts by class id; a class without prompts has
    probability 0. Writes `probabilities.npz`: clip_ids (N,), probabilities (N, C) float64.
    Source: Radford et al. 2021 (arXiv 2103.00020), Sec. 3.1.
    Raises: UserError: if no clip can be read, or the encoder was trained for other frames.
    """

    clips: ClipStage
    encoder: MetricEncoder
    protocol: FrameProtocol
    prompts_of_class: tuple[tuple[str, ...], ...]

    def execute(self, folder: Path) -> dict[str, Any]:
        encoder = load_image_text_encoder(self.encoder, self.runtime.torch_device())
        check_protocol(encoder, self.protocol)
        texts = [encoder.texts(prompts) if prompts else None for prompts in self.prompts_of_class]
        manifest = self.clips.manifest()
        clip_ids: list[str] = []
        found = []
        for clips, frames in readable(manifest, self.protocol):
            clip_ids += [clip.clip_id for clip in clips]
            embeddings = encoder.frames(frames)[1]
            found.append(class_probabilities(embeddings, texts, encoder.logit_scale))
        if not found:
            raise UserError(f"{manifest.root}: no clip of it can be read")
        with atomic_path(folder / PROBABILITIES_NAME) as temporary, temporary.open("wb") as file:
            np.savez(file, clip_ids=np.array(clip_ids), probabilities=np.concatenate(found))
        return {"clips": len(clip_ids), "unreadable": len(manifest) - len(clip_ids)}

    def probabilities(self) -> dict[str, NDArray[np.float64]]:
        """Run the stage if need be; by clip id, (C,) probabilities."""
        self.run()
        with np.load(self.folder / PROBABILITIES_NAME) as found:
            return dict(zip(found["clip_ids"].tolist(), found["probabilities"], strict=True))
