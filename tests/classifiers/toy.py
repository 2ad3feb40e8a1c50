"""Small real data for the tests: mp4 files of four kinds of motion, a source and a mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from classifiers.mvit_v2 import MViTv2
from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.mixture import Chosen, Mixture
from core.runtime import derive_seed
from core.stage import ClipStage
from core.video import Frames, write_video

# A network that trains in a second, for tests of what is around it.
TINY = MViTv2(
    embed_dims=8,
    num_layers=2,
    downscale_indices=(1,),
    patch_stride=(2, 8, 8),
    pool_kernel=(1, 3, 3),
    kv_stride=(1, 2, 2),
)

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CLASSES = 4  # a disc that rests, moves sideways, moves up or down, grows; told by motion alone


def draw(label: int, seed: int, num_frames: int = 8, size: int = 32) -> Frames:
    """A clip of one class -> (num_frames, size, size, 3) uint8; place and colours are random."""
    rng = np.random.default_rng(seed)
    ground, colour = rng.integers(0, 90, 3), rng.integers(150, 255, 3)
    centre, sign = rng.uniform(0.35, 0.65, 2) * size, rng.choice([-1, 1])
    places = np.arange(size)
    frames = np.empty((num_frames, size, size, 3), np.uint8)
    for number, phase in enumerate(np.linspace(-1, 1, num_frames)):
        x = centre[0] + (sign * phase * size / 3 if label == 1 else 0)
        y = centre[1] + (sign * phase * size / 3 if label == 2 else 0)
        radius = size / 6 * (1 + (0.7 * sign * phase if label == 3 else 0))
        inside = (places[None, :] - x) ** 2 + (places[:, None] - y) ** 2 < radius**2
        frames[number] = np.where(inside[..., None], colour, ground)
    return frames


class ToyClips(ClipStage):
    """One mp4 a video, each holding one clip of every class, one after the other.

    splits: whether videos go to train, val and test in turn, else all to train. corrupt: how many
    of the first files are cut short.
    """

    videos: int = 6
    seed: int = 0
    splits: bool = True
    corrupt: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = []
        for video in range(self.videos):
            name = f"video_{video:02d}.mp4"
            seeds = [derive_seed(self.seed, video, label) for label in range(CLASSES)]
            parts = [draw(label, seeds[label]) for label in range(CLASSES)]
            write_video(folder / name, np.concatenate(parts))
            if video < self.corrupt:
                content = (folder / name).read_bytes()
                (folder / name).write_bytes(content[: len(content) // 2])
            split = SPLITS[video % 3] if self.splits else "train"
            clips += [
                Clip(
                    clip_id=f"{self.seed}/{video:02d}/{label}",
                    video_id=f"video_{video:02d}",
                    path=name,
                    start_s=float(label),
                    end_s=float(label + 1),
                    labels={"phase": label},
                    source="toy",
                    split=split,
                )
                for label in range(CLASSES)
            ]
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


class ToyMixture(Mixture):
    """The train split of every source."""

    def execute(self, folder: Path) -> dict[str, Any]:
        chosen = [
            Chosen(source=number, clip_id=clip.clip_id, label=clip.label("phase"))
            for number, source in enumerate(self.sources)
            for clip in source.manifest().of_split("train").clips
        ]
        self.save(folder, chosen)
        return {"clips": len(chosen)}
