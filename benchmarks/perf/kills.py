"""Runs that are killed at random moments and started again: the tables come out the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plan import PROJECT_ROOT

LIMIT_S = 3600.0  # of a run on the slowest machine
Command = Callable[[Path], list[str]]  # words, by the results folder
Tables = dict[str, str]  # sha256 by file name


def benchmark(arguments: Sequence[str], results: Path) -> list[str]:
    """The command of a benchmark with those arguments and that results folder."""
    return [sys.executable, "run_benchmark.py", *arguments, "--results", str(results)]


def run_until(words: Sequence[str], output: Path, moment_s: float) -> int | None:
    """Run a command; SIGKILL it and all it started at that moment: None, else its exit code."""
    with output.open("ab") as log:
        process = subprocess.Popen(
            words, cwd=PROJECT_ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return process.wait(timeout=moment_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill_all(process.pid)
            process.wait()


def _kill_all(group: int) -> None:
    """End a process group; back when nothing of it runs any more."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, signal.SIGKILL)
            time.sleep(0.01)
            if not _alive(group):
                return


def _alive(group: int) -> bool:
    """Whether a process of a group still runs, i.e. is no zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


def tables_of(results: Path) -> Tables:
    """The hashes of all tables of the runs in a results folder."""
    found = sorted(path for path in results.glob("*/table*.*") if path.parent.name != "cache")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def uninterrupted(command: Command, work: Path) -> dict[str, Any]:
    """A run in a fresh cache that nobody disturbs: its tables and seconds.

    Raises: RuntimeError: if it fails.
    """
    folder = work / "whole"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()
    code = run_until(command(folder / "results"), folder / "output", LIMIT_S)
    seconds, tables = time.monotonic() - start, tables_of(folder / "results")
    if code != 0 or not tables:
        raise RuntimeError(f"exit code {code}: {(folder / 'output').read_text()[-3000:]}")
    return {"whole": True, "seconds": round(seconds, 1), "tables": tables}


def kill_and_resume(
    command: Command, whole: Mapping[str, Any], number: int, kills: int, seed: int, work: Path
) -> dict[str, Any]:
    """Kill a run at random moments of the whole one's duration, start it again after each, compare.

    A run that is faster than the whole one may end before the last moment: it is killed less often.
    The folder of one that does not end alike stays in `work`: `run-<number>`.
    """
    rng = np.random.default_rng([seed, number])
    folder = work / f"run-{number:02d}"
    places: list[str] = []
    while not places:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        moments = sorted(float(moment) for moment in rng.uniform(0, whole["seconds"], kills))
        for start, end in zip([0.0, *moments], moments, strict=False):
            output = folder / f"output-{len(places)}"
            if run_until(command(folder / "results"), output, end - start) is not None:
                break
            places.append(killed_in(output))
    code = run_until(command(folder / "results"), folder / "output", LIMIT_S)
    alike = code == 0 and tables_of(folder / "results") == whole["tables"]
    if alike:
        shutil.rmtree(folder)
    return {
        "run": number,
        "kills": len(places),
        "moments_s": [round(moment, 1) for moment in moments[: len(places)]],
        "killed_in": places,
        "code": code,
        "alike": alike,
    }


def killed_in(output: Path) -> str:
    """The last wave that a run has begun, by what it prints."""
    waves = _waves(output.read_text(errors="replace").splitlines())
    return next(reversed(list(waves)), "before the first wave")


def _waves(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("== "):
            yield line[3:].partition(":")[0].partition(",")[0]
