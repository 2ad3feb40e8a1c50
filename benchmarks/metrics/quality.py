"""Generation quality of a set of clips against held-out real ones: the numbers of Table 1.

clips -> ClipFeatures (cached once for each set) -> statistics -> GenerationQuality -> values
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from benchmarks.metrics.clip_score import mean_embedding_scores, mean_frame_scores
from benchmarks.metrics.encoders import BATCH, MetricEncoder, VideoEncoder
from benchmarks.metrics.frames import FrameProtocol, batches
from benchmarks.metrics.frechet import Gaussian, frechet_distance, gaussian_of
from benchmarks.metrics.kernel import polynomial_mmd
from benchmarks.metrics.ophclip import OphClip
from core.clip import Manifest
from core.errors import UserError
from core.files import atomic_path
from core.progress import track
from core.runtime import derive_seed
from core.stage import ClipSource, Stage

FEATURES_NAME = "features.npz"


class QualitySettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The protocol: how many clips of each side, and which of their frames, are compared."""

    num_clips: int = pydantic.Field(default=256, ge=2)
    protocol: FrameProtocol = FrameProtocol()
    seed: int = pydantic.Field(default=0, ge=0)


class ClipFeatures(Stage):
    """Encode `num_clips` clips of a set, chosen by seed, for all metrics at once.

    Writes `features.npz`: video (N, D) float32; frame_mean, frame_covariance, frame_count of the
    image features of all frames; and, where clips carry captions, scores_mean_embedding and
    scores_mean_frame, (N,) each.
    """

    clips: ClipSource
    video_encoder: MetricEncoder
    image_text_encoder: MetricEncoder
    settings: QualitySettings = QualitySettings()

    def execute(self, folder: Path) -> dict[str, Any]:
        device = self.runtime.torch_device()
        video = VideoEncoder(self.video_encoder.weights(), device)
        image_text = OphClip(self.image_text_encoder.weights(), device)
        protocol = self.settings.protocol
        for encoder in (video, image_text):
            if encoder.protocol != protocol:
                raise UserError(
                    f"protocol {protocol}: encoder {encoder.name} was trained for"
                    f" {encoder.protocol}: use the same"
                )
        chosen = choose(self.clips.manifest(), self.settings)
        captioned = all(clip.caption for clip in chosen.clips)
        clip_features: list[NDArray[np.float32]] = []
        scores: dict[str, list[NDArray[np.float64]]] = {"mean_embedding": [], "mean_frame": []}

        def frame_features() -> Iterator[NDArray[np.float32]]:
            total = -(-len(chosen) // BATCH)
            encoded = batches(chosen, protocol, BATCH)
            for clips, frames in track(
                encoded, total=total, description="encoding clips", unit="batches"
            ):
                clip_features.append(video.features(frames))
                features, embeddings = image_text.frames(frames)
                if captioned:
                    texts = image_text.texts([clip.caption or "" for clip in clips])
                    scores["mean_embedding"].append(mean_embedding_scores(embeddings, texts))
                    scores["mean_frame"].append(mean_frame_scores(embeddings, texts))
                yield features.reshape(-1, features.shape[-1])

        frames = gaussian_of(frame_features())
        arrays: dict[str, Any] = {
            "video": np.concatenate(clip_features),
            "frame_mean": frames.mean,
            "frame_covariance": frames.covariance,
            "frame_count": np.asarray(frames.count),
        }
        if captioned:
            arrays |= {f"scores_{name}": np.concatenate(parts) for name, parts in scores.items()}
        with atomic_path(folder / FEATURES_NAME) as temporary:
            np.savez(temporary, **arrays)
        return {
            "clips": len(chosen),
            "captioned": captioned,
            "video_encoder": {"name": video.name, "sha256": video.sha256},
            "image_text_encoder": {"name": image_text.name, "sha256": image_text.sha256},
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
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


class GenerationQuality(Stage):
    """FID, FVD, KVD and CLIPScore of `generated` against `real`.

    real: held-out clips; generated: clips whose caption is the prompt. The result holds `metrics`:
    name -> value, n, encoder, encoder_sha256, num_frames, width, height, fps, codec, and a warning
    where n is not above the dimension of the features. CLIPScore shows the real clips' too.
    """

    real: ClipSource
    generated: ClipSource
    video_encoder: MetricEncoder
    image_text_encoder: MetricEncoder
    settings: QualitySettings = QualitySettings()

    def execute(self, folder: Path) -> dict[str, Any]:
        real, generated = (self._features(clips) for clips in (self.real, self.generated))
        encoders = generated.run()
        if not encoders["captioned"]:
            raise UserError("a generated clip has no caption: CLIPScore needs the prompt of each")
        return {
            "metrics": quality(
                real.arrays(),
                generated.arrays(),
                protocol=self.settings.protocol,
                video_encoder=encoders["video_encoder"],
                image_text_encoder=encoders["image_text_encoder"],
            )
        }

    def _features(self, clips: ClipSource) -> ClipFeatures:
        return ClipFeatures(
            clips=clips,
            video_encoder=self.video_encoder,
            image_text_encoder=self.image_text_encoder,
            settings=self.settings,
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        )


def quality(
    real: dict[str, NDArray[Any]],
    generated: dict[str, NDArray[Any]],
    *,
    protocol: FrameProtocol,
    video_encoder: dict[str, str],
    image_text_encoder: dict[str, str],
) -> dict[str, dict[str, Any]]:
    """All metrics from the arrays of `ClipFeatures`; a metric's name holds its protocol."""
    n = len(generated["video"])
    size = f"{n}x{protocol.num_frames}"
    video, images = video_encoder["name"], image_text_encoder["name"]

    def entry(value: float, encoder: dict[str, str], dimension: int, count: int) -> dict[str, Any]:
        fields = {
            "value": round(value, 4),
            "n": n,
            "encoder": encoder["name"],
            "encoder_sha256": encoder["sha256"],
            **protocol.describe(),
        }
        if count <= dimension:
            fields["warning"] = f"{count} features of {dimension} dimensions: biased, see KVD"
        return fields

    dimension = generated["video"].shape[1]
    fid = frechet_distance(_frames(real), _frames(generated))
    fvd = frechet_distance(gaussian_of([real["video"]]), gaussian_of([generated["video"]]))
    kvd = polynomial_mmd(real["video"], generated["video"])
    frame_dimension = len(generated["frame_mean"])
    metrics = {
        f"fid_{images}_{size}": entry(
            fid, image_text_encoder, frame_dimension, int(generated["frame_count"])
        ),
        f"fvd_{video}_{size}": entry(fvd, video_encoder, dimension, n),
        f"kvd_{video}_{size}": entry(kvd, video_encoder, 0, n),
    }
    for variant in ("mean_embedding", "mean_frame"):
        score = entry(float(generated[f"scores_{variant}"].mean()), image_text_encoder, 0, n)
        if f"scores_{variant}" in real:
            score["real"] = round(float(real[f"scores_{variant}"].mean()), 4)
        metrics[f"clipscore_{variant}_{images}_{size}"] = score
    return metrics


def _frames(arrays: dict[str, NDArray[Any]]) -> Gaussian:
    mean, covariance = arrays["frame_mean"], arrays["frame_covariance"]
    return Gaussian(mean, covariance, int(arrays["frame_count"]))
