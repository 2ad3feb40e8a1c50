"""docs/tutorial.md as a reader follows it: scripts written down, commands run, in order."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT, run_here

# A script is named beside its language; a command stands in a block of bash.
BLOCK = re.compile(r"^```(python (?P<script>\S+)|bash)\n(?P<text>.*?)^```$", re.M | re.S)
PYTHON = ".venv/bin/python"


def follow(line: str) -> subprocess.CompletedProcess[str]:
    """Run a command: ours here (`run_here`), a reader's script or a redirection in a shell."""
    words = shlex.split(line)[1:]
    if words[0] == "run_benchmark.py":
        return run_here("run_benchmark", *words[1:])
    if words[0] == "-m" and ">" not in words:
        return run_here(*words[1:])
    line = line.replace(PYTHON, sys.executable, 1)
    return subprocess.run(line, shell=True, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_every_step_of_the_tutorial_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for entry in ("augment", "benchmarks", "classifiers", "core", "generator", "run_benchmark.py"):
        (tmp_path / entry).symlink_to(ROOT / entry)
    commands = []
    for block in BLOCK.finditer((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")):
        if block["script"]:
            (tmp_path / block["script"]).write_text(block["text"], encoding="utf-8")
            continue
        for line in block["text"].splitlines():
            assert line.startswith(PYTHON)
            commands.append(line)
            done = follow(line)
            assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"
    assert len(commands) == 7
    prompts = list(csv.DictReader((tmp_path / "prompts.csv").open()))
    assert len(prompts) == len({row["prompt"] for row in prompts}) == 52
    results = tmp_path / "results"
    rows = json.loads((results / "smoke" / "table2.json").read_text())["rows"]
    assert {row["training_data"] for row in rows} == {"Source", "Source + mine"}
    assert [arm["training_data"] for arm in json.loads(
        (results / "smoke" / "audits.json").read_text())["arms"]] == ["Source + mine"]  # fmt: skip
    page = (results / "smoke" / "report.html").read_text(encoding="utf-8")
    assert page.count("<b>mine</b>") >= 52  # a player a class
    page = (results / "compare" / "compare.html").read_text(encoding="utf-8")
    assert "without" in page and "Source + mine" in page
