"""Pre-training of the frozen autoencoders: CogVideoX's causal 3D VAE and Bora's per-frame 2D VAE.

At paper scale both are loaded (THUDM/CogVideoX-2b, stabilityai/sd-vae-ft-ema); at nano scale the
same diffusers classes are trained here, long before any benchmark run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLCogVideoX
from torch import Tensor

from core.batch import Batch
from core.errors import UserError
from core.files import read_object
from core.fitting import fit
from core.frame_cache import FrameCache
from core.optimisation import Optimisation
from core.runtime import seed_everything
from core.stage import ClipStage
from generator.backbone.autoencoder_init import inflate, initialise_as_resampler
from generator.base import ClipShape, Weights

# AutoencoderKLCogVideoX | AutoencoderKL; diffusers comes without types.
Autoencoder: TypeAlias = Any
SCALING_CLIPS = 64  # clips whose latents set the scaling factor


class AutoencoderSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Architecture and objective."""

    dimension: Literal[2, 3]
    """3 = AutoencoderKLCogVideoX, 2 = AutoencoderKL; both shrink 8x in space."""
    channels: tuple[int, int, int, int]
    """Widths of the four levels, the finest first."""
    latent_channels: int = pydantic.Field(ge=1)
    """Numbers that stand for 8 x 8 pixels."""
    temporal_compression: Literal[1, 2, 4] = 4
    """Of the 3D network; CogVideoX-2b's is 4. A small network cannot undo it: it averages
    neighbouring frames at its first, widest level, and moving instruments turn into ghosts
    (docs/log.md)."""
    layers_per_block: int = pydantic.Field(default=1, ge=1)
    """Residual layers of each level."""
    norm_groups: int = pydantic.Field(default=4, ge=1)
    """Of group normalisation; it divides all `channels`."""
    edge_weight: float = pydantic.Field(default=1.0, ge=0)
    """Of the L1 of spatial differences, which keeps thin instruments sharp (our choice)."""
    motion_weight: float = pydantic.Field(default=0.0, ge=0)
    """The same in time, against ghosts of moving instruments (our choice)."""
    kl_weight: float = pydantic.Field(default=1e-6, ge=0)
    """Small, as usual where diffusion runs on the latents."""
    resampler_init: bool = False
    """Begins as a resampler of pictures (see `initialise_as_resampler`)."""
    plain: bool = False
    """A 2D network without attention and outer 1x1 convolutions, so that a 3D one can start from it
    (see `inflate`)."""
    crop: int | None = pydantic.Field(default=None, ge=16, multiple_of=8)
    """Side in pixels of the random crops trained on, None for whole frames; the network is
    convolutional, and crops give more steps for the same work (our choice)."""

    def build(self, shape: ClipShape) -> Autoencoder:
        """A freshly initialised network for clips of `shape`."""
        shared = {
            "block_out_channels": self.channels,
            "latent_channels": self.latent_channels,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_groups,
        }
        if self.dimension == 3:
            # Half of these sizes is a tile: whole clips, since smaller tiles would not meet.
            size = {"sample_height": 2 * shape.height, "sample_width": 2 * shape.width}
            ratio = {"temporal_compression_ratio": self.temporal_compression}
            return AutoencoderKLCogVideoX(**shared, **size, **ratio)
        blocks: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * len(self.channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(self.channels),
        }
        if self.plain:
            blocks |= dict.fromkeys(
                ("mid_block_add_attention", "use_quant_conv", "use_post_quant_conv"), False
            )
        return AutoencoderKL(**shared, **blocks, sample_size=shape.height)


class AutoencoderTraining(Weights):
    """Fit an autoencoder on the pixels of `clips`, from scratch or from `init`'s weights (a video
    autoencoder may start from an image autoencoder).

    `weights/` is a diffusers model folder.
    """

    clips: tuple[ClipStage, ...]
    shape: ClipShape
    settings: AutoencoderSettings
    optimisation: Optimisation
    init: Weights | None = None

    def execute(self, folder: Path) -> dict[str, Any]:
        parts = [self._frames(source) for source in self.clips]
        starts = np.cumsum([0] + [len(part) for part in parts])
        device = self.runtime.torch_device()
        seed_everything(self.optimisation.seed)
        model = self.settings.build(self.shape)
        if self.settings.resampler_init:
            initialise_as_resampler(model)
        if self.init is not None:
            start = load_autoencoder(self.init.weights())
            if self.settings.dimension == 3 and isinstance(start, AutoencoderKL):
                inflate(start, model)
            else:
                model.load_state_dict(start.state_dict())

        def pixels(index: int) -> np.ndarray:
            part = int(np.searchsorted(starts, index, side="right")) - 1
            return np.asarray(parts[part][index - starts[part]])

        def loss(batch: Batch) -> Tensor:
            clips = np.stack([pixels(index) for index in batch.index])
            if self.settings.dimension == 2:
                # Frames are independent for the 2D network: one a clip gives more variety a step.
                picks = (batch.uniform("frame") * self.shape.num_frames).long().numpy()
                clips = clips[np.arange(len(clips)), picks][:, None]
            if self.settings.crop is not None:
                clips = random_crops(clips, self.settings.crop, batch)
            return reconstruction_loss(model, to_network(clips).to(device), batch, self.settings)

        result = fit(
            model,
            loss,
            int(starts[-1]),
            self.optimisation,
            folder,
            description=f"autoencoder ({self.settings.dimension}D)",
            device=device,
        )
        rows = np.linspace(0, starts[-1] - 1, SCALING_CLIPS).astype(int)
        with torch.inference_mode():
            sample = to_network(np.stack([pixels(row) for row in rows])).to(device)
            scaling = 1.0 / float(posterior_of(model, sample).mean.std())
        model.register_to_config(scaling_factor=scaling)
        model.save_pretrained(folder / "weights")
        return {**result, "scaling_factor": scaling}

    def _frames(self, source: ClipStage) -> np.ndarray:
        cache = FrameCache(
            clips=source,
            num_frames=self.shape.num_frames,
            width=self.shape.width,
            height=self.shape.height,
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        )
        return cache.table().frames


