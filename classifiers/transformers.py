"""Video transformers of `transformers`: VideoMAE, TimeSformer, ViViT, V-JEPA 2; folder or hub id.

config.json -> class, frames, size; image processor -> normalisation; weights -> all but the head

The libraries are imported where they are used: a run without such a network does not wait for them.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from classifiers.family import ClassifierFamily
from classifiers.networks import MEAN, STD, Classifier, Fraction, Network
from classifiers.starts import LoadReport, Place, Start
from core.errors import UserError
from core.files import read_object
from core.runtime import quiet_libraries
from core.weights import Weights

PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
NO_ARCHITECTURE = (
    *("id2label", "label2id", "_name_or_path", "transformers_version", "dtype", "torch_dtype"),
)
HEAD = "classifier."
Colours = tuple[float, float, float]


class _VideoTransformer(Classifier):
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Colours, std: Colours, **parts: Any) -> None:
        super().__init__(**parts)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def prepare(self, frames: Tensor) -> Tensor:
        pixels = frames.to(torch.float32).div_(255).sub_(self.mean).div_(self.std)
        return pixels.permute(0, 4, 1, 2, 3)

    def features(self, clips: Tensor) -> Tensor:
        """As the checkpoint's own classifier pools; of one without, the mean of the tokens."""
        if self.backbone.base_model is self.backbone:
            return self.tokens(clips).mean(1)
        found: Tensor = self._call(self.backbone, clips).logits
        return found

    def tokens(self, clips: Tensor) -> Tensor:
        found: Tensor = self._call(self.backbone.base_model, clips).last_hidden_state
        return found

    def _call(self, model: Any, clips: Tensor) -> Any:
        # V-JEPA 2 would also predict what no head looks at.
        known = inspect.signature(model.forward).parameters
        others = {"skip_predictor": True} if "skip_predictor" in known else {}
        return model(**{model.main_input_name: clips.transpose(1, 2)}, **others)


class VideoTransformer(Network):
    """A video transformer of `transformers`, its head replaced by ours. The section's `weights`, a
    folder or a hub id, bring all that is said here."""

    architecture: dict[str, Any] = {}
    """What the config.json of `weights` says; only a network that is trained from nothing needs it
    here, `model_type` first."""
    mean: Colours = (MEAN, MEAN, MEAN)
    """Of red, green and blue, 0-1: what is subtracted; the image processor of `weights` says."""
    std: Colours = (STD, STD, STD)
    """What is divided by then."""
    dropout: Fraction = 0.0
    """Share of features left out before the last layer."""

    def shape(self, num_frames: int, size: int) -> tuple[int, int]:
        """Its own: position embeddings fit no other.

        Raises: UserError: if there is no architecture, or its clips are not square or of RGB.
        """
        config = self._config()
        colours = getattr(config, "num_channels", None) or getattr(config, "in_chans", 3)
        if colours != 3:
            raise UserError(f"weights: config.json says {colours} channels; name a model of RGB")
        frames = getattr(config, "num_frames", None) or config.frames_per_clip
        side = getattr(config, "image_size", None) or config.crop_size
        sides = {side} if isinstance(side, int) else set(side)
        if len(sides) > 1:
            raise UserError(f"weights: config.json says image_size {side}; name a square model")
        return int(frames), int(sides.pop())

    def build(self, num_classes: int, num_frames: int, size: int) -> Classifier:
        config = self._config()
        backbone = _library_class(config).from_config(config)
        if hasattr(backbone, "classifier"):
            backbone.classifier = nn.Identity()
        return _VideoTransformer(
            mean=self.mean,
            std=self.std,
            backbone=backbone,
            dim=config.hidden_size,
            num_classes=num_classes,
            dropout=self.dropout,
            head_std=0.02,  # Source: transformers, initializer_range of these models
        )

    def _config(self) -> Any:
        if not self.architecture:
            raise UserError(
                "classifiers.transformers.weights null: name a video transformer, a folder or a "
                "hub id, with --set classifiers.transformers.weights=DIR_OR_ID"
            )
        return _config_of(self.architecture, "classifiers.transformers.network.architecture")


