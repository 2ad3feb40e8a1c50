"""The page on Python, run: its code on a small data set, its record and rows against the files."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run_benchmark
from core.errors import UserError
from core.files import read_json
from core.video import write_video
from tests.command import ROOT
from tests.test_run_benchmark import dataset

PAGE = ROOT / "docs" / "from_python.md"
TINY = """extends: smoke
name: tiny
classifiers: {slowfast: {recipe: {epochs: 1, batch_size: 4}}}
runtime: {workers: 1}
"""


def test_the_code_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        [f"v{case}", second, second + 1, split, 0, phase]
        for case, split in enumerate(("train", "train", "val", "test"))
        for second, phase in ((0, 6), (1, 7))
    ]
    dataset(tmp_path / "OphNet2024", rows, tuple(f"v{case}" for case in range(4)))
    frames = np.random.default_rng(1).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "clips" / "6" / "a.mp4", frames)
    Path("tiny.yaml").write_text(TINY)
    blocks = PAGE.read_text(encoding="utf-8").split("```python\n")[1:]
    assert len(blocks) == 2
    values: dict[str, Any] = {}
    for block in blocks:
        exec(block.split("```")[0].replace('"ophnet_phase"', '"tiny.yaml"'), values)

    found, printed = values["found"], capsys.readouterr().out
    assert found.folder == Path("results/tiny")
    assert found.record.model_dump(mode="json") == read_json(found.folder / "run.json")
    table = list(csv.DictReader((found.folder / "table2.csv").open(newline="")))
    assert len(found.rows) == 4 and found.quality == []
    for row, line in zip(found.rows, table, strict=True):
        assert {key: "" if value is None else str(value) for key, value in row.items()} == line
        shown = (row["training_data"], row["classifier"], row["split"], row["top1_mean"])
        assert " ".join(map(str, shown)) in printed
    assert printed.count("\n") == 5  # the page's own lines: no table
    assert {row["training_data"] for row in found.rows} == {"Source", "Source + mine"}
    made = [read_json(Path(f"results/epochs_{epochs}/run.json")) for epochs in (1, 2)]
    recipes = [each["config"]["classifiers"]["slowfast"]["recipe"] for each in made]
    assert [recipe["epochs"] for recipe in recipes] == [1, 2]
    assert len(values["rows"]) == 4
    # The first of the two is the training that `found` has as Source.
    assert values["rows"][:2] == [row for row in found.rows if row["training_data"] == "Source"]


def test_what_the_user_can_mend_is_raised(tmp_path: Path) -> None:
    for config, given, fault in (
        ("ophnet_fase", {}, "did you mean 'ophnet_phase'?"),
        ("smoke", {"sources": ["opora"]}, "did you mean 'ophora'?"),
        ("smoke", {"settings": {"sedes": 2}}, "did you mean 'seeds'?"),
        ("smoke", {"sources": ["source"], "data_root": tmp_path / "absent"}, "no such folder"),
        ("nuisance", {}, "a run for each value"),
    ):
        with pytest.raises(UserError) as raised:
            run_benchmark.run(config, results=tmp_path / "results", **given)  # type: ignore[arg-type]
        assert fault in str(raised.value) and "\n" not in str(raised.value)


def test_importing_the_function_imports_no_library() -> None:
    code = (
        "import run_benchmark, sys; print(*{'numpy', 'pydantic', 'torch', 'yaml'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
