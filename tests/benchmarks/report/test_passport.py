"""Numbers that were measured differently do not stand side by side."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables.build import build_table2
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import write_table
from tests.benchmarks.scores import make_cell
from tests.command import ROOT, run_here

METRIC = {
    "value": 3.0, "n": 256, "encoder": "x", "encoder_sha256": "a" * 64, "num_frames": 9,
    "width": 96, "height": 64, "fps": 8.0, "codec": "h264",
}  # fmt: skip


def write_run(folder: Path, cells: Path, changes: dict[str, Any]) -> None:
    """A finished run; changes: of its metric, its protocol, its data or its test clips."""
    given = {"protocol": "p", "data": "OphSim", "clips": 300, **METRIC, **changes}
    table2 = build_table2([make_cell(cells)], data=given["data"], scale="nano", recipe="r")
    write_table(table2, folder, "table2")
    metric = {name: given[name] for name in METRIC}
    table1 = build_table1(
        [("Ophora", None, {"fid_x_256x9": metric})],
        data="OphVL-sim", scale="nano", protocol=given["protocol"],
    )  # fmt: skip
    write_table(table1, folder, "table1")
    sizes = {"phase": {"clips": {"test": given["clips"]}, "videos": {"test": 30}}}
    (folder / "run.json").write_text(json.dumps({"seeds": [0], "datasets": sizes}))


def compare(place: Path, changes: dict[str, Any]) -> Any:
    """The page's own command on two runs that differ so."""
    write_run(place / "results" / "one", place / "cells", {})
    write_run(place / "results" / "other", place / "cells", changes)
    text = (ROOT / "docs" / "passport.md").read_text(encoding="utf-8")
    words = shlex.split(text.split("```\n")[1])
    assert words[1] == "run_benchmark.py"
    return run_here("run_benchmark", *words[2:])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"encoder_sha256": "b" * 64},
            "Table 1, fid_x_256x9: encoder hash is aaaaaaaaaaaa in one and bbbbbbbbbbbb in other",
        ),
        ({"n": 128}, "Table 1, fid_x_256x9: n is 256 in one and 128 in other"),
        ({"fps": 4.0}, "frames a second is 8.0 in one and 4.0 in other"),
        ({"protocol": "q"}, "Table 1: the protocol is p in one and q in other"),
        (
            {"clips": 200},
            "Table 2, phase: n is 300 clips of 30 cases of OphSim in one and 200 clips",
        ),
    ],
)
def test_unlike_numbers_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = compare(tmp_path, changes)
    assert done.returncode == 2 and fault in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("compare.*")) and not done.stdout


@pytest.mark.parametrize("changes", [{}, {"encoder_sha256": None}, {"data": "Mine", "clips": 200}])
def test_like_numbers_unknown_ones_and_other_data_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = compare(tmp_path, changes)
    assert done.returncode == 0 and "fid_x_256x9" in done.stdout
