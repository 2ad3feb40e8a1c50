"""How much memory do large pictures take in decoding, in curation and in the report's players?

    python -m benchmarks.perf.decoding_memory

A 4K video (3840x2160) with 32 labels of a second and one of ten minutes in full HD are written
first. Each step runs in a process of its own. Prints JSON: the peak of that process above what it
held with its libraries loaded, and the peak of its decoder, in MiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.collect.players import write_small
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.frame_cache import FrameCache
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import probe, resize
from generator.curation.dynamics import DynamicsSettings
from generator.curation.privacy import OcrPrivacy
from generator.curation.resolution import ResolutionSettings
from generator.curation.stages import Span, judge_by_ocr, look_at

LABELS = 32
TARGET_MIB = 2048
UHD, FULL_HD, TINY = "uhd.mp4", "full_hd.mp4", "tiny.mp4"


class Labels(ClipStage):
    """`LABELS` labels of a second each, of one video of `root`."""

    root: Path
    name: str

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = [
            Clip(clip_id=f"c{n}", video_id="v", path=self.name, start_s=n, end_s=n + 1, source="x")
            for n in range(LABELS)
        ]
        Manifest(root=self.root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {}


def write_still(path: Path, size: tuple[int, int], num_frames: int, fps: int) -> None:
    """A picture that stands still: as much to decode as any, little work for the encoder."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 9, 16, 3), dtype=np.uint8)
    picture = av.VideoFrame.from_ndarray(resize(noise, size)[0], format="rgb24")
    picture = picture.reformat(format="yuv420p")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.options = {"preset": "ultrafast", "g": str(fps)}
        for number in range(num_frames):
            picture.pts, picture.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def decoding(root: Path) -> None:
    """All labels of a video into a frame cache."""
    with tempfile.TemporaryDirectory() as cache:
        common: dict[str, Any] = {"infra": {"folder": cache}, "runtime": Runtime(workers=1)}
        FrameCache(clips=Labels(root=root, name=UHD, **common), **common).run()


def curation(root: Path) -> None:
    """All filters that look at pictures, on a long clip and on a large one."""
    for name in (FULL_HD, UHD):
        _curate(root / name)


def _curate(path: Path) -> None:
    span = Span(clip_id=path.stem, path=path, start_s=None, end_s=None)
    look = look_at(span, DynamicsSettings(), ResolutionSettings())
    assert look.keyframes is not None
    judge_by_ocr(span, OcrPrivacy(frames_per_s=0.1))


def players(root: Path) -> None:
    """Clips for the page: one of a minute's length and a label."""
    write_small(root / "small.mp4", root / UHD)
    write_small(root / "small.mp4", root / FULL_HD, 0.0, 600.0)


STEPS: dict[str, Callable[[Path], None]] = {
    "decoding": decoding,
    "curation": curation,
    "players": players,
}


def memory_mib(process: str, field: str) -> float:
    """Of a process: VmRSS, what is resident now, or VmHWM, the most that was."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure(step: str, root: Path) -> dict[str, float]:
    """Run a step here."""
    _curate(root / TINY)  # loads the libraries, the text reader's networks among them
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    libraries = memory_mib("self", "VmRSS")
    STEPS[step](root)
    children = Path("/proc/self/task").glob("*/children")
    decoders = [pid for path in children for pid in path.read_text().split()]
    return {
        "above_libraries": round(memory_mib("self", "VmHWM") - libraries, 1),
        "decoder": round(max(memory_mib(pid, "VmHWM") for pid in decoders), 1),
        "libraries": round(libraries, 1),
    }


def main(arguments: list[str] | None = None) -> None:
    """Write the videos, run each step in a process of its own, print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", nargs=2, metavar=("STEP", "FOLDER"), help="one, here")
    parser.add_argument("--fps", type=int, default=8, help="pictures a second of the 4K video")
    options = parser.parse_args(arguments)
    if options.step:
        print(json.dumps(measure(options.step[0], Path(options.step[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_still(root / UHD, (3840, 2160), options.fps * LABELS, options.fps)
        write_still(root / FULL_HD, (1920, 1080), 600, 1)
        write_still(root / TINY, (720, 480), 8, 8)
        assert probe(root / UHD).height == 2160
        found = {}
        for step in STEPS:
            command = [sys.executable, "-m", "benchmarks.perf.decoding_memory", "--step"]
            done = subprocess.run(
                [*command, step, folder], capture_output=True, text=True, check=True
            )
            found[step] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps({"target": f"below {TARGET_MIB} in all", **found}, indent=2))


if __name__ == "__main__":
    main()
