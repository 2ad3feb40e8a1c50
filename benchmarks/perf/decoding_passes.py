"""Passes over video files in whatever `core` is importable; run by `benchmarks.perf.decoding`.

One JSON line in: {"files": {path: [[start_s, end_s], ...]}, "num_frames", "size"}; one out: seconds
and processor seconds, this process's decoder included, and the sha256 of all frames.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.video import read_spans, resize

SHRINKS = "size" in inspect.signature(read_spans).parameters
LABELS_AT_ONCE = 32  # as `core.frame_cache` reads them


def processor_seconds() -> float:
    """Of this process and those it has started."""
    own = os.getpid()
    total = time.process_time()
    for task in Path(f"/proc/{own}/task").iterdir():
        for child in (task / "children").read_text().split():
            total += int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
    return total


def one_pass(
    files: dict[str, list[Any]], num_frames: int, size: Sequence[int]
) -> dict[str, float | str]:
    """Read every span of every file."""
    digest, target = hashlib.sha256(), (size[0], size[1])
    processor, start = processor_seconds(), time.perf_counter()
    for path, spans in files.items():
        for first in range(0, len(spans), LABELS_AT_ONCE):
            some = [tuple(span) for span in spans[first : first + LABELS_AT_ONCE]]
            clips = read_spans(path, some, num_frames, **({"size": target} if SHRINKS else {}))
            for clip in clips:
                digest.update(resize(clip, target).tobytes())
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": processor_seconds() - processor,
        "sha256": digest.hexdigest(),
    }


def main() -> None:
    """Answer until the other side is gone."""
    for line in sys.stdin:
        print(json.dumps(one_pass(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
