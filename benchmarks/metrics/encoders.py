"""Encoders of the metrics: where their weights come from, and the video encoder behind FVD.

An encoder is a folder: `model.safetensors`, `config.json` (and a tokenizer for texts), or a
torchscript file (`torchscript_encoders.py`). A stage of the family `MetricEncoder` provides it:
trained by the run, or given by path and verified.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.metrics.frames import FrameProtocol, batches
from classifiers.networks import Classifier, Network
from classifiers.prediction import normalise, penultimate_features, predict
from classifiers.slowfast import SlowFast
from core.batch import Batch
from core.clip import Clip, Manifest
from core.errors import UserError
from core.files import atomic_path, read_object, sha256_of_file, sha256_of_files, write_json
from core.fitting import fit
from core.frame_cache import FrameCache, FrameTable
from core.optimisation import Optimisation
from core.runtime import seed_everything
from core.stage import ClipStage, Stage

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
LABEL_SMOOTHING = 0.1
BATCH = 32  # clips encoded at a time; bounds memory, does not change a value


class MetricEncoder(Stage):
    """Family of stages that provide an encoder."""

    def weights(self) -> Path:
        """Run the stage if need be; the folder (or file) that holds the encoder."""
        self.run()
        return self.folder


@dataclass(frozen=True)
class FramedClips:
    """Clips to train on, with their frames on disk."""

    clips: list[Clip]
    table: FrameTable

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """(B, T, H, W, 3) uint8 of the clips at `indices`."""
        return self.table.frames[[self.table.rows[self.clips[i].clip_id] for i in indices]]


class EncoderTraining(MetricEncoder):
    """What the trainings of encoders share: clips of cases that appear nowhere else in the
    benchmark, those of split val or test held out; frames decoded once."""

    version: ClassVar[str] = "2"

    clips: ClipStage
    protocol: FrameProtocol = FrameProtocol()
    optimisation: Optimisation

    def training_clips(self) -> FramedClips:
        """The clips to train on, decoded.  Raises: UserError: if fewer than two are left."""
        frames = FrameCache(
            clips=self.clips,
            **self.protocol.model_dump(),
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        ).table()
        train, _ = split_held_out(self.clips.manifest())
        readable = [clip for clip in train.clips if clip.clip_id in frames.rows]
        return FramedClips(readable, frames)

    def cost(self) -> str:
        return f"{self.optimisation.steps:,} steps x {self.optimisation.batch_size}"


class EncoderByPath(MetricEncoder):
    """An encoder that lies somewhere. Its identity is its content, not its place."""

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "path")

    path: Path
    sha256: str = pydantic.Field(pattern="[0-9a-f]{64}")

    @abstractmethod
    def content(self) -> str:
        """The sha256 of what lies at `path` now."""

    def execute(self, folder: Path) -> dict[str, Any]:
        found = self.content()
        if found != self.sha256:
            raise UserError(f"encoder {self.path}: sha256 {found}, expected {self.sha256}")
        return {"sha256": found}

    def weights(self) -> Path:
        self.run()
        return self.path


class EncoderFolder(EncoderByPath):
    """A folder with weights, configuration and, for texts, a tokenizer."""

    @staticmethod
    def identify(path: Path | str) -> dict[str, Any]:
        """A folder's `path` and `sha256`.  Raises: UserError: if it holds no encoder."""
        path = Path(path)
        if not (path / WEIGHTS_NAME).is_file() or not (path / CONFIG_NAME).is_file():
            raise UserError(f"encoder {path}: expected a folder with {WEIGHTS_NAME}, {CONFIG_NAME}")
        return {"path": path, "sha256": sha256_of_files(path, encoder_files(path))}

    def content(self) -> str:
        return str(self.identify(self.path)["sha256"])


def encoder_files(folder: Path) -> list[Path]:
    """The files that make up an encoder: configuration, weights, tokenizer."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".safetensors")]


def save_encoder(folder: Path, model: nn.Module, config: dict[str, Any]) -> str:
    """Write weights (fp16) and configuration; returns the sha256 of the weights' file.

    fp16 halves the size of shipped weights; metrics read these files, so a value never depends on
    whether the encoder was trained by this run or loaded.
    """
    state = {name: _half(value).contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        save_file(state, temporary)
    write_json(folder / CONFIG_NAME, config)
    return sha256_of_file(folder / WEIGHTS_NAME)


@contextmanager
def as_trained(folder: Path) -> Iterator[None]:
    """Around the reading of an encoder's folder.

    Raises: UserError: if its files are not as a training leaves them, or not of one training.
    """
    try:
        yield
    except Exception as error:  # of whatever kind the libraries that read them raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"encoder {folder}: {CONFIG_NAME} and {WEIGHTS_NAME} are not as a training leaves them "
            f"({reason}): fetch both again"
        ) from error


def load_weights(folder: Path, model: nn.Module, device: torch.device) -> nn.Module:
    """Fill `model` with a folder's weights, as float32, in evaluation mode on `device`."""
    state = load_file(folder / WEIGHTS_NAME)
    model.load_state_dict({name: _single(value) for name, value in state.items()})
    return model.to(device).eval()


