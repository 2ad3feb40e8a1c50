"""Real clips through an autoencoder: what a generator on its latents can show at best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.errors import UnreadableVideo, UserError
from core.progress import track
from core.runtime import Precision, dtype_of
from core.stage import ClipSource
from core.video import Frames, write_video
from generator.backbone.autoencoder import (
    decode,
    load_autoencoder,
    posterior_of,
    to_frames,
    to_network,
)
from generator.base import ClipShape, Weights
from generator.encoding import training_frames


class Reconstruction(ClipSource):
    """The clips of `split`, encoded (posterior mean) and decoded by the autoencoder of `parts`."""

    clips: ClipSource
    split: Split
    parts: Weights
    shape: ClipShape
    precision: Precision = "fp32"

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write every clip that is not there yet and list all that could be read.

        Raises: UserError: if none can be read.
        """
        manifest = self.clips.manifest().of_split(self.split)
        device = self.runtime.torch_device()
        model = load_autoencoder(self.parts.weights() / "vae", dtype_of(self.precision, device)).to(
            device
        )
        made: list[Clip] = []
        for clip in track(
            manifest.clips, total=len(manifest), description="reconstruct", unit="clips"
        ):
            file = folder / "videos" / f"{clip.clip_id}.mp4"
            try:
                if not file.is_file():
                    frames = training_frames(manifest, clip, self.shape)
                    write_video(file, self._reconstructed(model, frames))
            except UnreadableVideo:
                continue
            made.append(clip.model_copy(update={"path": file.name, "start_s": None, "end_s": None}))
        if not made:
            raise UserError(f"reconstruct: none of {len(manifest)} clips can be read")
        Manifest(root=folder / "videos", clips=tuple(made)).save(folder / MANIFEST_NAME)
        return {"clips": len(made)}

    @torch.inference_mode()
    def _reconstructed(self, model: Any, frames: Frames) -> Frames:
        video = to_network(frames[None]).to(model.device, model.dtype)
        return to_frames(decode(model, posterior_of(model, video).mean))[0]
