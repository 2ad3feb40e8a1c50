"""Runs side by side: labels, rows of both tables, cautions, the page in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from benchmarks.report.compare import (
    accuracy_rows,
    cautions,
    labels_of,
    markdown,
    quality_rows,
    read_runs,
    run_rows,
    write_comparison,
)
from benchmarks.tables.build import build_table2
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import write_table
from core.errors import UserError
from tests.benchmarks.browsing import open_page, violations
from tests.benchmarks.scores import make_cell


def write_run(
    folder: Path, cells: Path, *arms: str, data: str = "OphSim", fid: float = 3.0
) -> Path:
    accuracies = {"Source": 0.4, "Source + Ophora": 0.65, "Source + <b>mine</b>": 0.3}
    made = [make_cell(cells, arm, accuracy=accuracies[arm]) for arm in ("Source", *arms)]
    write_table(build_table2(made, data=data, scale="nano", recipe="r"), folder, "table2")
    metrics = {"fid_x_256x9": {"value": fid, "n": 256, "encoder": "x"}}
    table1 = build_table1(
        [("Ophora", "Ophora-160K", metrics)], data=data, scale="nano", protocol="p"
    )
    write_table(table1, folder, "table1")
    (folder / "report.html").write_text("the run's own page")
    (folder / "run.json").write_text(json.dumps({"seeds": [0], "commit": "0123456789abcdef"}))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    one = write_run(root / "a" / "phase", root / "cells", "Source + Ophora")
    other = write_run(root / "b" / "phase", root / "cells", "Source + Ophora", data="Mine", fid=5.0)
    return [one, other]


def test_runs_are_named_as_briefly_as_tells_them_apart(tmp_path: Path) -> None:
    assert labels_of([tmp_path / "x", tmp_path / "y"]) == ["x", "y"]
    assert labels_of([tmp_path / "a" / "x", tmp_path / "b" / "x"]) == ["a/x", "b/x"]


def test_equal_rows_of_both_tables_stand_together(folders: list[Path]) -> None:
    runs = read_runs(folders)
    rows = accuracy_rows(runs)
    assert [row[5] for row in rows] == ["a/phase", "b/phase"] * 4
    assert rows[0][:5] == rows[1][:5] == ["phase", "val", "epochs", "Source", "SlowFast"]
    assert rows[0][7:] == rows[1][7:] and rows[0][-1] == "–"
    assert rows[2][-1].startswith("+")
    header, quality = quality_rows(runs)
    assert header[-1] == "fid_x_256x9" and [row[-1] for row in quality] == ["3.00", "5.00"]
    assert run_rows(runs)[0][:5] == ["a/phase", "OphSim", "nano", "0", "0123456789ab"]
    warned = cautions(runs)
    assert len(warned) == 3 and "Table 2 differ in data (Mine; OphSim)" in warned[1]
    assert cautions(runs[:1] * 2) == warned[:1]
    text = markdown(runs)
    assert all(line in text for line in warned) and text.count("| a/phase") >= 5


def test_a_merged_run_shows_the_commits_of_its_parts(tmp_path: Path, folders: list[Path]) -> None:
    folder = write_run(tmp_path / "merged", tmp_path / "cells")
    commits = ("0123456789abcdef", "fedcba9876543210", "0123456789abcdef")
    record = {"seeds": [0, 1, 2], "parts": [{"commit": commit} for commit in commits]}
    (folder / "run.json").write_text(json.dumps(record))
    shown = run_rows(read_runs([folder, folders[0]]))[0]
    assert shown[3:5] == ["0, 1, 2", "0123456789ab, fedcba987654"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: [run], "at least two results folders"),
        (lambda run: [run, run], "each once"),
        (lambda run: [run, run.parent], "no table2.json or table1.json"),
    ],
)
def test_what_cannot_be_compared_is_named(spoil, message, folders) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        read_runs(spoil(folders[0]))


@pytest.mark.parametrize("record", [[], {"seeds": 3}, {"parts": [None]}, {"commit": []}])
def test_a_record_of_another_form_is_refused(
    record: object, folders: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "table2.json").write_bytes((folders[0] / "table2.json").read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run\.json: no record of this suite \("):
        read_runs([folders[0], tmp_path])


def test_a_table_of_another_kind_is_refused(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "table2.json").write_bytes((folders[0] / "table1.json").read_bytes())
    with pytest.raises(UserError, match=r"table2\.json: no table of this suite \(rec"):
        read_runs([folders[0], tmp_path])


def test_the_page_shows_all_runs_and_leads_to_theirs(
    browser: Browser, folders: list[Path], tmp_path: Path
) -> None:
    root = folders[0].parents[1]
    place = write_comparison(read_runs(folders), root / "compare")
    assert (root / "compare" / "compare.md").read_text() == markdown(read_runs(folders))
    with open_page(browser, place) as page:
        assert page.locator("table").count() == 3 and page.locator("figure svg").count() == 1
        page.get_by_role("button", name="Top-1", exact=True).click()
        assert page.locator("th[aria-sort=descending]").count() == 1
        page.get_by_role("button", name="Copy as CSV").first.click()
        page.get_by_role("button", name="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()").splitlines()
        assert len(copied) == 1 + 8 and copied[0].startswith("Task,Split,Matched")
        for colours in ("light", "dark"):
            page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            page.set_viewport_size({"width": 390, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert not violations(page)
        page.get_by_role("link", name="b/phase").click()
        assert page.inner_text("body") == "the run's own page"
