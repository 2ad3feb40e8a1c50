"""Gaussian splatting by gsplat, where CUDA is there: what Endora's steps use, for a rigid scene.

points of structure from motion -> Gaussians -> drawn by gsplat, split and pruned by its strategy

Source: 3D Gaussian Splatting (arXiv 2308.04079), learning rates included.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.audits.scene.cameras import Cameras
from benchmarks.audits.scene.views import Render, Shown
from core.errors import UserError
from core.progress import track
from core.runtime import derive_seed
from core.video import Frames

Method = Literal["field", "gsplat"]
RATES = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "colors": 2.5e-2}
FEWEST = 5000  # Gaussians at the start, our choice: a short clip has few points


class SplatSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Gaussians and how they are fitted to the training views of a clip."""

    method: Literal["gsplat"] = "gsplat"
    """Its name."""
    steps: int = pydantic.Field(default=3000, ge=1)
    """A view each."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Of the order of views and of Gaussians beside the points."""


def obstacle(device: torch.device) -> str | None:
    """Why gsplat cannot be used; None if it can."""
    if device.type != "cuda":
        return "it needs CUDA"
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed (`pip install --no-deps gsplat`)"
    return None


def chosen(method: Literal["auto", "field", "gsplat"], device: torch.device) -> Method:
    """With "auto", gsplat where it can be used.

    Raises: UserError: if it is asked for and cannot.
    """
    reason = obstacle(device)
    if method == "gsplat" and reason:
        raise UserError(f"--method gsplat: {reason}; --method field does without")
    return "field" if method == "field" or reason else "gsplat"


def distance(cameras: Cameras) -> float:
    """How far the points are from the cameras, the median."""
    return float(np.median(cameras.before(cameras.points)[..., 2]))


def gaussians(cameras: Cameras, seed: int) -> dict[str, Tensor]:
    """Where to start: on the points, and on copies of them nearby where they are few.

    means: (N, 3). scales: (N, 3), logarithms. quats: (N, 4). opacities: (N,), logits. colors:
    (N, 3), logits.
    """
    rng = np.random.default_rng(derive_seed("gaussians", seed))
    points = cameras.points
    away = distance(cameras) / cameras.focal_px  # of a pixel
    copies = max(0, FEWEST - len(points))
    near = points[rng.integers(len(points), size=copies)] + rng.normal(0, 4 * away, (copies, 3))
    means = torch.as_tensor(np.concatenate([points, near]), dtype=torch.float32)
    count = len(means)
    return {
        "means": means,
        "scales": torch.full((count, 3), float(np.log(2 * away))),
        "quats": F.normalize(torch.as_tensor(rng.normal(size=(count, 4)), dtype=torch.float32)),
        "opacities": torch.full((count,), float(np.log(0.1 / 0.9))),
        "colors": torch.zeros(count, 3),
    }


def draw(gsplat: Any, parts: Any, cameras: Cameras, view: int) -> tuple[Tensor, Tensor, Any]:
    """(H, W, 3) colours, (H, W) depths, and what the strategy wants to know."""
    device = parts["means"].device
    pose, lens = torch.eye(4), torch.eye(3)
    pose[:3, :3] = torch.as_tensor(cameras.rotations[view])
    pose[:3, 3] = torch.as_tensor(cameras.translations[view])
    lens[0, 0] = lens[1, 1] = cameras.focal_px
    lens[:2, 2] = torch.tensor(cameras.size) / 2
    shown, _, information = gsplat.rasterization(
        parts["means"],
        F.normalize(parts["quats"], dim=-1),
        parts["scales"].exp(),
        parts["opacities"].sigmoid(),
        parts["colors"].sigmoid(),
        pose[None].to(device),
        lens[None].to(device),
        *cameras.size,
        render_mode="RGB+ED",
        packed=False,
    )
    return shown[0, ..., :3], shown[0, ..., 3], information


def reconstruct(
    cameras: Cameras,
    frames: Frames,
    training: tuple[int, ...],
    settings: SplatSettings,
    device: torch.device,
) -> Render:
    """As `field.reconstruct`, by Gaussian splatting."""
    import gsplat

    start = gaussians(cameras, settings.seed)
    parts = nn.ParameterDict({name: nn.Parameter(p.to(device)) for name, p in start.items()})
    extent = distance(cameras)  # a short clip's cameras stand too close together to tell
    rates = RATES | {"means": RATES["means"] * extent}
    optimisers = {
        name: torch.optim.Adam([parts[name]], lr=rates[name], eps=1e-15) for name in RATES
    }
    strategy = gsplat.DefaultStrategy(refine_stop_iter=settings.steps // 2)
    strategy.check_sanity(parts, optimisers)
    state = strategy.initialize_state(scene_scale=extent)
    order = np.random.default_rng(derive_seed("views", settings.seed))
    steps = range(settings.steps)
    for step in track(steps, total=len(steps), description="gsplat", unit="steps"):
        view = training[int(order.integers(len(training)))]
        colour, _, information = draw(gsplat, parts, cameras, view)
        strategy.step_pre_backward(parts, optimisers, state, step, information)
        real = torch.as_tensor(frames[view], device=device).float() / 255
        F.l1_loss(colour, real).backward()
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        strategy.step_post_backward(parts, optimisers, state, step, information, packed=False)

    @torch.inference_mode()
    def render(view: int) -> Shown:
        colour, depth, _ = draw(gsplat, parts, cameras, view)
        return Shown(colour.clamp(0, 1).cpu().numpy(), depth.cpu().numpy())

    return render
