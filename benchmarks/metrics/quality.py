"""Generation quality of a set of clips against held-out real ones: Table 1 and what it leaves out.

clips -> ClipFeatures (cached once for each set) -> statistics -> GenerationQuality -> values
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from benchmarks.metrics.clip_features import Arrays, ClipFeatures, QualitySettings
from benchmarks.metrics.encoders import MetricEncoder
from benchmarks.metrics.family import DIGITS, Entry, MetricFamily, Naming, Namings
from benchmarks.metrics.frames import FrameProtocol
from benchmarks.metrics.frechet import frechet_distance, gaussian_of
from benchmarks.metrics.inception_score import inception_scores, score_influences, split_count
from benchmarks.metrics.intervals import entry_of, frechet_interval, mean_interval
from benchmarks.metrics.kernel import SUBSETS, jedi_mmd, polynomial_mmd, subset_mmd, subset_size
from benchmarks.metrics.manifold import NEIGHBOURS, manifold_scores
from benchmarks.metrics.torchscript_encoders import TorchScriptEncoder
from core.clip import Split
from core.errors import UserError
from core.stage import ClipStage, Stage

CLIP_SCORE = "clipscore"
WITH_TEXT = "_with_text"  # in the name of a metric, after its family's


class GenerationQuality(Stage):
    """All metrics of `generated` against `real`.

    real: held-out clips, those of `real_split` where it is given; with_text: the same before those
    with burned-in text were taken out, a second reference of FID and FVD; generated: clips whose
    caption is the prompt; image_encoder: behind FID and KID, None takes the image features of
    `image_text_encoder`. The result holds `metrics`: name -> value, n, encoder, encoder_sha256,
    num_frames, width, height, fps, codec, ci95 of Frechet distances, CLIPScore and Inception Score
    (over clips, see `benchmarks.metrics.intervals`), and a warning where n is not above the
    dimension of the features. CLIPScore shows the real clips' too.
    prompted: whether the clips answer to their captions; without, there is no CLIPScore, and they
    need none.
    """

    version: ClassVar[str] = "5"  # Inception Scores have intervals

    real: ClipStage
    real_split: Split | None = None
    with_text: ClipStage | None = None
    generated: ClipStage
    video_encoder: MetricEncoder
    image_text_encoder: MetricEncoder
    image_encoder: TorchScriptEncoder | None = None
    settings: QualitySettings = QualitySettings()
    prompted: bool = True

    def execute(self, folder: Path) -> dict[str, Any]:
        real, generated = self._features(self.real, self.real_split), self._features(self.generated)
        found = generated.run()
        if self.prompted and not found["captioned"]:
            raise UserError("a generated clip has no caption: CLIPScore needs the prompt of each")
        encoders = {name: fields for name, fields in found.items() if name.endswith("_encoder")}
        protocol = self.settings.protocol
        if self.with_text is not None:
            encoders["with_text"] = self._features(self.with_text, self.real_split).arrays()
        metrics = quality(real.arrays(), generated.arrays(), protocol=protocol, **encoders)
        if not self.prompted:
            metrics = {k: entry for k, entry in metrics.items() if not k.startswith(CLIP_SCORE)}
        return {"metrics": metrics}

    def _features(self, clips: ClipStage, split: Split | None = None) -> ClipFeatures:
        return ClipFeatures(
            clips=clips,
            split=split,
            video_encoder=self.video_encoder,
            image_text_encoder=self.image_text_encoder,
            image_encoder=self.image_encoder,
            settings=self.settings,
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        )


def quality(
    real: Arrays,
    generated: Arrays,
    *,
    protocol: FrameProtocol,
    video_encoder: dict[str, str],
    image_text_encoder: dict[str, str],
    image_encoder: dict[str, str],
    with_text: Arrays | None = None,
) -> dict[str, Entry]:
    """All metrics from the arrays of `ClipFeatures`; a metric's name holds its protocol.

    Args: with_text: of a second reference, for the metrics that have one.
    """
    video = Naming(video_encoder, protocol, len(generated["video"]))
    namings = Namings(
        video=video,
        image_text=Naming(image_text_encoder, protocol, video.n),
        images=Naming(image_encoder, protocol, video.n),
        pixels=Naming({"name": "pixels"}, protocol, video.n),
    )
    found: dict[str, Entry] = {}
    for name, metric in METRICS.items():
        found |= metric.measure(real, generated, namings)
        if with_text is not None and metric.with_text:
            measured = metric.measure(with_text, generated, namings)
            found |= {f"{name}{WITH_TEXT}{k.removeprefix(name)}": v for k, v in measured.items()}
    return found


def video_distances(
    real: NDArray[np.floating], generated: NDArray[np.floating], naming: Naming
) -> dict[str, Entry]:
    """FVD, with a warning where clips are few, and KVD beside it.

    Args: (N, D) features of a video encoder on either side, at least two.
    """
    return {**_frechet("fvd", real, generated, naming), **_kernel("kvd", real, generated, naming)}


def _frechet(
    metric: str, real: NDArray[Any], generated: NDArray[Any], naming: Naming
) -> dict[str, Entry]:
    """Of features of clips (N, D) or of their frames (N, T, D)."""
    rows, others = (side.reshape(-1, side.shape[-1]) for side in (real, generated))
    count, dimension = others.shape
    warning = f"{count} features of {dimension} dimensions: biased, see KVD"
    fields: dict[str, Any] = {"warning": warning} if count <= dimension else {}
    value = frechet_distance(gaussian_of([rows]), gaussian_of([others]))
    fields |= entry_of(frechet_interval(real, generated, value), DIGITS)
    return naming.entry(metric, value, **fields)


def _middle(arrays: Arrays) -> NDArray[Any]:
    frames = arrays["frames"]
    return frames[:, frames.shape[1] // 2]


def _kernel(
    metric: str, real: NDArray[Any], generated: NDArray[Any], naming: Naming
) -> dict[str, Entry]:
    """value: from all features; subset_mean, subset_std: as papers report KID."""
    size = subset_size(naming.n)
    found = subset_mmd(real, generated, size=size)
    return naming.entry(
        metric,
        polynomial_mmd(real, generated),
        subset_mean=float(found.mean()),
        subset_std=float(found.std()),
        subset_size=size,
        subsets=SUBSETS,
    )


def _clip_scores(real: Arrays, generated: Arrays, naming: Naming) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for variant in ("mean_embedding", "mean_frame"):
        key = f"scores_{variant}"
        if key not in generated:
            continue  # clips without captions
        reached = {"real": float(real[key].mean())} if key in real else {}
        value = float(generated[key].mean())
        fields = reached | entry_of(mean_interval(generated[key], value), DIGITS)
        entries |= naming.entry(f"{CLIP_SCORE}_{variant}", value, **fields)
    return entries


def _manifold(real: NDArray[Any], generated: NDArray[Any], naming: Naming) -> dict[str, Entry]:
    if naming.n <= NEIGHBOURS:
        return {}  # a neighbourhood of k clips needs more than k
    scores = asdict(manifold_scores(real, generated))
    entries: dict[str, Entry] = {}
    for name, value in scores.items():
        entries |= naming.entry(f"{name}_k{NEIGHBOURS}", value)
    return entries


def _inception(key: str, real: Arrays, generated: Arrays, naming: Naming) -> dict[str, Entry]:
    if key not in generated:
        return {}  # Inception-V3 was not given
    splits = split_count(naming.n)
    found = inception_scores(generated[key], splits)
    reached = float(inception_scores(real[key], splits).mean())
    value, moved = float(found.mean()), score_influences(generated[key], splits)
    fields = entry_of(mean_interval(moved, value), DIGITS)
    spread = float(found.std())
    return naming.entry("is", value, split_std=spread, splits=splits, real=reached, **fields)


def _over_time(key: str, real: Arrays, generated: Arrays, naming: Naming) -> dict[str, Entry]:
    """Wasserstein-1 distance between the clips' numbers of both sides, in the number's unit."""
    return naming.entry(
        f"{key}_w1",
        float(wasserstein_distance(real[key], generated[key])),
        real_mean=float(np.mean(real[key])),
        generated_mean=float(np.mean(generated[key])),
    )


# The metrics of the suite, in the order of the tables. A new one: its module, and an entry here.
METRICS: dict[str, MetricFamily] = {
    metric.name: metric
    for metric in (
        MetricFamily(
            "fid",
            "Frechet distance of frame features",
            lambda real, made, by: _frechet("fid", real["frames"], made["frames"], by.images),
            printed=True,
            paper="FID",
            with_text=True,
        ),
        MetricFamily(
            "fvd",
            "Frechet distance of clip features",
            lambda real, made, by: _frechet("fvd", real["video"], made["video"], by.video),
            printed=True,
            paper="FVD",
            with_text=True,
        ),
        MetricFamily(
            "kvd",
            "kernel distance of clip features, unbiased, for small samples",
            lambda real, made, by: _kernel("kvd", real["video"], made["video"], by.video),
            printed=True,
        ),
        MetricFamily(
            CLIP_SCORE,
            "agreement of clip and prompt, two readings",
            lambda real, made, by: _clip_scores(real, made, by.image_text),
            printed=True,
            paper="CS",  # the paper does not say which reading it is
        ),
        MetricFamily(
            "kid",
            "kernel distance of frame features, unbiased",
            lambda real, made, by: _kernel(
                "kid", _middle(real), _middle(made), by.images.of_one_frame()
            ),
        ),
        MetricFamily(
            "mmd2",
            "JEDi's kernel distance (degree 2) of clip features",
            lambda real, made, by: by.video.entry("mmd2", jedi_mmd(real["video"], made["video"])),
        ),
        MetricFamily(
            "manifold",
            "precision, recall: generated clips among real ones, and the reverse; density and "
            "coverage: the same, robust to outliers",
            lambda real, made, by: _manifold(real["video"], made["video"], by.video),
        ),
        MetricFamily(
            "is",
            "Inception Score from class probabilities",
            lambda real, made, by: {
                **_inception("video_probabilities", real, made, by.video),
                **_inception("frame_probabilities", real, made, by.images.of_one_frame()),
            },
            paper="IS",  # printed where a paper has it
        ),
        MetricFamily(
            "motion",
            "distance of clips' motion over time",
            lambda real, made, by: _over_time("motion", real, made, by.pixels),
        ),
        MetricFamily(
            "consistency",
            "distance of the likeness of clips' frames over time",
            lambda real, made, by: _over_time("consistency", real, made, by.image_text),
        ),
    )
}
