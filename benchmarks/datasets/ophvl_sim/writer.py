"""Write OphVL-sim: narrated clips with known defects, in the layout of the published corpora.

    operation, case -> drawn clip -> dynamics -> burned-in text -> resolution -> mp4
    description ----> narration ------------------------------------------------> clips.csv
What was injected goes to `ground_truth.csv`, for tests and the curation report only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import pydantic

from benchmarks.datasets.captioned import Row, write_corpus
from benchmarks.datasets.ophsim.appearance import NUISANCE, CaseAppearance
from benchmarks.datasets.ophsim.dataset import SIMULATOR_VERSION
from benchmarks.datasets.ophsim.render import render_clip
from benchmarks.datasets.ophvl_sim.defects import CUT_EVERY, Dynamics, cut_together, freeze, shake
from benchmarks.datasets.ophvl_sim.narration import NarrationBook, load_descriptions, narrate
from benchmarks.datasets.ophvl_sim.overlays import (
    Overlay,
    OverlayBook,
    burn_in,
    clock_text,
    draw_overlays,
)
from benchmarks.datasets.taxonomy import OPERATION_COUNTS, OPERATIONS
from core.runtime import derive_seed
from core.video import FPS, Frames, resize, write_video

VERSION: Final = "2"  # ten descriptions an operation
CLIPS_PER_VIDEO: Final = 4
NUM_SCENES: Final = 4  # different clips in a hard-cut one
TRUTH_COLUMNS: Final = (
    "clip id", "operation_id", "appearance_seed", "defects", "overlay_kinds", "overlay_text",
    "description", "width", "height", "num_frames",
)  # fmt: skip

Size = tuple[pydantic.PositiveInt, pydantic.PositiveInt]  # width, height


class CorpusMix(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the corpus is made of. Shares are of all clips; defects are drawn independently.

    Source of all values but `text_share`: our choice.
    """

    text_share: float = pydantic.Field(default=1 - 28_175 / 129_748, ge=0, le=1)
    """Clips with burned-in text. Source: Ophora keeps 28,175 of 129,748 clean clips (21.7%)."""
    static_share: float = pydantic.Field(default=0.07, ge=0, le=1)
    """Clips that stand still."""
    shaky_share: float = pydantic.Field(default=0.04, ge=0, le=1)
    """Clips whose camera shakes."""
    hard_cut_share: float = pydantic.Field(default=0.05, ge=0, le=1)
    """Clips cut together from several scenes."""
    low_resolution_share: float = pydantic.Field(default=0.06, ge=0, le=1)
    """Clips of `low_size`."""
    large_share: float = pydantic.Field(default=0.15, ge=0, le=1)
    """Of the clips that are not of `low_size`: those of `large_size`."""
    uniform_share: float = pydantic.Field(default=0.5, ge=0, le=1)
    """Clips whose operation is drawn uniformly instead of by OphNet's frequency, so that rare ones
    appear."""
    size: Size = (288, 192)
    """Of most clips, in pixels."""
    large_size: Size = (384, 256)
    """Of larger ones, in pixels."""
    low_size: Size = (80, 54)
    """Of those that the resolution filter should drop, in pixels."""
    seconds: tuple[pydantic.PositiveFloat, pydantic.PositiveFloat] = (2.0, 4.0)
    """Shortest and longest clip; lengths are drawn evenly between."""
    draw_height: pydantic.PositiveInt = 128
    """The surgery is drawn so many pixels high and enlarged; text is drawn at full size."""
    nuisance: float = pydantic.Field(default=NUISANCE, ge=0, le=1)
    """How much cases differ, as OphSim's do (`CaseAppearance.draw`)."""

    @pydantic.model_validator(mode="after")
    def _dynamics_fit(self) -> CorpusMix:
        total = self.static_share + self.shaky_share + self.hard_cut_share
        if total > 1:
            raise ValueError(f"static, shaky and hard_cut shares add up to {total:.2f}, above 1")
        return self


@dataclass(frozen=True)
class ClipPlan:
    """All that is decided before a clip is drawn."""

    clip_id: str
    seed: int
    operation_id: int
    appearance_seed: int
    dynamics: Dynamics
    overlays: tuple[Overlay, ...]
    low_resolution: bool
    size: tuple[int, int]
    num_frames: int
    description: str
    caption: str

    def row(self, mix: CorpusMix) -> Row:
        """The clip's line in both tables."""
        defects = [] if self.dynamics == "normal" else [str(self.dynamics)]
        defects += ["low_resolution"] if self.low_resolution else []
        defects += ["text"] if self.overlays else []
        width, height = mix.low_size if self.low_resolution else self.size
        return {
            "clip id": self.clip_id,
            "caption": self.caption,
            "operation_id": str(self.operation_id),
            "appearance_seed": str(self.appearance_seed),
            "defects": "+".join(defects),
            "overlay_kinds": "+".join(overlay.kind for overlay in self.overlays),
            "overlay_text": " | ".join(clock_text(overlay, 0) for overlay in self.overlays),
            "description": self.description,
            "width": str(width),
            "height": str(height),
            "num_frames": str(self.num_frames),
        }


def _spread(seed: int, index: int) -> np.ndarray:
    """Four numbers in 0-1 that fill the unit cube evenly over `index` (Kronecker sequence).

    So the shares hold closely for small corpora too, and a clip does not depend on their number.
    """
    offset = np.random.default_rng([6_101, seed]).random(4)
    return (offset + index * np.sqrt([2.0, 3.0, 5.0, 7.0])) % 1.0


