"""What the metrics need of a set of clips, encoded once and cached.

clips -> frames -> video, image and image-text encoder -> one npz file
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from benchmarks.metrics.clip_score import mean_embedding_scores, mean_frame_scores
from benchmarks.metrics.encoders import BATCH, CONFIG_NAME, MetricEncoder, VideoEncoder
from benchmarks.metrics.frames import FrameProtocol, batches
from benchmarks.metrics.motion import frame_change, frame_consistency
from benchmarks.metrics.ophclip import OphClip
from benchmarks.metrics.torchscript_encoders import I3d, InceptionV3, TorchScriptEncoder
from benchmarks.metrics.transformers_clip import TransformersClip
from core.clip import Manifest, Split
from core.errors import UserError
from core.files import atomic_path, read_object
from core.progress import track
from core.runtime import derive_seed
from core.stage import ClipStage, Stage

FEATURES_NAME = "features.npz"
Arrays = dict[str, NDArray[Any]]


class QualitySettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The protocol: how many clips of each side, and which of their frames, are compared."""

    num_clips: int = pydantic.Field(default=256, ge=2)
    protocol: FrameProtocol = FrameProtocol()
    seed: int = pydantic.Field(default=0, ge=0)


@dataclass(frozen=True)
class LoadedEncoders:
    """The loaded encoders. image: None takes the image features of `image_text`."""

    video: VideoEncoder | I3d
    image_text: OphClip | TransformersClip
    image: InceptionV3 | None = None

    def check(self, protocol: FrameProtocol) -> None:
        """Raises: UserError: if an encoder was trained for other frames than `protocol`'s."""
        for encoder in (self.video, self.image_text):
            check_protocol(encoder, protocol)

    def describe(self) -> dict[str, dict[str, str]]:
        """Name and sha256 of each; `image_encoder` is the one behind FID."""
        named = {
            "video_encoder": self.video,
            "image_text_encoder": self.image_text,
            "image_encoder": self.image or self.image_text,
        }
        return {key: {"name": each.name, "sha256": each.sha256} for key, each in named.items()}

    def encode(self, frames: NDArray[np.uint8], prompts: Sequence[str] | None) -> Arrays:
        """(B, T, H, W, 3) uint8 -> arrays with one row a clip; see `ClipFeatures`."""
        middle = frames.shape[1] // 2
        video = self.video.features(frames)
        features, embeddings = self.image_text.frames(frames)
        arrays: Arrays = {
            "video": video,
            "video_probabilities": self.video.probabilities(video),
            "motion": frame_change(frames),
            "consistency": frame_consistency(embeddings),
        }
        if prompts is not None:
            texts = self.image_text.texts(prompts)
            arrays["scores_mean_embedding"] = mean_embedding_scores(embeddings, texts)
            arrays["scores_mean_frame"] = mean_frame_scores(embeddings, texts)
        if self.image is not None:
            features = self.image.features(frames)
            found = self.image.probabilities(frames[:, middle : middle + 1])
            arrays["frame_probabilities"] = found[:, 0]
        arrays["frames"] = features
        return arrays


def load_encoders(
    video: MetricEncoder,
    image_text: MetricEncoder,
    image: TorchScriptEncoder | None,
    device: torch.device,
) -> LoadedEncoders:
    """The encoders of these stages, on `device`.  Raises: UserError: if one is of another kind."""
    return LoadedEncoders(
        video=load_video_encoder(video, device),
        image_text=load_image_text_encoder(image_text, device),
        image=InceptionV3(image.weights(), device) if image is not None else None,
    )


def load_image_text_encoder(
    stage: MetricEncoder, device: torch.device
) -> OphClip | TransformersClip:
    """The encoder behind CLIPScore.  Raises: UserError: if the stage provides another kind."""
    folder = stage.weights()
    is_clip = read_object(folder / CONFIG_NAME).get("model_type") == "clip"
    return TransformersClip(folder, device) if is_clip else OphClip(folder, device)


def check_protocol(
    encoder: VideoEncoder | I3d | OphClip | TransformersClip, protocol: FrameProtocol
) -> None:
    """Raises: UserError: if `encoder` was trained for other frames than `protocol`'s."""
    if encoder.protocol not in (None, protocol):
        raise UserError(
            f"protocol {protocol}: encoder {encoder.name} was trained for"
            f" {encoder.protocol}: use the same"
        )


def load_video_encoder(stage: MetricEncoder, device: torch.device) -> VideoEncoder | I3d:
    """The encoder behind FVD.  Raises: UserError: if the stage provides another kind."""
    path = stage.weights()
    if not isinstance(stage, TorchScriptEncoder):
        return VideoEncoder(path, device)
    if stage.protocol == "inception_v3":
        raise UserError(f"video_encoder {path}: inception_v3 encodes frames, not clips")
    return I3d(path, stage.protocol, device)


class ClipFeatures(Stage):
    """Encode `num_clips` clips of a set, or of a split of it, chosen by seed, for all metrics at
    once.

    Writes `features.npz`, one row a clip: video (N, D), video_probabilities (N, C), frames
    (N, T, E), the image features, frame_probabilities of the middle frame (with Inception-V3),
    motion and consistency (N,), and, where clips carry captions, scores_mean_embedding and
    scores_mean_frame (N,).
    """

    version: ClassVar[str] = "3"  # every frame's features, for intervals

    clips: ClipStage
    split: Split | None = None
    video_encoder: MetricEncoder
    image_text_encoder: MetricEncoder
    image_encoder: TorchScriptEncoder | None = None
    settings: QualitySettings = QualitySettings()

    def execute(self, folder: Path) -> dict[str, Any]:
        encoders = load_encoders(
            self.video_encoder,
            self.image_text_encoder,
            self.image_encoder,
            self.runtime.torch_device(),
        )
        protocol = self.settings.protocol
        encoders.check(protocol)
        chosen = choose(self.clips.manifest().of_split(self.split), self.settings)
        captioned = all(clip.caption for clip in chosen.clips)
        parts: dict[str, list[NDArray[Any]]] = defaultdict(list)
        total = -(-len(chosen) // BATCH)
        encoded = batches(chosen, protocol, BATCH)
        for clips, frames in track(
            encoded, total=total, description="encoding clips", unit="batches"
        ):
            prompts = [clip.caption or "" for clip in clips] if captioned else None
            for name, rows in encoders.encode(frames, prompts).items():
                parts[name].append(rows)
        arrays: Arrays = {name: np.concatenate(rows) for name, rows in parts.items()}
        with atomic_path(folder / FEATURES_NAME) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        return {"clips": len(chosen), "captioned": captioned, **encoders.describe()}

    def arrays(self) -> Arrays:
        """Run the stage if need be and read its arrays."""
        self.run()
        with np.load(self.folder / FEATURES_NAME) as file:
            return dict(file)


def choose(manifest: Manifest, settings: QualitySettings) -> Manifest:
    """`num_clips` clips, drawn by seed and kept in the manifest's order.

    Raises: UserError: if there are fewer; a distance over fewer clips would be another metric.
    """
    if len(manifest) < settings.num_clips:
        raise UserError(
            f"num_clips {settings.num_clips}: only {len(manifest)} clips in {manifest.root}:"
            f" set it to at most {len(manifest)}"
        )
    generator = np.random.default_rng(derive_seed("quality", settings.seed))
    order = np.sort(generator.permutation(len(manifest))[: settings.num_clips])
    return manifest.keep(manifest.clips[index] for index in order)
