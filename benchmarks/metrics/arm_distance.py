"""How far the clips of an arm of Table 2 lie from real training clips: FVD, and KVD beside it.

clips -> VideoFeatures (cached once for each set) -> as many of each side -> ArmDistance -> values

Unlike `GenerationQuality`, which compares clips for held-out captions, this needs no captions: it
measures the very clips that a classifier was trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from benchmarks.metrics.clip_features import check_protocol, load_video_encoder
from benchmarks.metrics.encoders import BATCH, MetricEncoder
from benchmarks.metrics.family import Naming
from benchmarks.metrics.frames import FrameProtocol, readable
from benchmarks.metrics.quality import video_distances
from core.errors import UserError
from core.files import atomic_path
from core.runtime import derive_seed
from core.stage import ClipStage, Stage

FEATURES_NAME = "features.npy"


class VideoFeatures(Stage):
    """Encode every clip of a set with a video encoder.

    Writes `features.npy`, (N, D) float32, a row for each clip that can be read, in the manifest's
    order. The result names the encoder and counts the clips that cannot be read.
    Raises: UserError: if no clip can be read, or the encoder was trained for other frames.
    """

    clips: ClipStage
    encoder: MetricEncoder
    protocol: FrameProtocol = FrameProtocol()

    def execute(self, folder: Path) -> dict[str, Any]:
        encoder = load_video_encoder(self.encoder, self.runtime.torch_device())
        check_protocol(encoder, self.protocol)
        manifest = self.clips.manifest()
        found = readable(manifest, self.protocol, BATCH)
        encoded = [encoder.features(frames) for _, frames in found]
        if not encoded:
            raise UserError(f"{manifest.root}: no clip of it can be read")
        features = np.concatenate(encoded)
        with atomic_path(folder / FEATURES_NAME) as temporary:
            np.save(temporary, features)
        return {
            "clips": len(features),
            "unreadable": len(manifest) - len(features),
            "video_encoder": {"name": encoder.name, "sha256": encoder.sha256},
        }

    def features(self) -> NDArray[np.float32]:
        """Run the stage if need be and read its features, (N, D) float32."""
        self.run()
        found: NDArray[np.float32] = np.load(self.folder / FEATURES_NAME)
        return found


class ArmDistance(Stage):
    """FVD and KVD between an arm's clips and real ones, as many of each: the smaller number.

    real, arm: with one encoder and protocol. The larger side is drawn from by `seed`. The result
    holds `metrics`, as that of `GenerationQuality` does; none where a side has a single clip.
    """

    real: VideoFeatures
    arm: VideoFeatures
    seed: int = pydantic.Field(default=0, ge=0)

    def execute(self, folder: Path) -> dict[str, Any]:
        real, arm = self.real.features(), self.arm.features()
        count = min(len(real), len(arm))
        if count < 2:
            return {"metrics": {}}
        naming = Naming(self.real.run()["video_encoder"], self.real.protocol, count)
        drawn = self._draw(real, count), self._draw(arm, count)
        return {"metrics": video_distances(*drawn, naming)}

    def _draw(self, features: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(derive_seed("arm distance", self.seed))
        return features[np.sort(rng.permutation(len(features))[:count])]
