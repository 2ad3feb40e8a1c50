"""A radiance field small enough for a CPU: colours and densities on a grid.

training views -> random rays -> samples along them -> grid -> colour and depth -> squared error

The grid is a pyramid of coarse to fine levels whose sum is looked up. It lies in the frustum of one
camera that sees all that the others see; its depth is counted in disparity, so that far things
take few cells.
Source: voxels without a network, Plenoxels (arXiv 2112.05131); volume rendering, NeRF (arXiv
2003.08934); colours that do not depend on the direction, the pyramid and all sizes: our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.audits.scene.cameras import Cameras, Floats, pixel_centres
from benchmarks.audits.scene.views import Render, Shown
from core.batch import Batch
from core.fitting import fit
from core.optimisation import Optimisation
from core.video import Frames

LEVELS = 4
RAYS_AT_ONCE = 8192  # when a view is drawn


class FieldSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A radiance field and how it is fitted to the training views of a clip."""

    method: Literal["field"] = "field"
    """Its name."""
    planes: int = pydantic.Field(default=48, ge=8)
    """Cells in depth, and samples of a ray."""
    cells_per_pixel: float = pydantic.Field(default=0.5, gt=0)
    """Cells of the finest level, across and down."""
    rays: int = pydantic.Field(default=256, ge=1)
    """Of a view in a step."""
    smoothness: float = pydantic.Field(default=1e-3, ge=0)
    """Weight of the densities' total variation beside the squared error."""
    optimisation: Optimisation = Optimisation(
        steps=400, batch_size=4, lr=0.1, betas=(0.9, 0.99), weight_decay=0, checkpoint_every=10_000
    )
    """Of the grid; a sample is a view."""


@dataclass(frozen=True)
class Volume:
    """The frustum of a camera, at `centre` and turned by `rotation`, that holds what all see.

    low, high: (3,) of x / z, y / z and 1 / z before it. depths: nearest and farthest, before each
    of the cameras.
    """

    rotation: Floats
    centre: Floats
    low: Floats
    high: Floats
    depths: tuple[float, float]

    @classmethod
    def around(cls, cameras: Cameras) -> Volume:
        """From the depths of the cameras' points, one in a hundred left out at either end."""
        seen = cameras.before(cameras.points)[..., 2]
        near, far = np.quantile(seen[seen > 0], (0.01, 0.99)) * (0.8, 1.25)
        width, height = cameras.size
        edges = np.array([(0, 0), (width, 0), (0, height), (width, height)], float)
        corners = np.concatenate(
            [
                place + depth * cameras.directions(view, edges)
                for view, place in enumerate(cameras.centres())
                for depth in (near, far)
            ]
        )
        left, _, right = np.linalg.svd(cameras.rotations.mean(axis=0))
        rotation = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
        centre = cameras.centres().mean(axis=0)
        nearest = ((corners - centre) @ rotation.T)[:, 2].min()
        centre = centre - max(0.0, near / 2 - nearest) * rotation[2]
        before = (corners - centre) @ rotation.T
        inside = np.column_stack([before[:, :2], np.ones(len(before))]) / before[:, 2:]
        return cls(
            rotation, centre, inside.min(axis=0), inside.max(axis=0), (float(near), float(far))
        )


