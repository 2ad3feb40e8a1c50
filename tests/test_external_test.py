"""A second data set: trained on Cataract-1K's form, tested on Cataract-101's as well."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from benchmarks.datasets.external import LabelMapping
from benchmarks.datasets.labels import Taxonomy
from core.clip import Manifest
from core.errors import UserError
from tests.benchmarks.datasets.cataract_folders import cataract_1k, cataract_101
from tests.command import ROOT, run_here

PAGE = ROOT / "docs" / "external_test.md"
TINY = ("classifiers.slowfast.recipe.epochs=1", "classifiers.slowfast.recipe.batch_size=6")


def mapping(folder: Path) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])
    return path


def classes_of(path: Path) -> tuple[int | None, ...]:
    theirs, ours = Taxonomy.load("cataract_101"), Taxonomy.load("cataract_1k")
    return LabelMapping.load(path).classes_of("phase", theirs, ours, path)


def test_the_command_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mapping(tmp_path)
    cataract_1k(tmp_path / "Cataract-1K")
    cataract_101(tmp_path / "Cataract-101")
    text = PAGE.read_text(encoding="utf-8").split("```\n")[1].split("```")[0]
    text = text.replace("\\\n", " ")
    words = [word.replace("ophnet_phase", "smoke") for word in shlex.split(text)[2:]]
    few = ["--classifiers", "slowfast", "--results", "results", "--set", *TINY]
    done = run_here("run_benchmark", *words, *few)
    assert done.returncode == 0, done.stderr
    folder = Path("results/smoke")
    table = json.loads((folder / "table2.json").read_text())
    assert [row["split"] for row in table["rows"]] == ["val", "test", "external"]
    assert all(row["top1"]["paper"] is None for row in table["rows"])
    note = "External: Cataract-101, 27 clips of 3 cases in 9 phase classes, 3 clips dropped"
    assert any(text.startswith(note) for text in table["notes"])
    assert any("Heads: 12 phase ids of Cataract-1K." in text for text in table["notes"])
    cell = json.loads((folder / "cells/phase/slowfast/source/seed0.json").read_text())
    scores = cell["splits"]["external"]
    assert scores["clips"] == 27 and len(scores["cases"]) == 3
    assert set(map(int, scores["recall_by_class"])) <= set(range(12))
    run = json.loads((folder / "run.json").read_text())
    assert run["external"]["counts"]["phase"]["dropped"] == 3
    assert run["config"]["taxonomy"]["name"] == "Cataract-1K"
    again = run_here("run_benchmark", "--report", folder)
    assert again.returncode == 0 and "external" in again.stdout
    relabelled = next(Path("results/cache").glob("*Relabelled*/*/manifest.jsonl"))
    assert {clip.split for clip in Manifest.load(relabelled).clips} == {"test"}


def test_classes_by_test_label(tmp_path: Path) -> None:
    assert classes_of(mapping(tmp_path)) == (0, 1, 2, 3, 4, 5, 6, 7, 9, None)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "  phase: [Tonifying and antibiotics]",
            "  phase: []",
            "says nothing of 1 of 10 phase labels",
        ),
        ("Rhexis: Capsulorhexis", "Rhexis: Capsulorexis", "no phase 'Capsulorexis': did you mean"),
        ("Rhexis: Capsulorhexis", "Rexis: Capsulorhexis", "Cataract-101 has no phase 'Rexis'"),
        ("[Tonifying", "[Incision, Tonifying", "phase 'Incision' is there twice"),
        ("taxonomy: cataract_101", "", "taxonomy: Field required"),
        ("dropped:", "left_out:", "left_out: Extra inputs"),
        ("phase: [Toni", "tool: [Toni", "dropped.tool"),
        (
            "  Rhexis: Capsulorhexis\n",
            "",
            "('Rhexis'): give each a class, or list it under dropped",
        ),
    ],
)
def test_a_wrong_mapping_is_refused_in_a_line(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    path = mapping(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError) as raised:
        classes_of(path)
    assert fault in str(raised.value) and "\n" not in str(raised.value)


def test_wrong_options_end_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mapping(tmp_path)
    data, other = cataract_1k(tmp_path / "a"), cataract_101(tmp_path / "b")
    own = ("run_benchmark", "--config", "smoke", "--results", "results", "--sources", "source")
    own = (*own, "--set", "taxonomy=cataract_1k", "--data-root", data)
    for more, fault in (
        (("--test-root", "none"), "--test-root none: no such folder"),
        (("--test-root", data), "name a set of other cases"),
        (("--test-mapping", "mapping.yaml"), "give --test-root DIR as well"),
        (("--test-root", other), "or give a mapping"),
        (("--test-root", other, "--test-mapping", "no.yaml"), "mapping no.yaml: No such file"),
    ):
        done = run_here(*own, *more)
        assert done.returncode == 2 and fault in done.stderr, done.stderr
    assert not list(Path("results").rglob("result.json"))
