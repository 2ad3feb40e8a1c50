"""Planning from a pilot: the page's command on real cells, and pilots that say nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.commands.plan_study import SHOWN_CASES, read_pilot
from benchmarks.config.files import load_config
from benchmarks.scoring.evaluation import save_cell
from benchmarks.scoring.record import write_record
from core.files import read_json, write_json
from tests.benchmarks.records import make_record
from tests.benchmarks.scores import make_cell
from tests.command import ROOT, run_here
from tests.test_docs import commands

PAGE = ROOT / "docs" / "plan_a_study.md"
REFERENCE = ROOT / "results" / "reference" / "ophnet_phase"
KEPT = ("slowfast/source/", "slowfast/bora/")
MODULE = "benchmarks.commands.plan_study"


def take(folder: Path, kept: Callable[[str], bool]) -> Path:
    """Some cells of the reference run as a results folder."""
    record = read_json(REFERENCE / "run.json")
    cells = [path for path in record["cells"] if kept(path)]
    for path in cells:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REFERENCE / path, folder / path)
    write_json(folder / "run.json", record | {"cells": cells})
    return folder


def refusal(*arguments: object) -> str:
    done = run_here(MODULE, *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def rows(text: str, caption: str) -> list[list[str]]:
    """The cells of the table below a caption, without its header."""
    table = re.split(rf"\*\*{caption}.*\*\*\n\n", text)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_command_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pilot = take(Path("results/ophnet_phase"), lambda path: any(name in path for name in KEPT))
    (command,) = commands(PAGE)
    assert command[1:3] == ["-m", MODULE]
    done = run_here(*command[2:])
    assert done.returncode == 0, done.stderr
    ((group, found),) = read_pilot(pilot, 0.025).items()
    names = ["phase", "epochs", "SlowFast", "Source + Bora"]
    assert rows(done.stdout, "What varies")[0][:8] == [*names, "60", "34.0", "5", "+1.04"]
    smallest = rows(done.stdout, "Smallest difference")
    assert [row[4] for row in smallest] == [str(cases) for cases in SHOWN_CASES]
    expected = 100 * found.smallest_difference(5, SHOWN_CASES[1])
    assert float(smallest[1][4 + 5]) == pytest.approx(expected, abs=0.006)
    needed = rows(done.stdout, "Cases needed to find 2 points")
    assert [row[:5] for row in needed] == [[*names, "34"], [*names, "68"]]
    assert needed[0][4 + 5] == str(found.cases_needed(0.02, 5)) and needed[0][4 + 2] == ">2000"
    page = (pilot / "plan_study" / "plan_study.md").read_text()
    (figure,) = re.findall(r"!\[.*\]\((.*)\)", page)
    assert page.startswith(done.stdout.rstrip()) and group.arm.name == "Bora"
    svg = (pilot / "plan_study" / figure).read_text()
    assert all(label in svg for label in ("3 seeds", "10 seeds", "cases"))


def test_a_pilot_of_one_seed_says_what_is_assumed(tmp_path: Path) -> None:
    pilot = take(tmp_path, lambda path: any(f"{name}seed0" in path for name in KEPT))
    done = run_here(MODULE, pilot, "--seeds", 3, "--seed-sd", 1)
    assert done.returncode == 0, done.stderr
    assert "so how trainings differ is unknown. Assumed: by 1.00 points" in done.stdout
    assert len(rows(done.stdout, "Cases needed")) == 1  # no word on more clips
    assert "1.00" in rows(done.stdout, "What varies")[0]


def test_what_no_study_can_be_planned_from(tmp_path: Path) -> None:
    assert "no run.json: give the folder of a finished run" in refusal(tmp_path)
    alone = take(tmp_path / "alone", lambda path: KEPT[0] in path)
    assert "no arm beside Source" in refusal(alone)
    for points in (0, -1, 101, "nan"):
        assert "--points" in refusal(alone, "--points", points)
    assert "--seeds 0: give 1 or more" in refusal(alone, "--seeds", 0)
    assert "--seed-sd -1" in refusal(alone, "--seed-sd", -1)
    cells = [
        make_cell(tmp_path / "predictions", label, accuracy=0.5, cases=1)
        for label in ("Source", "Source + Ophora")
    ]
    for cell in cells:
        save_cell(tmp_path / "one", cell)
    config = load_config("ophnet_phase", ["sources=[source,ophora]"])
    write_record(make_record(config, cells), tmp_path / "one")
    assert "one: one case says nothing of how cases differ" in refusal(tmp_path / "one")
    write_record(make_record(config, []), tmp_path / "one")
    assert "no cell of Table 2, so nothing to plan from" in refusal(tmp_path / "one")
