"""The page on own labels: its file and its commands, on small folders in the forms it names."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clip import Manifest
from tests.benchmarks.datasets.cataract_folders import cataract_1k, cataract_101
from tests.benchmarks.datasets.test_labels import PAGE, from_page
from tests.command import run_here


def commands() -> Iterator[list[str]]:
    """The words of the page's commands, without the interpreter's."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith(".venv/bin/python "):
            words = shlex.split(line)[1:]
            yield words[1:] if words[0] == "-m" else ["run_benchmark", *words[1:]]


def a_hospital(root: Path) -> None:
    """Videos and labels in OphNet2024's layout, with ids of the page's own taxonomy."""
    cataract_101(root, cases=(1, 2, 3))
    rows = ["video_id,start,end,split,surgery_id,phase_id"]
    for case, split in enumerate(("train", "val", "test"), start=1):
        rows += [
            f"case_{case},{0.5 * phase},{0.5 * phase + 0.5},{split},0,{phase}" for phase in range(6)
        ]
    for path in root.glob("*.csv"):
        path.unlink()
    (root / "my_loca_challenge_phase.csv").write_text("\n".join(rows) + "\n")


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from_page(tmp_path)
    text = PAGE.read_text(encoding="utf-8").split("```yaml\n")[2].split("```")[0]
    (tmp_path / "mine.yaml").write_text(text)
    a_hospital(tmp_path / "my_hospital")
    cataract_1k(tmp_path / "Cataract-1K")
    cataract_101(tmp_path / "Cataract-101")
    given = list(commands())
    assert len(given) == 4
    for words in given:
        results = ["--results", "results"] if words[0] == "run_benchmark" else []
        done = run_here(*words, *results)
        assert done.returncode == 0, done.stderr
        if not results:
            rows = list(csv.DictReader(io.StringIO(done.stdout)))
            names = [row["class_name"] for row in rows]
            assert list(dict.fromkeys(names)) == [
                "Opening",
                "Lens",
                "Closing",
                "Injection",
                "Washing",
            ]
            assert rows[0]["prompt"] == "a blade cuts the cornea"
    found = {
        manifest.clips[0].source: manifest
        for path in Path("results/cache").rglob("manifest.jsonl")
        if (manifest := Manifest.load(path))
    }
    assert {name: len(each) for name, each in found.items()} == {
        "my": 18, "Cataract-1K": 36, "Cataract-101": 30,
    }  # fmt: skip
    assert os.listdir("results/cache")


def test_labels_that_a_taxonomy_lacks_and_data_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from_page(tmp_path)
    a_hospital(tmp_path / "my_hospital")
    path = tmp_path / "my_hospital" / "my_loca_challenge_phase.csv"
    path.write_text(path.read_text().replace("test,0,5", "test,0,6"))
    own = (
        "run_benchmark",
        "--config",
        "ophnet_phase",
        "--results",
        "results",
        "--sources",
        "source",
    )
    own = (*own, "--set", "taxonomy=my_labels.yaml")
    for more, fault in (
        (("--data-root", "my_hospital"), "phase_id '6': out of range 0 to 5"),
        ((), "taxonomy My hospital needs --data-root DIR"),
    ):
        done = run_here(*own, *more)
        assert done.returncode == 2 and fault in done.stderr and done.stderr.count("\n") == 1