def random_crops(clips: np.ndarray, side: int, batch: Batch) -> np.ndarray:
    """(B, T, H, W, 3) uint8 -> (B, T, side, side, 3): a place of its own for each sample."""
    height, width = clips.shape[2:4]
    tops = (batch.uniform("top") * (height - side + 1)).long().tolist()
    lefts = (batch.uniform("left") * (width - side + 1)).long().tolist()
    return np.stack(
        [
            clip[:, top : top + side, left : left + side]
            for clip, top, left in zip(clips, tops, lefts, strict=True)
        ]
    )


def load_autoencoder(folder: Path, dtype: torch.dtype = torch.float32) -> Autoencoder:
    """A frozen VAE from a diffusers folder, video (3D) or image (2D) by its config.

    Raises: UserError: if the folder holds another kind of network.
    """
    name = read_object(folder / "config.json").get("_class_name")
    kinds: dict[str, Any] = {
        "AutoencoderKLCogVideoX": AutoencoderKLCogVideoX,
        "AutoencoderKL": AutoencoderKL,
    }
    if name not in kinds:
        raise UserError(f"{folder}: {name!r} is no autoencoder; known: {', '.join(kinds)}")
    model = kinds[name].from_pretrained(folder, dtype=dtype)
    return model.eval().requires_grad_(False)


def to_network(frames: np.ndarray) -> Tensor:
    """(B, T, H, W, 3) uint8 -> (B, 3, T, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0


def to_frames(video: Tensor) -> np.ndarray:
    """(B, 3, T, H, W) float in [-1, 1] -> (B, T, H, W, 3) uint8, rounded and clipped."""
    scaled = (video.float() + 1.0) * 127.5
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 4, 1).cpu().numpy()


def posterior_of(model: Autoencoder, video: Tensor) -> Any:
    """Latent distribution of (B, 3, T, H, W) clips: (B, C, T', H/8, W/8); T' = T without temporal
    compression.

    The 2D network sees frames as a batch; the shapes of `mean` and `std` are those of a clip.
    """
    if isinstance(model, AutoencoderKLCogVideoX):
        return model.encode(video).latent_dist
    batch, _, num_frames = video.shape[:3]
    posterior = model.encode(video.transpose(1, 2).flatten(0, 1)).latent_dist
    for name in ("mean", "std", "var", "logvar"):
        value = getattr(posterior, name)
        setattr(posterior, name, value.unflatten(0, (batch, num_frames)).transpose(1, 2))
    return posterior


def decode(model: Autoencoder, latent: Tensor) -> Tensor:
    """(B, C, T', h, w) unscaled latents -> (B, 3, T, 8h, 8w) in about [-1, 1]."""
    if isinstance(model, AutoencoderKLCogVideoX):
        return model.decode(latent).sample
    batch, _, num_frames = latent.shape[:3]
    frames = model.decode(latent.transpose(1, 2).flatten(0, 1)).sample
    return frames.unflatten(0, (batch, num_frames)).transpose(1, 2)


def reconstruction_loss(
    model: Autoencoder, video: Tensor, batch: Batch, settings: AutoencoderSettings
) -> Tensor:
    """L1 of pixels + edge_weight * L1 of spatial differences + motion_weight * L1 of differences
    between frames + kl_weight * KL(posterior, N(0, 1)).

    Args: video: (B, 3, T, H, W) in [-1, 1].  Returns: scalar.
    """
    posterior = posterior_of(model, video)
    noise = batch.normal(tuple(posterior.mean.shape[1:])).to(video.device)
    output = decode(model, posterior.mean + posterior.std * noise)
    error = output - video
    edges = _l1_of_differences(error, 3) + _l1_of_differences(error, 4)
    loss = error.abs().mean() + settings.edge_weight * edges
    if settings.motion_weight and video.shape[2] > 1:
        loss = loss + settings.motion_weight * _l1_of_differences(error, 2)
    kl = 0.5 * (posterior.mean**2 + posterior.var - 1.0 - posterior.logvar).mean()
    return loss + settings.kl_weight * kl


def _l1_of_differences(video: Tensor, axis: int) -> Tensor:
    return video.diff(dim=axis).abs().mean()


def psnr_db(reconstruction: np.ndarray, original: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 arrays of one shape, in dB (peak 255)."""
    error = F.mse_loss(
        torch.from_numpy(reconstruction).double(), torch.from_numpy(original).double()
    )
    return float(10.0 * torch.log10(255.0**2 / error))
