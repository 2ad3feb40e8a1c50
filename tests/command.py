"""The command as a user types it, in a process of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(results: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "run_benchmark.py", "--config", "smoke", "--results", str(results),
        *arguments,
    ]  # fmt: skip


def run(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(results, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def start(results: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(results, *arguments),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores Ctrl-C, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def take_data(finished: Path, results: Path) -> None:
    """Give `results` the drawn, curated and encoded clips of a finished run; nothing trained."""
    for pattern in ("benchmarks.datasets.*", "generator.curation.*", "generator.encoding.*"):
        for stages in (finished / "cache").glob(pattern):
            shutil.copytree(stages, results / "cache" / stages.name)
