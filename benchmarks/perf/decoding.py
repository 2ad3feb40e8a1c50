"""Is reading by presentation time as exact and as fast as reading at an earlier commit?

    python -m benchmarks.perf.decoding --against 1337f5f --rounds 9

Both read the same labels of the same files in turn, each in a process of its own: nano cases as the
frame cache reads them, nano clips in files of their own, and videos of real cameras where they are
there. Prints JSON: milliseconds a label, how many times as fast, whether the frames are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.datasets.ophnet_csv import find_annotation, read_segments
from benchmarks.datasets.ophsim.dataset import write_ophsim
from benchmarks.perf.turns import speed_ratio, take_turns
from benchmarks.plan import PROJECT_ROOT
from core.video import probe, read_span, write_video

REAL_VIDEOS = PROJECT_ROOT.parent / "shared" / "data" / "real_videos"
CASES = {"train_cases": 6, "val_cases": 3, "test_cases": 3}
CLIPS = {"train_clips": 180, "val_clips": 60, "test_clips": 60}
TARGET = "at least 0.9"
Labels = dict[str, list[list[float | None]]]  # spans by file


class Reader:
    """A process that reads with the `core` of one source tree."""

    def __init__(self, tree: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("decoding_passes.py"))]
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.results: list[dict[str, Any]] = []

    def read(self, labels: Labels, num_frames: int, size: tuple[int, int]) -> float:
        """One pass; its seconds a label."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"files": labels, "num_frames": num_frames, "size": size}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        self.results.append(json.loads(self._process.stdout.readline()))
        return float(self.results[-1]["seconds"]) / sum(map(len, labels.values()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def tree_of(commit: str, folder: Path) -> Path:
    """The `core` of a commit, below `folder`."""
    command = ["git", "-C", str(PROJECT_ROOT), "archive", commit, "core"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as file:
        file.extractall(folder, filter="data")
    return folder


def nano_labels(folder: Path) -> dict[str, Labels]:
    """Labels of untrimmed cases, and clips cut from some of them."""
    write_ophsim(folder, seed=3, minimum=1, **CASES, **CLIPS)
    cases: Labels = {}
    for row in read_segments(find_annotation(folder, "phase"), "phase"):
        path = str(folder / "videos" / f"{row.video_id}.mp4")
        cases.setdefault(path, []).append([row.start_s, row.end_s])
    clips: Labels = {}
    for number, (start_s, end_s) in enumerate(next(iter(cases.values()))):
        path = str(folder / f"{number}.mp4")
        write_video(path, read_span(next(iter(cases)), start_s=start_s, end_s=end_s))
        clips[path] = [[None, None]]
    return {"nano cases": cases, "nano clips": clips}


def real_labels() -> dict[str, Labels]:
    """A label a second of each real video, and each as one clip."""
    found: dict[str, Labels] = {}
    for path in sorted(REAL_VIDEOS.glob("*.*")):
        seconds = int(probe(path).duration_s)
        found[path.name] = {str(path): [[s, s + 1.0] for s in range(seconds)]}
        found[f"{path.name}, whole"] = {str(path): [[None, None]]}
    return found


def compare(labels: Labels, now: Reader, then: Reader, rounds: int, name: str) -> dict[str, Any]:
    """Medians in milliseconds a label, and how many times as fast `now` is."""
    now.results, then.results = [], []
    size = (64, 64) if name.startswith("nano") else (96, 64)
    ways = {"now": lambda: now.read(labels, 8, size), "then": lambda: then.read(labels, 8, size)}
    seconds = take_turns(ways, rounds, name)
    work = {
        way: [result["processor_seconds"] for result in reader.results[1:]]
        for way, reader in (("now", now), ("then", then))
    }
    return {
        "labels": sum(map(len, labels.values())),
        "ms_a_label": {w: round(1e3 * statistics.median(each), 3) for w, each in seconds.items()},
        "times_as_fast": speed_ratio(seconds, "now", "then"),
        "times_as_fast_by_processor_time": speed_ratio(work, "now", "then"),
        "target": TARGET,
        "same_frames": now.results[-1]["sha256"] == then.results[-1]["sha256"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", default="1337f5f", help="a commit of this repository")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sets = nano_labels(place / "nano") | (real_labels() if REAL_VIDEOS.is_dir() else {})
        now, then = Reader(PROJECT_ROOT), Reader(tree_of(options.against, place / "then"))
        found = {name: compare(s, now, then, options.rounds, name) for name, s in sets.items()}
        now.close()
        then.close()
    print(json.dumps({"against": options.against, **found}, indent=2))


if __name__ == "__main__":
    main()
