"""Csv tables as people and spreadsheets write them; faults are named by file, line and cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.errors import UserError, did_you_mean

SEPARATORS = ",;\t|"  # spreadsheets write the second where the first is the decimal mark
SHOWN = 80  # characters of a wrong row


def read_table(path: Path | str, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a csv file with a header line: (line number in the file, cells by column).

    A UTF-8 byte order mark, CRLF line ends and blank lines are accepted; cells are stripped. The
    separator is the one of `SEPARATORS` that makes most of `columns` out of the header line.
    Raises: UserError: file missing or not UTF-8, a column of `columns` missing or named twice, a
    ragged row, a quotation mark that is not closed.
    """
    path, columns = Path(path), tuple(columns)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8: save it as UTF-8") from None
    rows = _rows(path, text, _separator(text, columns))
    _, _, first = next(rows, (0, 0, []))
    header = [name.strip() for name in first]
    for column in columns:
        if column not in header:
            hint = did_you_mean(column, header) if header else "the file is empty"
            raise UserError(f"{path}, line 1: column {column!r} is missing: {hint}")
        if header.count(column) > 1:
            raise UserError(f"{path}, line 1: column {column!r} is there twice: keep one")
    for start, end, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            found = repr(",".join(cells)[:SHOWN])
            cure = "write one cell a column"
            if end > start:
                cure += f"; a quotation mark that opens on line {start} ends on line {end}"
            raise UserError(
                f"{path}, line {start}: {len(cells)} cells where the header has {len(header)} "
                f"(found {found}): {cure}"
            )
        yield end, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _separator(text: str, columns: Sequence[str]) -> str:
    header = text.lstrip("\r\n").splitlines()[:1]

    def made(separator: str) -> int:
        cells = next(csv.reader(header, delimiter=separator), [])
        return sum(cell.strip() in columns for cell in cells)

    return max(SEPARATORS, key=made)  # the first of equals: a comma


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """First and last line of each row, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}, line {start}: a quotation mark opens in this row and is not closed "
                f"before the next separator ({error}): remove it, or write it twice inside quotes"
            ) from None
        yield start, reader.line_num, cells
