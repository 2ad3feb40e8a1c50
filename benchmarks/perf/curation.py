"""Clips per second of curation by number of processes, and memory by number of clips.

    python -m benchmarks.perf.curation --clips 500 5000 --workers 1 2

OphVL-sim is drawn once, `--drawn` clips; larger corpora list its files again under other names
(hard links), so that every clip is decoded and read. Each run is a process of its own: its peak is
that of the process that keeps the books, the workers' is the largest of theirs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.config.files import load_config
from benchmarks.datasets.ophvl_sim import CorpusMix, write_ophvl_sim
from core.runtime import Runtime
from generator.curation.narrated import CLIPS_CSV, NarratedFolder, read_captions
from generator.curation.stages import Curation, PrivacyFilter

SEED = 9002
SHORT = CorpusMix(seconds=(1.0, 1.2))  # one frame a clip is read: many clips in little time


def repeated(drawn: Path, root: Path, clips: int) -> None:
    """A corpus of `clips` clips at `root` that lists those at `drawn` again and again."""
    captions = list(read_captions(drawn).items())
    (root / "clips").mkdir(parents=True)
    with (root / CLIPS_CSV).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip id", "caption"])
        for number in range(clips):
            turn, place = divmod(number, len(captions))
            clip_id, caption = captions[place]
            name = f"turn{turn:03d}_{clip_id}"
            os.link(drawn / "clips" / f"{clip_id}.mp4", root / "clips" / f"{name}.mp4")
            writer.writerow([name, f"{caption} {turn}"])


def curate(root: Path, cache: Path, workers: int) -> dict[str, Any]:
    """Run both stages here; seconds and peak memory in MiB."""
    section = load_config("ophnet_phase").curation
    common: dict[str, Any] = {
        "infra": {"folder": str(cache)},
        "runtime": Runtime(workers=workers, device="cpu"),
    }
    curation = Curation(
        narrated=NarratedFolder.at(
            root, source="OphVL-sim", hash_memory=cache / "hashes.json", **common
        ),
        dynamics=section.dynamics,
        resolution=section.resolution,
        **common,
    )
    curation.narrated.run()
    seconds = {}
    for name, stage in (
        ("curation", curation),
        ("privacy", PrivacyFilter(clips=curation, **common)),
    ):
        start = time.monotonic()
        stage.run()
        seconds[name] = round(time.monotonic() - start, 1)
    peak = {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "largest_worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    return {"seconds": seconds, "peak_mib": {name: round(value) for name, value in peak.items()}}


def measure(drawn: Path, folder: Path, clips: int, workers: int) -> dict[str, Any]:
    """`curate` in a process of its own, on an empty cache."""
    root = folder / f"corpus_{clips}"
    if not root.is_dir():
        repeated(drawn, root, clips)
    arguments = [str(root), str(folder / f"cache_{clips}_{workers}"), str(workers)]
    command = [sys.executable, "-m", "benchmarks.perf.curation", "--here", *arguments]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(printed)
    rates = {name: round(clips / value, 2) for name, value in found["seconds"].items()}
    return {"clips": clips, "workers": workers, **found, "clips_per_s": rates}


def main() -> None:
    """Print the measurements as JSON."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--clips", type=int, nargs="+", default=[500, 5000])
    command.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    command.add_argument("--drawn", type=int, default=250)
    command.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    options = command.parse_args()
    if options.here:
        root, cache, workers = options.here
        print(json.dumps(curate(Path(root), Path(cache), int(workers))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_ophvl_sim(folder / "drawn", seed=SEED, num_clips=options.drawn, mix=SHORT)
        rows = [
            measure(folder / "drawn", folder, clips, workers)
            for clips in options.clips
            for workers in options.workers
            # Memory needs one run of the largest corpus; processes are compared on the smallest.
            if clips == min(options.clips) or workers == max(options.workers)
        ]
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
