"""What do the detectors of the leakage audit find? Measured where the truth is known.

    python -m benchmarks.audits.sensitivity

prints the tables of `docs/audits.md`: how many altered copies of test clips the fingerprints know
again, how alike clips of different cases are by chance, and how many clips with burned-in text, as
small as generated ones, the text recognition finds at several enlargements.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from benchmarks.audits.copies import NearDuplicates
from benchmarks.audits.residue import Residue
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim, OphVLSim
from benchmarks.tables.render import plain_table
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import exit_code
from core.frame_cache import FrameCache
from core.progress import track
from core.stage import ClipStage
from core.table import read_table
from core.video import Frames, read_span, resize, write_video
from generator.base import ClipShape
from generator.curation.privacy import OcrPrivacy
from generator.encoding import training_frames

Alteration = Literal["re-encoded", "mirrored", "cropped by 5%", "cropped by 10%", "10 levels up"]
SIDES_PX = (192, 384, 576, 768)  # longer side of the frames that are read
SHAPE = ClipShape(num_frames=9, width=96, height=64)  # of the nano generators


def cropped(frames: Frames, share: float) -> Frames:
    """The middle of every frame, `share` of each side cut off, at the old size."""
    height, width = frames.shape[1:3]
    top, left = round(height * share / 2), round(width * share / 2)
    return resize(frames[:, top : height - top, left : width - left], (width, height))


ALTERATIONS: dict[Alteration, Callable[[Frames], Frames]] = {
    "re-encoded": lambda frames: frames,
    "mirrored": lambda frames: frames[:, :, ::-1],
    "cropped by 5%": lambda frames: cropped(frames, 0.05),
    "cropped by 10%": lambda frames: cropped(frames, 0.10),
    "10 levels up": lambda frames: cv2.add(frames, np.full_like(frames, 10)),
}


class Altered(ClipStage):
    """The test clips, every one altered and encoded again (h264, crf 28)."""

    clips: ClipStage
    alteration: Alteration

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest().of_split("test")
        clips: list[Clip] = []
        for clip in track(
            manifest.clips, total=len(manifest), description=self.alteration, unit="clips"
        ):
            path = manifest.path_of(clip)
            frames = read_span(path, start_s=clip.start_s, end_s=clip.end_s)
            frames = ALTERATIONS[self.alteration](frames)
            name = f"{len(clips)}.mp4"
            write_video(folder / name, frames, crf=28)
            clips.append(clip.model_copy(update={"path": name, "start_s": None, "end_s": None}))
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


class Small(ClipStage):
    """Clips as a generator of `shape` is trained on them, encoded as it would write them."""

    clips: ClipStage
    shape: ClipShape

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest, clips = self.clips.manifest(), []
        for clip in manifest.clips:
            name = f"{clip.clip_id}.mp4"
            write_video(folder / name, training_frames(manifest, clip, self.shape))
            clips.append(clip.model_copy(update={"path": name}))
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


def copies_table(cases: int, clips: int, common: dict[str, Any]) -> str:
    """Share of altered test clips that are named as copies of themselves; chance below."""
    simulator = OphSim(
        seed=61, train_cases=1, val_cases=1, train_clips=52, val_clips=52, test_cases=cases,
        test_clips=clips, minimum=1, **common,
    )  # fmt: skip
    real = OphNet(task="phase", name="OphSim", written_by=simulator, **common)
    known = FrameCache(clips=real, **common)
    rows, chance = [], {}
    for alteration in ALTERATIONS:
        altered = Altered(clips=real, alteration=alteration, **common)
        suspects = FrameCache(clips=altered, **common)
        found = NearDuplicates(
            suspects=suspects, references=known, reference_splits=("test",), **common
        ).run()
        right = sum(pair["clip"] == pair["copy_of"] for pair in found["copies"])
        count = found["suspects"]
        rows.append([alteration, count, f"{100 * right / count:.1f}", len(found["copies"]) - right])
        chance = found["chance"]
    table = plain_table(rows, ["Copies", "clips", "found, %", "taken for another clip's copy"])
    return (
        f"{table}\n\nClips of different cases: {chance['same']} of {chance['pairs']:,} pairs called"
        f" the same, the largest similarity {chance['largest']}."
    )


def text_table(clips: int, common: dict[str, Any]) -> str:
    """Recall of text and false alarms on clips of the corpus at the nano generators' size."""
    mix = {"text_share": 0.5, "low_resolution_share": 0}
    corpus = OphVLSim(seed=61, num_clips=clips, mix=mix, **common)
    small = Small(clips=corpus, shape=SHAPE, **common)
    truth_path = corpus.manifest().root / "ground_truth.csv"
    truth = {cells["clip id"]: cells["overlay_text"] for _, cells in
             read_table(truth_path, ("clip id", "overlay_text"))}  # fmt: skip
    with_text = {clip_id for clip_id, text in truth.items() if text}
    rows = []
    for side_px in SIDES_PX:
        found = Residue(clips=small, privacy=OcrPrivacy(side_px=side_px), **common).run()
        read = set(found["with_text"])
        hits, alarms = len(read & with_text), len(read - with_text)
        rows.append([f"{side_px / SHAPE.width:g}", f"{hits} of {len(with_text)}",
                     f"{alarms} of {found['clips'] - len(with_text)}"])  # fmt: skip
    return plain_table(rows, ["Enlarged", "text found", "false alarms"])


def main() -> int:
    """Measure both and print the tables."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--cases", type=int, default=60)
    command.add_argument("--clips", type=int, default=400, help="test clips that are copied")
    command.add_argument("--text-clips", type=int, default=100)
    command.add_argument("--results", type=Path, default=Path("results"))
    options = command.parse_args()
    common: dict[str, Any] = {"infra": {"folder": str(options.results / "cache")}}

    def measure() -> None:
        print(copies_table(options.cases, options.clips, common))
        print()
        print(text_table(options.text_clips, common))

    return exit_code(measure)


if __name__ == "__main__":
    sys.exit(main())
