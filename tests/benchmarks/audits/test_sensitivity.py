"""The tables of docs/audits.md, from fewer clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.audits.sensitivity import ALTERATIONS, copies_table, text_table
from core.runtime import Runtime


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_altered_copies_and_text_are_found(tmp_path: Path) -> None:
    common: dict[str, Any] = {"infra": {"folder": tmp_path}, "runtime": Runtime(workers=1)}
    table, chance = copies_table(2, 52, common).split("\n\n")
    rows = {
        name: (float(found), wrong) for name, _, found, wrong in map(cells, table.splitlines()[2:])
    }
    assert list(rows) == list(ALTERATIONS)
    assert rows["re-encoded"] == (100.0, "0") and min(found for found, _ in rows.values()) > 90
    assert chance.startswith("Clips of different cases: 0 of ")
    lines = [cells(line) for line in text_table(8, common).splitlines()[2:]]
    assert [line[0] for line in lines] == ["2", "4", "6", "8"]
    for _, found, alarms in lines:
        hits, total = map(int, found.split(" of "))
        assert total == 4 and hits >= 1 and alarms == "0 of 4"
