"""The journal survives a kill in the middle of a line."""

from pathlib import Path

import pytest

from generator.curation.journal import Journal


@pytest.mark.parametrize("torn", [b'{"a": 3', b'{"a": 3}', b'{"a": "\xc3'])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "j.jsonl"
    first = Journal(path)
    first.append({"a": 1})
    first.append({"a": "zwei \u2028 ü\n"})
    with path.open("ab") as file:
        file.write(torn)
    second = Journal(path)
    assert second.records == [{"a": 1}, {"a": "zwei \u2028 ü\n"}]
    second.append({"a": 4})
    assert [record["a"] for record in Journal(path).records] == [1, "zwei \u2028 ü\n", 4]
