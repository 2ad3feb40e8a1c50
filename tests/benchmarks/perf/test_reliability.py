"""The campaign: what counts as a fault, what is changed, kills that a command survives or not."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.perf import mutations
from benchmarks.perf.forked import HUNG, Ending, run_forked
from benchmarks.perf.fuzzed_inputs import KINDS
from benchmarks.perf.kills import kill_and_resume, uninterrupted
from benchmarks.perf.reliability import summary
from core.video import probe, write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and reads /proc")


def ending(how: str, tmp_path: Path, limit_s: float = 60.0) -> Ending:
    words = ("-m", "tests.benchmarks.perf.misbehaving", how)
    return run_forked(words, tmp_path / "output", limit_s)


@pytest.mark.parametrize(
    ("how", "code", "fault"),
    [
        ("end", 0, ""),
        ("refuse", 2, ""),
        ("wordless", 2, "refused without a word"),
        ("fail", 1, "exit code 1"),
        ("crash", -signal.SIGTERM, f"exit code {-signal.SIGTERM}"),
    ],
)
def test_how_a_command_in_a_child_ends(how: str, code: int, fault: str, tmp_path: Path) -> None:
    found = ending(how, tmp_path)
    assert (found.code, found.fault) == (code, fault)
    assert f"to do: {how}" in found.output
    assert ("Traceback" in found.output) == (how == "fail")


def test_a_signal_ends_the_command_though_its_parent_would_outlive_it(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert ending("crash", tmp_path).code == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    found = ending("hang", tmp_path, limit_s=3.0)
    assert found.code == HUNG and found.fault.startswith("killed after")
    child = int(found.output.splitlines()[-1])
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_traceback_is_a_fault_whatever_the_exit_code() -> None:
    assert Ending(2, 0.1, "Traceback (most recent call last)\nerror: x").fault == "a traceback"


def test_changes_follow_from_the_seed_and_leave_a_file_of_the_kind(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", np.zeros((8, 64, 96, 3), np.uint8))
    sound = {
        mutations.json_file: b'{"a": [1, {"b": "c"}], "d": null}',
        mutations.yaml_file: b"a: [1, 2]\nb: {c: x}\n",
        mutations.csv_file: b"path,label\na.mp4,3\nb.mp4,4\n",
        mutations.mp4_header: (tmp_path / "v.mp4").read_bytes(),
    }
    for mutation, data in sound.items():
        made = [mutation(data, np.random.default_rng(n)) for n in range(40)]
        assert made == [mutation(data, np.random.default_rng(n)) for n in range(40)]
        assert sum(each != data for each in made) > 35 and len(set(made)) > 30
    lines = b'{"root": "."}\n{"clip_id": "a"}\n'
    assert mutations.json_file(lines, np.random.default_rng(1)) != lines
    texts = [mutations.yaml_file(b"a: 1\nb: 2\n", np.random.default_rng(n)) for n in range(20)]
    assert any(isinstance(_loaded(text), dict) for text in texts)


def _loaded(text: bytes) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None


def test_headers_are_changed_and_not_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, np.zeros((8, 64, 96, 3), np.uint8))
    data = path.read_bytes()
    names = {data[first + 4 : first + 8] for first, _ in mutations._boxes(data, 0, len(data))}
    assert {b"ftyp", b"moov", b"trak", b"stbl", b"stts", b"mdat"} <= names
    assert probe(path).num_frames == 8


def test_kinds_cover_what_the_page_names() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == 12
    victims = {pattern.rpartition(".")[2] for kind in KINDS for pattern in kind.victims}
    assert victims == {"yaml", "csv", "mp4", "json", "jsonl"}


# Counts to `STEPS`, keeping its count in a file; the table tells what it was begun with.
COUNTING = """
import pathlib, sys, time
results, honest = pathlib.Path(sys.argv[1]), sys.argv[2] == "honest"
results.mkdir(parents=True, exist_ok=True)
state, starts = results / "state", results / "starts"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
done = int(state.read_text()) if state.exists() else 0
print("== counting: 1 of 1 to do", flush=True)
for number in range(done, 20):
    time.sleep(0.02)
    state.with_suffix(".new").write_text(str(number + 1))
    state.with_suffix(".new").replace(state)
(results / "run").mkdir(exist_ok=True)
table = state.read_text() if honest else starts.read_text()
(results / "run" / "table2.md").write_text(table)
"""


@pytest.mark.parametrize("way", ["honest", "forgetful"])
def test_a_killed_run_that_ends_otherwise_is_seen(way: str, tmp_path: Path) -> None:
    def command(results: Path) -> list[str]:
        return [sys.executable, "-c", COUNTING, str(results), way]

    whole = uninterrupted(command, tmp_path)
    assert list(whole["tables"]) == ["table2.md"] and whole["seconds"] > 0.4
    found = [kill_and_resume(command, whole, number, 2, 0, tmp_path) for number in range(2)]
    assert [each["code"] for each in found] == [0, 0]
    assert all(1 <= each["kills"] == len(each["killed_in"]) <= 2 for each in found)
    assert "counting" in {place for each in found for place in each["killed_in"]}
    assert all(each["alike"] for each in found) == (way == "honest")
    kept = [(tmp_path / f"run-{number:02d}").is_dir() for number in range(2)]
    assert kept == [not each["alike"] for each in found]


def test_the_summary_counts_by_kind_and_lists_faults() -> None:
    run = {"run": 0, "kills": 2, "killed_in": ["data", "synthesis"], "code": 0, "alike": True}
    fuzzed = {"kind": "csv", "file": "a.csv", "seconds": 1.0, "fault": "", "code": 0}
    outcomes: list[dict[str, Any]] = [
        {"whole": True, "seconds": 9.0, "tables": {}},
        run,
        run | {"run": 1, "kills": 1, "killed_in": ["data"], "alike": False},
        fuzzed | {"number": 0},
        fuzzed | {"number": 1, "code": 2, "seconds": 3.0},
        fuzzed | {"number": 2, "code": 1, "fault": "exit code 1"},
    ]
    found = json.loads(json.dumps(summary(outcomes)))
    places = {"data": 2, "synthesis": 1}
    counts = {"kills": 3, "runs": 2, "alike": 1, "whole_run_s": 9.0}
    assert found["kills"] == counts | {"killed_in": places}
    assert found["inputs"]["kinds"] == {
        "csv": {"inputs": 3, "done": 1, "refused": 1, "faults": 1, "slowest_s": 3.0}
    }
    assert [each.get("run", each.get("number")) for each in found["faults"]] == [1, 2]


def test_files_of_a_child_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    ending("end", tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