class RadianceField(nn.Module):
    """Density and colour anywhere in `volume`.

    cells: (depth, height, width) of the finest level.
    """

    rotation: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, volume: Volume, cells: tuple[int, int, int]) -> None:
        super().__init__()
        self.samples = cells[0]
        self.depths = volume.depths
        for name in ("rotation", "centre", "low", "high"):
            value = torch.as_tensor(getattr(volume, name), dtype=torch.float32)
            self.register_buffer(name, value, persistent=False)
        sizes = [[max(2, -(-side // 2**level)) for side in cells] for level in range(LEVELS)]
        self.levels = nn.ParameterList(torch.zeros(1, 4, *size) for size in reversed(sizes))

    def grid(self) -> Tensor:
        """(1, 4, D, H, W): density and colour before their activations, all levels together."""
        total: Tensor = self.levels[0]
        for level in list(self.levels)[1:]:
            size = level.shape[2:]
            total = level + F.interpolate(total, size, mode="trilinear", align_corners=True)
        return total

    def forward(
        self, grid: Tensor, starts: Tensor, directions: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(N, 3) starts and directions of rays, of a unit of depth each -> (N, 3) colours in 0..1
        and (N,) depths.

        offsets: (N or 1, samples) in 0..1, where in its part of the ray each sample lies. A ray
        that meets nothing has the colour of the last sample.
        """
        near, far = (1 / depth for depth in self.depths)
        steps = torch.arange(self.samples, device=offsets.device) + offsets
        depths = 1 / (near + steps / self.samples * (far - near))
        places = starts[:, None] + depths[..., None] * directions[:, None]
        before = (places - self.centre) @ self.rotation.T
        z = before[..., 2:].clamp_min(1e-6)
        inside = torch.cat([before[..., :2] / z, 1 / z], dim=-1)
        looked = 2 * (inside - self.low) / (self.high - self.low) - 1
        found = F.grid_sample(grid, looked[None, None], align_corners=True, padding_mode="border")
        density, colour = found[0, 0, 0], torch.sigmoid(found[0, 1:, 0])  # (N, S), (3, N, S)
        # Thin at first: half of the light passes.
        clear = torch.exp(-F.softplus(density - math.log(self.samples)))
        passed = torch.cumprod(torch.cat([torch.ones_like(clear[:, :1]), clear], dim=1), dim=1)
        last = torch.zeros_like(clear)
        last[:, -1] = passed[:, -1]
        weights = passed[:, :-1] - passed[:, 1:] + last
        return (weights * colour).sum(-1).T, (weights * depths).sum(-1)


def roughness(grid: Tensor) -> Tensor:
    """Mean difference of the densities, (1, 4, D, H, W), of neighbouring cells."""
    steps = [grid[:, 0].diff(dim=axis).abs().mean() for axis in (1, 2, 3)]
    return torch.stack(steps).sum()


def reconstruct(
    cameras: Cameras,
    frames: Frames,
    training: tuple[int, ...],
    settings: FieldSettings,
    folder: Path,
    device: torch.device,
) -> Render:
    """Fit a field to the frames, (T, H, W, 3) uint8, of the training views; it renders any view."""
    width, height = cameras.size
    across, down = (max(8, round(settings.cells_per_pixel * side)) for side in (width, height))
    field = RadianceField(Volume.around(cameras), (settings.planes, down, across))
    pixels = pixel_centres(cameras.size)

    def directions_of(view: int) -> Tensor:
        return torch.as_tensor(cameras.directions(view, pixels), dtype=torch.float32, device=device)

    starts = torch.as_tensor(cameras.centres(), dtype=torch.float32, device=device)
    rays = torch.stack([directions_of(view) for view in training])
    shown = torch.as_tensor(frames[list(training)], device=device).reshape(len(training), -1, 3)

    def loss(batch: Batch) -> Tensor:
        rngs = list(batch.rngs("rays"))
        chosen = [torch.randint(len(pixels), (settings.rays,), generator=rng) for rng in rngs]
        offsets = [torch.rand(settings.rays, field.samples, generator=rng) for rng in rngs]
        views = torch.tensor(batch.index).repeat_interleave(settings.rays).to(device)
        picked = torch.cat(chosen).to(device)
        grid = field.grid()
        places = starts[torch.tensor(training, device=device)[views]]
        colours, _ = field(grid, places, rays[views, picked], torch.cat(offsets).to(device))
        error = F.mse_loss(colours, shown[views, picked].float() / 255)
        return error + settings.smoothness * roughness(grid)

    fit(
        field,
        loss,
        len(training),
        settings.optimisation,
        folder,
        description="radiance field",
        device=device,
    )

    @torch.inference_mode()
    def render(view: int) -> Shown:
        grid, middle = field.grid(), torch.full((1, field.samples), 0.5, device=device)
        found = [
            field(grid, starts[view].expand(len(part), 3), part, middle)
            for part in directions_of(view).split(RAYS_AT_ONCE)
        ]
        colours, depths = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
        return Shown(colours.reshape(height, width, 3), depths.reshape(height, width))

    return render
