"""Csv tables as spreadsheets leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from core.table import read_table


def test_table_accepts_mark_crlf_quotes_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('a,b\r\n1,"x, y"\r\n\r\n2, z \r\n'.encode("utf-8-sig"))
    assert list(read_table(path, ("a",))) == [
        (2, {"a": "1", "b": "x, y"}),
        (4, {"a": "2", "b": "z"}),
    ]


def test_table_keeps_a_line_break_inside_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'a,b\r\n1,"two\r\nlines"\r\n')
    assert list(read_table(path, ("a", "b"))) == [(3, {"a": "1", "b": "two\nlines"})]


def test_table_errors_name_file_line_and_cure(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(UserError, match=r"t\.csv: no such file"):
        list(read_table(path, ("a",)))
    path.write_text("path,lable\n")
    with pytest.raises(UserError, match="line 1: column 'label' is missing: did you mean 'lable'"):
        list(read_table(path, ("label",)))
    path.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(UserError, match=r"line 3: 3 cells where the header has 2 \(found '1,2,3'"):
        list(read_table(path, ("a",)))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_makes_the_columns(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    rows = [["path", "label"], ["a,b;c.mp4", "x|y"], ["d.mp4", "z"]]
    text = "".join(separator.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    path.write_bytes(text.encode("utf-8-sig"))
    assert [cells for _, cells in read_table(path, ("path", "label"))] == [
        {"path": "a,b;c.mp4", "label": "x|y"},
        {"path": "d.mp4", "label": "z"},
    ]


LONG = "".join(f"clip_number_{number:06d}.mp4,17\n" for number in range(9000))  # above csv's limit


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('a,1\n"b,2\n' + LONG, 3),  # never closed, longer than the csv module accepts
        ('a,1\n"b,2\nc,3\n', 3),  # never closed, short
        ('a,1\nb,2\n"c,3\n"d,4\n', 4),  # closed by the next stray one
        ('"a\nb",1\nc,2\nd,"3\n', 5),  # after a cell of two lines
    ],
)
def test_a_stray_quotation_mark_is_named_by_its_line(tmp_path: Path, rows: str, line: int) -> None:
    path = tmp_path / "t.csv"
    path.write_text("path,label\n" + rows)
    with pytest.raises(UserError) as raised:
        list(read_table(path, ("path", "label")))
    message = str(raised.value)
    assert message.startswith(f"{path}, line {line}: a quotation mark opens in this row")
    assert "\n" not in message and len(message) < 400


def test_a_row_over_several_lines_with_too_many_cells_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"2\n3",4\n')
    with pytest.raises(UserError, match=r"line 2: 3 cells .* opens on line 2 ends on line 3"):
        list(read_table(path, ("a",)))


def test_other_encodings_and_doubled_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\né,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="byte 4 is not UTF-8: save it as UTF-8"):
        list(read_table(path, ("a",)))
    path.write_text("a,a\n1,2\n")
    with pytest.raises(UserError, match="line 1: column 'a' is there twice"):
        list(read_table(path, ("a",)))
