"""The published encoders of FVD, FID and IS: I3D and Inception-V3 as torchscript files.

Both files resize and rescale inside, as the published numbers need; nothing here imitates them.
i3d_torchscript.pt: StyleGAN-V. inception-2015-12-05.pt: StyleGAN2-ADA and later.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.metrics.encoders import EncoderByPath
from core.errors import UserError
from core.files import sha256_of_file

VideoProtocol = Literal["stylegan_v", "videogpt"]
ScriptProtocol = Literal["stylegan_v", "videogpt", "inception_v3"]
SCRIPT_SUFFIX = ".pt"
I3D_SIDE = 224
IMAGES_AT_ONCE = 64  # bounds memory, does not change a value
_I3D_ARGUMENTS = ("rescale", "resize", "return_features")
ARGUMENTS: dict[ScriptProtocol, tuple[str, ...]] = {
    "stylegan_v": _I3D_ARGUMENTS,
    "videogpt": _I3D_ARGUMENTS,
    "inception_v3": ("return_features", "no_output_bias"),
}


class TorchScriptEncoder(EncoderByPath):
    """A torchscript file and the protocol by which it is called."""

    protocol: ScriptProtocol

    @staticmethod
    def identify(path: Path | str, protocol: ScriptProtocol) -> dict[str, Any]:
        """The fields of the stage.  Raises: UserError: if the file is not of this protocol."""
        path = Path(path)
        load_script(path, protocol, torch.device("cpu"))
        return {"path": path, "sha256": sha256_of_file(path), "protocol": protocol}

    def content(self) -> str:
        return sha256_of_file(self.path)


def load_script(path: Path, protocol: ScriptProtocol, device: torch.device) -> Any:
    """The file's module on `device`, in evaluation mode; no Python code in it is executed.

    Raises: UserError: if it is no torchscript file, or its `forward` lacks an argument.
    """
    if not path.is_file():
        raise UserError(f"encoder {path}: no such file")
    try:
        module: Any = torch.jit.load(str(path), map_location=device)
    except RuntimeError:
        raise UserError(f"encoder {path}: not a torchscript file, or damaged") from None
    known = {argument.name for argument in module.forward.schema.arguments}
    missing = [name for name in ARGUMENTS[protocol] if name not in known]
    if missing:
        raise UserError(f"encoder {path}: its forward has no {', '.join(missing)}: not {protocol}")
    return module.eval()


class I3d:
    """Clips -> 400 logits of I3D (Kinetics-400), which serve FVD as features.

    stylegan_v: the file resizes to 224 x 224 and rescales to [-1, 1] itself. videogpt: the short
    side becomes 224 pixels, the centre is cut out; the weights are the same file's.
    Source: StyleGAN-V (arXiv 2112.14683), `frechet_video_distance.py`; VideoGPT (arXiv 2104.10157),
    `fvd.py`.
    """

    protocol = None  # takes frames of any number and size

    def __init__(self, path: Path, protocol: VideoProtocol, device: torch.device) -> None:
        self.name = f"i3d_{protocol}"
        self.sha256 = sha256_of_file(path)
        self.device = device
        self.resizes_itself = protocol == "stylegan_v"
        self.model = load_script(path, protocol, device)

    @torch.inference_mode()
    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) uint8 -> (B, 400) float32."""
        clips = torch.from_numpy(frames).to(self.device).permute(0, 4, 1, 2, 3).float()
        if not self.resizes_itself:
            clips = short_side_crop(clips) * (2 / 255) - 1
        inside = self.resizes_itself
        logits = self.model(clips, rescale=inside, resize=inside, return_features=True)
        return _as_rows(logits, len(frames), self.name)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 400) logits -> (B, 400) float32, rows sum to 1."""
        return np.asarray(torch.from_numpy(features).softmax(dim=1).numpy())


def short_side_crop(clips: Tensor, side: int = I3D_SIDE) -> Tensor:
    """Resize the short side to `side`, then cut the centre: (B, 3, T, H, W) -> (.., side, side).

    Bilinear without antialiasing, the long side rounded up, as the reference does.
    Source: VideoGPT (arXiv 2104.10157), `fvd.py`, `preprocess_single`.
    """
    batch, _, length, height, width = clips.shape
    scale = side / min(height, width)
    size = (
        side if height <= width else math.ceil(height * scale),
        side if width <= height else math.ceil(width * scale),
    )
    images = nn.functional.interpolate(
        clips.transpose(1, 2).flatten(0, 1), size=size, mode="bilinear", align_corners=False
    )
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    images = images[:, :, top : top + side, left : left + side]
    return images.unflatten(0, (batch, length)).transpose(1, 2)


class InceptionV3:
    """Frames -> 2048 features (FID, KID) or class probabilities (IS) of Inception-V3.

    Source: StyleGAN2-ADA (arXiv 2006.06676), `frechet_inception_distance.py`, `inception_score.py`.
    """

    name = "inception_v3"

    def __init__(self, path: Path, device: torch.device) -> None:
        self.sha256 = sha256_of_file(path)
        self.device = device
        self.model = load_script(path, "inception_v3", device)

    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) uint8 -> (B, T, 2048) float32."""
        return self._run(frames, return_features=True)

    def probabilities(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) uint8 -> (B, T, 1008) float32, rows sum to 1.

        Without the last bias, as the Inception Score was first computed.
        """
        return self._run(frames, no_output_bias=True)

    @torch.inference_mode()
    def _run(self, frames: NDArray[np.uint8], **options: bool) -> NDArray[np.float32]:
        images = torch.from_numpy(frames.reshape(-1, *frames.shape[2:])).permute(0, 3, 1, 2)
        parts = [
            _as_rows(self.model(part.to(self.device), **options), len(part), self.name)
            for part in images.split(IMAGES_AT_ONCE)
        ]
        return np.concatenate(parts).reshape(*frames.shape[:2], -1)


def _as_rows(output: Any, count: int, name: str) -> NDArray[np.float32]:
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != count:
        raise UserError(f"encoder {name}: expected one row of numbers for each of {count} inputs")
    return np.asarray(output.float().cpu().numpy())
