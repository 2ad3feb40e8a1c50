"""Commands as a user types them, in a process of their own or in this one."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parents[1]
TABLES = [f"table{n}.{kind}" for n in (1, 2) for kind in ("md", "tex", "csv", "json")]


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


def run_here(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command's `main` with these arguments, in this process: it has the libraries already, which
    take longer to import than much of what is asked of it."""
    words = [module, *map(str, arguments)]
    main = importlib.import_module(module).main
    out, errors = io.StringIO(), io.StringIO()
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors)
    with patch.object(sys, "argv", words), redirected[0], redirected[1]:
        code = main()
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def smoke_here(results: Path, *arguments: object) -> str:
    """`--config smoke` in this process; what it prints."""
    done = run_here("run_benchmark", "--config", "smoke", "--results", results, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


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


DATA = ("OphSim", "OphNet", "OphVLSim", "Curation", "PrivacyFilter", "Encoding")


def take_data(finished: Path, results: Path, *more: str) -> None:
    """Give `results` the drawn, curated and encoded clips of a finished run, and the stages of
    `more`; nothing trained."""
    for stage in (*DATA, *more):
        folders = list((finished / "cache").glob(f"{stage},*"))
        assert folders, f"no stage {stage} among {sorted((finished / 'cache').iterdir())}"
        for folder in folders:
            shutil.copytree(folder, results / "cache" / folder.name)


def tables(results: Path) -> dict[str, bytes]:
    return {name: (results / "smoke" / name).read_bytes() for name in TABLES}


def computed(results: Path) -> dict[Path, int]:
    """When each stage ended."""
    return {file: file.stat().st_mtime_ns for file in results.rglob("result.json")}


def kill_when(results: Path, stage: str, partial: str, *arguments: str) -> None:
    """Start the command, kill -9 it when a stage has partial files but no result."""
    process = subprocess.Popen(
        command(results, *arguments),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cache, deadline = results / "cache", time.monotonic() + 600
    try:
        while time.monotonic() < deadline and process.poll() is None:
            for folder in cache.glob(f"*{stage}*/*/"):
                if any(folder.glob(partial)) and not (folder / "result.json").exists():
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
                    time.sleep(0.5)  # its workers die with it
                    if not (folder / "result.json").exists():
                        return
                    pytest.fail(f"{stage} finished before the kill took effect")
            time.sleep(0.01)
    finally:
        process.kill()
    pytest.fail(f"{stage} was never seen half done (exit code {process.poll()})")
