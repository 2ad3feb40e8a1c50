"""Remembered hashes: what is read again, and what is not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import core.files
from core.errors import UserError
from core.files import SETTLED_NS, UNKNOWN, remembered_sha256_of_files, sha256_of_files


def settle() -> None:
    time.sleep(2 * SETTLED_NS / 1e9)


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


@pytest.mark.parametrize("entry", [None, [], "0", 5, {}, {"state": [1]}, {"sha256": "0", "x": 1}])
def test_an_entry_of_another_form_is_made_anew(tmp_path: Path, entry: object) -> None:
    (tmp_path / "a").write_bytes(b"a")
    settle()
    memory = tmp_path / "memory.json"
    memory.write_text(json.dumps({str(tmp_path / "a"): entry}))
    plain = sha256_of_files(tmp_path, [tmp_path / "a"])
    assert remembered_sha256_of_files(tmp_path, [tmp_path / "a"], memory, "hashing") == plain
    assert json.loads(memory.read_text())[str(tmp_path / "a")].keys() == {"state", "sha256"}
    memory.write_text("[]")
    with pytest.raises(UserError, match="delete it, and they are made anew"):
        remembered_sha256_of_files(tmp_path, [tmp_path / "a"], memory, "hashing")


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
    files, memory = [tmp_path / name for name in ("a", "b")], tmp_path / "memory.json"
    for file in files:
        file.write_bytes(b"x")
    settle()
    remembered_sha256_of_files(tmp_path, files, memory, "hashing mine")
    assert "hashing mine: 2/2 files" in capsys.readouterr().err
    remembered_sha256_of_files(tmp_path, files, memory, "hashing mine")
    assert capsys.readouterr().err == ""


def test_a_plan_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, files = tmp_path / "memory.json", [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(file.name.encode())
    settle()
    read: list[Path] = []
    whole = core.files.sha256_of_file
    monkeypatch.setattr(core.files, "sha256_of_file", lambda path: read.append(path) or whole(path))

    def key(*, reading: bool) -> str:
        return remembered_sha256_of_files(tmp_path, files, memory, "hashing", read=reading)

    assert key(reading=False) == UNKNOWN and not read and not memory.exists()
    first = key(reading=True)
    assert read == files and first == sha256_of_files(tmp_path, files)
    read.clear()
    assert key(reading=False) == first == key(reading=True) and not read
    files[1].write_bytes(b"B")
    settle()
    assert key(reading=False) == UNKNOWN and not read
    assert key(reading=True) != first and read == [files[1]]


def test_a_link_is_known_by_what_it_leads_to(tmp_path: Path) -> None:
    memory, link = tmp_path / "memory.json", tmp_path / "data" / "clip.mp4"
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    link.parent.mkdir()
    link.symlink_to(tmp_path / "one")
    settle()
    first = remembered_sha256_of_files(link.parent, [link], memory, "hashing")
    link.unlink()
    link.symlink_to(tmp_path / "two")
    assert remembered_sha256_of_files(link.parent, [link], memory, "hashing") != first
