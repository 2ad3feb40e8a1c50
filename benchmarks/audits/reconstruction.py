"""Real clips through an autoencoder: what a generator on its latents can show at best."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.errors import UnreadableVideo, UserError
from core.progress import Progress
from core.runtime import Precision, dtype_of
from core.stage import ClipStage
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

BATCH = 8  # a CPU takes four times as long for a clip alone


class Reconstruction(ClipStage):
    """The clips of `split`, encoded (posterior mean) and decoded by `autoencoder`.

    autoencoder: its own folder, so that generators that share one share the clips.
    """

    clips: ClipStage
    split: Split
    autoencoder: Weights
    shape: ClipShape
    precision: Precision = "fp32"

    def execute(self, folder: Path) -> dict[str, Any]:
        """Write every clip that is not there yet and list all that could be read.

        Raises: UserError: if none can be read.
        """
        manifest = self.clips.manifest().of_split(self.split)
        device = self.runtime.torch_device()
        model = load_autoencoder(self.autoencoder.weights(), dtype_of(self.precision, device))
        model = model.to(device)
        kept: set[str] = set()
        with Progress("reconstruct", len(manifest), "clips") as progress:
            for start in range(0, len(manifest), BATCH):
                batch = manifest.clips[start : start + BATCH]
                kept |= self._write(model, manifest, batch, folder / "videos")
                progress.advance(len(batch))
        made = [
            clip.model_copy(update={"path": f"{clip.clip_id}.mp4", "start_s": None, "end_s": None})
            for clip in manifest.clips
            if clip.clip_id in kept
        ]
        if not made:
            raise UserError(f"reconstruct: none of {len(manifest)} clips can be read")
        Manifest(root=folder / "videos", clips=tuple(made)).save(folder / MANIFEST_NAME)
        return {"clips": len(made)}

    def _write(
        self, model: Any, manifest: Manifest, clips: Sequence[Clip], folder: Path
    ) -> set[str]:
        """Write the clips that are not there yet; ids of those that are there now."""
        there = {clip.clip_id for clip in clips if (folder / f"{clip.clip_id}.mp4").is_file()}
        frames: dict[str, Frames] = {}
        for clip in clips:
            if clip.clip_id not in there:
                with contextlib.suppress(UnreadableVideo):
                    frames[clip.clip_id] = training_frames(manifest, clip, self.shape)
        if frames:
            shown = self._reconstructed(model, np.stack(list(frames.values())))
            for clip_id, video in zip(frames, shown, strict=True):
                write_video(folder / f"{clip_id}.mp4", video)
        return there | set(frames)

    @torch.inference_mode()
    def _reconstructed(self, model: Any, clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(B, T, H, W, 3) uint8 each."""
        video = to_network(clips).to(model.device, model.dtype)
        return to_frames(decode(model, posterior_of(model, video).mean))
