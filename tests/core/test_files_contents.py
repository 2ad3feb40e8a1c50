"""Csv tables and remembered hashes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import (
    SETTLED_NS,
    read_table,
    remembered_sha256_of_files,
    sha256_of_files,
)


def settle() -> None:
    time.sleep(2 * SETTLED_NS / 1e9)


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


def test_remembered_hash_equals_the_plain_one_and_reads_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_bytes(file.name.encode())
    settle()
    memory = tmp_path / "memory.json"
    plain = sha256_of_files(tmp_path, files)
    assert remembered_sha256_of_files(tmp_path, files, memory, "hashing") == plain
    known = json.loads(memory.read_text())
    assert set(known) == {str(file) for file in files}
    known[str(files[0])]["sha256"] = "0" * 64  # were the file read again, this would not matter
    memory.write_text(json.dumps(known))
    assert remembered_sha256_of_files(tmp_path, files, memory, "hashing") != plain


def test_changed_contents_are_seen_even_under_a_kept_modification_time(tmp_path: Path) -> None:
    file, memory = tmp_path / "a", tmp_path / "memory.json"
    file.write_bytes(b"old")
    settle()
    before = remembered_sha256_of_files(tmp_path, [file], memory, "hashing")
    times = file.stat()
    file.write_bytes(b"new")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert remembered_sha256_of_files(tmp_path, [file], memory, "hashing") != before


def test_file_written_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    file, memory = tmp_path / "a", tmp_path / "memory.json"
    file.write_bytes(b"x")
    remembered_sha256_of_files(tmp_path, [file], memory, "hashing")
    assert not memory.exists()


def test_progress_shows_only_when_something_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, memory = tmp_path / "a", tmp_path / "memory.json"
    file.write_bytes(b"x")
    settle()
    remembered_sha256_of_files(tmp_path, [file], memory, "hashing mine")
    assert "hashing mine: 1/1 files" in capsys.readouterr().err
    remembered_sha256_of_files(tmp_path, [file], memory, "hashing mine")
    assert capsys.readouterr().err == ""