class TransformerWeights(Start):
    """Weights of a `transformers` folder or hub repository."""

    weights: Weights

    def execute(self, folder: Path) -> dict[str, Any]:
        return self.weights.run()

    def load_into(self, model: Classifier) -> LoadReport:
        self.run()
        tensors, report = _read(self.weights.weights(), _library_class(model.backbone.config))
        model.backbone.load_state_dict(tensors)
        return report


def open_folder(
    network: Network, weights: str, field: str, shape: tuple[int, int], place: Place
) -> tuple[Network, Start]:
    """See `classifiers.family.Opener`. Of a hub repository only the descriptions are fetched now;
    a folder's weights are looked into."""
    assert isinstance(network, VideoTransformer)
    given = place.weights(weights, field)
    folder = given.described()
    said = read_object(folder / "config.json")
    architecture = {name: value for name, value in said.items() if name not in NO_ARCHITECTURE}
    config = _config_of(architecture, f"{field} {weights}, config.json")
    found = network.model_copy(update={"architecture": architecture, **_normalisation(folder)})
    found.shape(*shape)
    if given.at_hand() is not None:
        _read(folder, _library_class(config))
    return found, TransformerWeights(weights=given, **place.common)


def _config_of(architecture: dict[str, Any], where: str) -> Any:
    """The library's configuration.  Args: where: what says so.

    Raises: UserError: if it is of no video transformer, or of none that can be built.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES

    kind = architecture.get("model_type")
    if kind not in MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES:
        known = ", ".join(MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES)
        raise UserError(
            f"{where}: model_type {kind!r} is no video transformer: name one of {known}"
        )
    try:
        return AutoConfig.for_model(**architecture)
    except Exception as error:  # whatever the library makes of values that it cannot use
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{where}: no {kind} can be built ({reason}): fetch it again") from error


def _library_class(config: Any) -> Any:
    """A classifier keeps the pooling that it was trained with; any other is read as a backbone."""
    from transformers import AutoModel, AutoModelForVideoClassification

    classifies = any("ForVideoClassification" in name for name in config.architectures or ())
    return AutoModelForVideoClassification if classifies else AutoModel


def _read(folder: Path, kind: Any) -> tuple[dict[str, Tensor], LoadReport]:
    """A folder's tensors by our backbone's names, without the head's.

    Raises: UserError: if one is missing, which the library would draw at random, or not finite.
    """
    quiet_libraries()
    try:
        model, found = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"weights {folder}: cannot be read ({reason}): fetch them again") from None
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(HEAD))
    if missing:
        raise UserError(f"weights {folder}: {missing[0]!r} is not in them: fetch them again")
    state = model.state_dict()
    tensors = {name: value for name, value in state.items() if not name.startswith(HEAD)}
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"weights {folder}: {name} holds NaN or inf: fetch them again")
    return tensors, LoadReport(
        loaded=tuple(tensors),
        interpolated=(),
        missing=(),
        unexpected=tuple(sorted(found["unexpected_keys"])),
        head=tuple(name for name in state if name not in tensors),
    )


def _normalisation(folder: Path) -> dict[str, tuple[float, ...]]:
    """Mean and deviation (of pixels 0-1) that the folder's image processor normalises with.

    Raises: UserError: if it has none, or one that says something else.
    """
    path = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if path is None:
        raise UserError(
            f"weights {folder}: no {PROCESSORS[1]}: how pixels are normalised is not known; save "
            "the image processor beside the model"
        )
    said = read_object(path)
    try:
        scale = 255 * said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 255
        below = 1.0 if said.get("offset") else 0.0  # ViViT's: pixels are -1 to 1 before the mean
        normalised = said.get("do_normalize", True)
        mean = said["image_mean"] if normalised else (0.0,) * 3
        std = said["image_std"] if normalised else (1.0,) * 3
        return {
            "mean": tuple((float(value) + below) / scale for value in mean),
            "std": tuple(float(value) / scale for value in std),
        }
    except (LookupError, TypeError, ValueError):
        raise UserError(f"{path}: no image_mean and image_std of three colours") from None


FAMILY = ClassifierFamily(
    name="transformers",
    label="Video transformer",
    about="VideoMAE, TimeSformer, ViViT, V-JEPA 2: a folder or hub id of transformers",
    network=VideoTransformer,
    open=open_folder,
)