def _half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _single(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


class VideoEncoder:
    """Clips -> penultimate features of a classifier trained on surgical clips."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        config = read_object(folder / CONFIG_NAME)
        if config.get("encoder") != "video":
            raise UserError(f"{folder / CONFIG_NAME}: not a video encoder")
        self.sha256 = sha256_of_file(folder / WEIGHTS_NAME)
        self.device = device
        with as_trained(folder):
            self.name = str(config["name"])
            self.protocol = FrameProtocol.model_validate(config["protocol"])
            network = _NETWORKS.validate_python(config["network"])
            shape = (self.protocol.num_frames, self.protocol.height)
            model = network.build(config["num_classes"], *shape)
            self.model: Any = load_weights(folder, model, device)

    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) uint8 -> (B, D) float32."""
        return penultimate_features(self.model, frames)

    @torch.inference_mode()
    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the classifier makes of its features: (B, D) -> (B, C) float32, rows sum to 1."""
        logits = self.model.head(torch.from_numpy(features).to(self.device))
        return np.asarray(logits.softmax(dim=1).cpu().numpy(), np.float32)


_NETWORKS: pydantic.TypeAdapter[Network] = pydantic.TypeAdapter(Network)


class VideoEncoderTraining(EncoderTraining):
    """Train the video encoder behind FVD: a small SlowFast that names phases or operations.

    clips: labelled. alpha 3 divides nine frames.
    """

    name: str = pydantic.Field(default="slowfast_nano", pattern="[a-z0-9_]+")
    task: str
    num_classes: int = pydantic.Field(ge=2)
    network: Network = SlowFast(depth=18, stem_dim_outs=(8, 1), alpha=3)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Train, save, and report top-1 on the held-out clips (percent, None without any)."""
        device = self.runtime.torch_device()
        train = self.training_clips()
        labels = torch.tensor([clip.label(self.task) for clip in train.clips], device=device)
        if int(labels.max()) >= self.num_classes:
            raise UserError(f"num_classes {self.num_classes}: a clip has label {int(labels.max())}")
        seed_everything(self.optimisation.seed)
        height = self.protocol.height
        model = self.network.build(self.num_classes, self.protocol.num_frames, height).to(device)

        def loss(batch: Batch) -> Tensor:
            frames = torch.from_numpy(mirror_half(train.frames(batch.index), batch))
            logits = model(normalise(frames.to(device)))
            targets = labels[batch.index]
            return nn.functional.cross_entropy(logits, targets, label_smoothing=LABEL_SMOOTHING)

        result = fit(
            model,
            loss,
            len(train.clips),
            self.optimisation,
            folder,
            description=f"training {self.name}",
            device=device,
        )
        config = {
            "encoder": "video",
            "name": self.name,
            "network": self.network.model_dump(mode="json"),
            "num_classes": self.num_classes,
            "protocol": self.protocol.model_dump(),
        }
        sha256 = save_encoder(folder, model, config)
        held_out = split_held_out(self.clips.manifest())[1]
        found = {"train_clips": len(train.clips), "held_out_top1": self._top1(held_out, model)}
        return {**result, "sha256": sha256, **found}

    def _top1(self, held_out: Manifest, model: Classifier) -> float | None:
        right = 0
        for clips, frames in batches(held_out, self.protocol):
            guesses = predict(model, frames).argmax(axis=1)
            right += sum(
                guess == clip.label(self.task) for clip, guess in zip(clips, guesses, strict=True)
            )
        return round(100.0 * right / len(held_out), 2) if len(held_out) else None


def split_held_out(manifest: Manifest) -> tuple[Manifest, Manifest]:
    """(clips to train on, clips held out): the second are those of split val or test.

    Raises: UserError: if fewer than two are left to train on.
    """
    train = manifest.keep(clip for clip in manifest.clips if clip.split in (None, "train"))
    if len(train) < 2:
        raise UserError(f"{len(train)} training clips for a metric encoder: give at least two")
    return train, manifest.keep(clip for clip in manifest.clips if clip.split in ("val", "test"))


def mirror_half(frames: NDArray[np.uint8], batch: Batch) -> NDArray[np.uint8]:
    """Mirror half of a batch's (B, T, H, W, 3) clips, so that left and right eyes are one."""
    mirrored = batch.uniform("mirror").numpy() < 0.5
    frames = np.array(frames)
    frames[mirrored] = frames[mirrored, :, :, ::-1]
    return frames
