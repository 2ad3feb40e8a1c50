"""Runs that are stopped half-way or not let in: `--only`, Ctrl-C, `--no-wait`."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import filelock
import pytest

from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from tests.command import run_here, smoke_here, start


@pytest.mark.slow
def test_only_stops_after_a_stage_and_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    arms = ("--sources", "source", "--classifiers", "slowfast", "--set", "runtime.workers=1")
    smoke_here(tmp_path, *arms, "--only", "decoding")
    done = {file.parent.parent.name.partition(",")[0] for file in tmp_path.rglob("result.json")}
    assert "FrameCache" in done and "ClassifierTraining" not in done
    assert not (tmp_path / "smoke").exists()

    process = start(tmp_path, *arms)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not any(
        tmp_path.glob("cache/*ClassifierTraining*/*/checkpoint.pt")
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: the same command goes on from here" in errors
    assert "Traceback" not in errors
    smoke_here(tmp_path, *arms)
    assert (tmp_path / "smoke" / "table2.md").is_file()


@pytest.mark.slow
def test_no_wait_refuses_a_stage_that_another_run_holds(tmp_path: Path) -> None:
    plan = Plan(load_config("smoke"), Inputs(tmp_path))
    folder = plan.data.labelled["phase"].folder
    with filelock.FileLock(f"{folder}.lock"):
        run = ("run_benchmark", "--config", "smoke", "--results", tmp_path)
        done = run_here(*run, "--no-wait", "--sources", "source")
    assert done.returncode == 2, done.stderr
    assert re.search(r"^error: another run holds ", done.stderr, re.MULTILINE)
    assert not (folder / "result.json").exists()