@lru_cache(maxsize=8)
def _operation_cdf(uniform_share: float) -> np.ndarray:
    counts = np.array(OPERATION_COUNTS["train"], dtype=np.float64)
    shares = (1 - uniform_share) * counts / counts.sum() + uniform_share / len(OPERATIONS)
    return np.cumsum(shares)


@lru_cache(maxsize=1)
def _texts() -> tuple[dict[int, tuple[str, ...]], NarrationBook]:
    return load_descriptions(), NarrationBook.load()


def plan_clip(
    index: int, *, seed: int, mix: CorpusMix, book: OverlayBook, fps: float = FPS
) -> ClipPlan:
    """Decide clip `index` of the corpus; depends on nothing but the arguments."""
    u_dynamics, u_text, u_low, u_operation = _spread(seed, index)
    video, number = divmod(index, CLIPS_PER_VIDEO)
    clip_seed = derive_seed("ophvl_sim", seed, index)
    rng = np.random.default_rng([6_102, clip_seed])
    shares = (mix.static_share, mix.shaky_share, mix.hard_cut_share)
    names: tuple[Dynamics, ...] = ("static", "shaky", "hard_cut", "normal")
    dynamics = names[int(np.searchsorted(np.cumsum(shares), u_dynamics, side="right"))]
    cdf = _operation_cdf(mix.uniform_share)
    operation_id = min(int(np.searchsorted(cdf, u_operation, side="right")), len(cdf) - 1)
    descriptions, narrations = _texts()
    choices = descriptions[operation_id]
    description = choices[int(rng.integers(len(choices)))]
    return ClipPlan(
        clip_id=f"narrated_{video:05d}_{number}",
        seed=clip_seed,
        operation_id=operation_id,
        appearance_seed=derive_seed("ophvl_sim case", seed, video),
        dynamics=dynamics,
        overlays=tuple(draw_overlays(rng, book)) if u_text < mix.text_share else (),
        low_resolution=bool(u_low < mix.low_resolution_share),
        size=mix.large_size if rng.random() < mix.large_share else mix.size,
        num_frames=max(round(float(rng.uniform(*mix.seconds)) * fps), 1),
        description=description,
        caption=narrate(rng, description, narrations),
    )


def _draw(plan: ClipPlan, mix: CorpusMix, fps: float) -> Frames:
    """The surgery with its dynamics, at the clip's raw size -> (T, H, W, 3) uint8."""
    rng = np.random.default_rng([6_103, plan.seed])
    height = min(mix.draw_height, plan.size[1])
    size = (2 * round(height * plan.size[0] / plan.size[1] / 2), height)
    appearance = CaseAppearance.draw(plan.appearance_seed, mix.nuisance)
    if plan.dynamics == "hard_cut":
        length = -(-plan.num_frames // NUM_SCENES) + CUT_EVERY
        operations = [plan.operation_id, *rng.integers(len(OPERATIONS), size=NUM_SCENES - 1)]
        looks = [appearance]
        looks += [
            CaseAppearance.draw(plan.seed + number, mix.nuisance) for number in range(1, NUM_SCENES)
        ]
        scenes = [
            render_clip(int(operation), look, plan.seed, length, *size, fps=fps)
            for operation, look in zip(operations, looks, strict=True)
        ]
        frames = cut_together(scenes, plan.num_frames)
    else:
        frames = render_clip(
            plan.operation_id, appearance, plan.seed, plan.num_frames, *size, fps=fps
        )
        if plan.dynamics == "static":
            frames = freeze(frames)
        elif plan.dynamics == "shaky":
            frames = shake(rng, frames)
    return resize(frames, plan.size)


def render(plan: ClipPlan, mix: CorpusMix, fps: float = FPS) -> Frames:
    """All frames of a planned clip as they are written -> (T, H, W, 3) uint8 RGB."""
    frames = _draw(plan, mix, fps)
    if plan.overlays:
        frames = burn_in(frames, plan.overlays, fps)
    return resize(frames, mix.low_size) if plan.low_resolution else frames


def _make_clip(
    index: int, *, root: Path, seed: int, mix: CorpusMix, book: OverlayBook, fps: float
) -> Row:
    plan = plan_clip(index, seed=seed, mix=mix, book=book, fps=fps)
    path = root / "clips" / f"{plan.clip_id}.mp4"
    if not path.is_file():
        crf = CaseAppearance.draw(plan.appearance_seed, mix.nuisance).crf
        write_video(path, render(plan, mix, fps), fps, crf=crf)
    return plan.row(mix)


def write_ophvl_sim(
    root: Path,
    *,
    seed: int,
    num_clips: int,
    mix: CorpusMix | None = None,
    overlays: OverlayBook | None = None,
    fps: float = FPS,
    workers: int = 1,
) -> None:
    """Write `clips/*.mp4`, `clips.csv` and `ground_truth.csv` under `root`, resuming what is there.

    The cases are others than OphSim's (a seed stream of their own), `CLIPS_PER_VIDEO` clips each.
    The same files come out whatever `workers` is.
    Args: mix, overlays: None means the defaults.
    Raises: UserError: if `root` holds a corpus written with other settings.
    """
    mix, book = mix or CorpusMix(), overlays or OverlayBook.load()
    write_corpus(
        root,
        partial(_make_clip, root=root, seed=seed, mix=mix, book=book, fps=fps),
        spec={
            "corpus": "OphVL-sim",
            "version": VERSION,
            "simulator_version": SIMULATOR_VERSION,
            "seed": seed,
            "num_clips": num_clips,
            "fps": fps,
            "mix": mix.model_dump(mode="json"),
            "overlays": book.model_dump(mode="json"),
        },
        num_clips=num_clips,
        workers=workers,
        description="OphVL-sim",
        truth_columns=TRUTH_COLUMNS,
    )
