"""In how many frames the privacy filter sees text, by script, and how long it takes.

    python -m benchmarks.perf.scripts --fonts DIR --frames 60

One frame of each of OphVL-sim's clips without text, and the same with a line burned in as the
simulator does it, in sizes and looks of its own; all through h264. DIR is searched for the fonts of
`scripts.yaml` (Noto Sans), then matplotlib's folder; a script whose font is in neither is left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from tabulate import tabulate

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophvl_sim import CorpusMix
from benchmarks.datasets.ophvl_sim.overlays import OverlayBook, burn_in, draw_overlays
from benchmarks.datasets.ophvl_sim.writer import plan_clip, render
from core.video import FPS, Frames, read_frames, write_video
from generator.curation.privacy import OcrPrivacy, find_text

SCRIPTS = Path(__file__).with_name("scripts.yaml")
SEED = 9003
CALM = CorpusMix(text_share=0, static_share=0, shaky_share=0, hard_cut_share=0,
                 low_resolution_share=0, seconds=(0.9, 1.0))  # fmt: skip


def books(fonts: Path | None) -> dict[str, OverlayBook | None]:
    """The overlays of each script whose font is found; None: no text."""
    base = OverlayBook.load()
    found: dict[str, OverlayBook | None] = {"no text": None}
    shelves = [*([fonts] if fonts else []), Path(matplotlib.get_data_path()) / "fonts"]
    for name, script in yaml.safe_load(SCRIPTS.read_text(encoding="utf-8")).items():
        font = next((str(path) for shelf in shelves for path in shelf.rglob(script["font"])), None)
        if font is None:
            continue
        own = {"fonts": (font,), "texts": tuple(script["texts"])}
        kinds = tuple(kind.model_copy(update=own) for kind in base.overlays)
        one = {"overlays": kinds, "max_texts": 1, "brief_share": 0.0}
        found[name] = base.model_copy(update=one)
    return found


def coded(frames: Frames, crf: int) -> Frames:
    """The middle one of (T, H, W, 3) uint8 after h264: (H, W, 3) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "v.mp4", frames, FPS, crf=crf)
        return read_frames(Path(folder) / "v.mp4", np.array([len(frames) // 2]))[0]


def main() -> None:
    """Print the table."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--fonts", type=Path, metavar="DIR")
    command.add_argument("--frames", type=int, default=60)
    options = command.parse_args()
    settings, scripts = OcrPrivacy(), books(options.fonts)
    seen: dict[str, list[bool]] = {name: [] for name in scripts}
    seconds: dict[str, list[float]] = {name: [] for name in scripts}
    for number in range(options.frames):
        plan = plan_clip(number, seed=SEED, mix=CALM, book=OverlayBook.load())
        clean, crf = render(plan, CALM), CaseAppearance.draw(plan.appearance_seed).crf
        for place, (name, book) in enumerate(scripts.items()):
            rng = np.random.default_rng([SEED, number, place])
            frames = burn_in(clean, draw_overlays(rng, book), FPS) if book else clean
            frame = coded(frames, crf)
            start = time.process_time()
            seen[name].append(find_text(frame, settings) is not None)
            seconds[name].append(time.process_time() - start)
    rows = [
        [name, len(found), sum(found), round(1000 * float(np.median(seconds[name])))]
        for name, found in seen.items()
    ]
    print(tabulate(rows, ["text", "frames", "flagged", "ms of one core"], "github"))


if __name__ == "__main__":
    main()
