"""The pages that tell how to add a part, followed: a folder or module, and one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.families import DATASETS, read_at
from benchmarks.datasets.family import DatasetFamily
from tests.command import ROOT

PAGES = ("generator", "classifier", "metric")
# A block names its file beside its language; a "line" goes at the end of that file's list.
BLOCK = re.compile(
    r"^```(?:python|yaml|text)(?P<line> line)? (?P<file>\S+)\n(?P<text>.*?)^```$", re.M | re.S
)
LIST_ENDS = re.compile(r"^(?:    )?\)\n", re.M)
COMMANDS = (
    ["--list"],
    ["--config", "blobs.yaml", "--dry-run"],
    ["--config", "frame_average.yaml", "--dry-run"],
)
CODE = """
import contextlib, io, json, sys
import run_benchmark

printed = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run_benchmark.main(arguments)
    if code:
        sys.exit(code)
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


def follow(page: str, house: Path) -> None:
    """Write down what the page shows, as its reader would."""
    text = (ROOT / "docs" / f"add_a_{page}.md").read_text(encoding="utf-8")
    lines = 0
    for block in BLOCK.finditer(text):
        file = house / block["file"]
        if block["line"]:
            old = file.read_text(encoding="utf-8")
            end = list(LIST_ENDS.finditer(old))[-1].start()
            file.write_text(old[:end] + block["text"] + old[end:], encoding="utf-8")
            lines += 1
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block["text"], encoding="utf-8")
    assert lines == 1


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code (weights linked) to which all pages were followed."""
    place = tmp_path_factory.mktemp("house")
    for name in ("core", "generator", "augment", "classifiers", "benchmarks"):
        left_out = shutil.ignore_patterns("weights", "__pycache__")
        shutil.copytree(ROOT / name, place / name, ignore=left_out)
    (place / "generator" / "weights").symlink_to(ROOT / "generator" / "weights")
    shutil.copy(ROOT / "run_benchmark.py", place)
    for page in PAGES:
        follow(page, place)
    return place


@pytest.fixture(scope="module")
def said(house: Path) -> list[str]:
    """What the commands print there, all in one process: it is importing that takes long."""
    command = [sys.executable, "-c", CODE, json.dumps(COMMANDS)]
    done = subprocess.run(command, cwd=house, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    printed: list[str] = json.loads(done.stdout)
    return printed


@pytest.mark.slow
def test_what_the_pages_add_is_listed(said: list[str]) -> None:
    for name in ("blobs", "frame_average", "spread"):
        assert re.search(rf"^  {name} ", said[0], re.M), name


@pytest.mark.slow
def test_the_added_generator_is_a_source_and_a_row(said: list[str]) -> None:
    assert re.search(r"ClassSynthesis, source blobs, task phase +to do", said[1])
    assert re.search(r"CaptionSynthesis, source blobs, seed 0 +to do", said[1])


@pytest.mark.slow
def test_the_added_classifier_is_trained_beside_the_others(said: list[str]) -> None:
    row = r"ClassifierTraining, task phase, seed 0, FrameAverage, source +to do"
    assert re.search(row, said[2])


def test_the_first_layout_that_holds_a_folder_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    own = DatasetFamily(
        "own",
        "folders of mine",
        holds=lambda root: (root / "mine").is_dir(),
        at=lambda root, **others: asked.append((root, others)),  # type: ignore[arg-type,return-value]
    )
    before = dict(DATASETS)
    monkeypatch.setattr("benchmarks.datasets.families.DATASETS", {"own": own, **before})
    (tmp_path / "mine").mkdir()
    read_at(tmp_path, task="phase", hash_memory=tmp_path)
    assert asked == [(tmp_path, {"task": "phase", "hash_memory": tmp_path})]
