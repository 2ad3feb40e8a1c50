"""The committed reference results: tables follow from cells, and each page says how it came."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import run_benchmark
from benchmarks.commands.merge import read_part
from benchmarks.commands.picture import table_of
from benchmarks.plan import PROJECT_ROOT
from benchmarks.report.summary import put_into, summary_of
from benchmarks.tables.of_run import tables_of
from benchmarks.tables.render import markdown
from core.files import read_json

FOLDERS = sorted(path.parent for path in (PROJECT_ROOT / "results/reference").glob("*/run.json"))
COMMAND = re.compile(r"^\S*python (run_benchmark\.py --config reference/.+?)(?: +#.*)?$", re.M)


def test_there_are_reference_results() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_its_page_names_command_and_commit(folder: Path) -> None:
    record, page = read_json(folder / "run.json"), (folder / "README.md").read_text()
    command = COMMAND.search(page)
    assert command is not None
    options = run_benchmark.parser().parse_args(shlex.split(command[1])[1:])
    assert options.config == record["config"]["name"] == f"reference/{folder.name}"
    assert options.seeds in (None, record["config"]["seeds"])
    for part in record.get("parts", [record]):  # of a merged run
        assert part["commit"][:7] in page and "dirty" not in part["commit"]
    assert record["data"] == "OphSim" and record["scale"] == "nano"


@pytest.mark.parametrize(
    "folder", [path for path in FOLDERS if (path / "table2.json").is_file()], ids=lambda p: p.name
)
def test_its_tables_follow_from_the_cells(folder: Path) -> None:
    part = read_part(folder)
    tables = tables_of(part.record, part.cells)
    for name, table in tables._asdict().items():
        assert table is not None and markdown(table) == (folder / f"{name}.md").read_text()
    assert tables.table2 is not None
    assert all(row.audit != "not run" for row in tables.table2.rows)


def test_the_readme_shows_the_reference_table() -> None:
    page = (PROJECT_ROOT / "README.md").read_text()
    table = table_of(PROJECT_ROOT / "results/reference/ophnet_phase")
    assert put_into(page, table) == page
    rows = [line for line in summary_of(table).splitlines() if line.startswith("| phase")]
    assert len(rows) == 4  # two generators, two classifiers
    whole = (PROJECT_ROOT / "results/reference/ophnet_phase/table2.md").read_text()
    for row in rows:
        for number in re.findall(r"[+-]\d+\.\d+\*? \[[^]]+\]", row):
            assert number in whole
