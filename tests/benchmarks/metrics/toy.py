"""Captioned clips of discs, squares and bars that move, rest or grow: real mp4 files."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.stage import ClipStage
from core.video import Frames, write_video

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 80, 230)}
MOTIONS = ("rests", "moves")
CAPTIONS = [f"a {colour} disc {motion}" for colour in COLOURS for motion in MOTIONS]


def draw(label: int, seed: int, num_frames: int = 9, width: int = 64, height: int = 32) -> Frames:
    """A clip of class `label` (an index into CAPTIONS) -> (num_frames, height, width, 3) uint8."""
    rng = np.random.default_rng([label, seed])
    colour = list(COLOURS.values())[label // len(MOTIONS)]
    start = rng.uniform((14, 12), (width - 14, height - 12))
    step = rng.choice([-1, 1], 2) * (1.6 if label % len(MOTIONS) else 0.0)
    ground = (np.array(colour) * rng.uniform(0.2, 0.5)).astype(np.uint8)
    frames = np.tile(ground, (num_frames, height, width, 1))
    for index, frame in enumerate(frames):
        centre = np.clip(start + index * step, 4, (width - 4, height - 4)).round().astype(int)
        cv2.circle(frame, (int(centre[0]), int(centre[1])), 6, colour, -1)
    return frames


class DiscClips(ClipStage):
    """`count` clips, classes in turn. swap: captions of another colour; frozen: only the first
    frame, repeated; every `held_out_every`-th clip is of split test.
    """

    count: int = 24
    seed: int = 0
    swap: bool = False
    frozen: bool = False
    captions: bool = True
    held_out_every: int = 0
    width: int = 64
    height: int = 32

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = []
        for index in range(self.count):
            label = index % len(CAPTIONS)
            frames = draw(label, self.seed * 1000 + index, width=self.width, height=self.height)
            if self.frozen:
                frames = np.repeat(frames[:1], len(frames), axis=0)
            write_video(folder / f"{index:03d}.mp4", frames)
            said = (label + 3) % len(CAPTIONS) if self.swap else label
            held_out = self.held_out_every and index % self.held_out_every == 0
            split: Split = "test" if held_out else "train"
            clips.append(
                Clip(
                    clip_id=f"{self.seed}/{index}",
                    video_id=f"case{index // 6}",
                    path=f"{index:03d}.mp4",
                    labels={"operation": label},
                    caption=CAPTIONS[said] if self.captions else None,
                    source="discs",
                    split=split,
                )
            )
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": self.count}
