import errno
import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import (
    atomic_path,
    path_inside,
    read_json,
    sha256_of_file,
    sha256_of_files,
    share_file,
    try_folder,
    write_json,
    write_text,
)

ROOT = Path(__file__).parents[2]


def test_atomic_path_replaces_on_success_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".txt" and temporary.parent == path.parent
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half of tw")
        raise ZeroDivisionError
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    program = (
        "import sys; from core.files import write_text\n"
        "while True:\n"
        "    for letter in 'ab': write_text(sys.argv[1], letter * 3_000_000)\n"
    )
    for attempt in range(4):
        writer = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT)
        while not path.exists():
            assert writer.poll() is None
            time.sleep(0.005)
        time.sleep(random.Random(attempt).uniform(0.02, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        text = path.read_text()
        assert text in ("a" * 3_000_000, "b" * 3_000_000)
        path.unlink()


def test_kill_during_the_first_write_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    program = (
        "import os, signal, sys; from core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()


def test_json_layout_is_stable(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": ["µ", None]})
    assert path.read_bytes().decode() == '{\n  "b": 1,\n  "a": [\n    "µ",\n    null\n  ]\n}\n'
    assert read_json(path) == {"b": 1, "a": ["µ", None]}


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"accuracy": float("nan")})
    assert read_json(path) == 1


@pytest.mark.parametrize(
    "data", [b"{", b"", b"\xff\xfe{}", b"[" * 100_000, b"9" * 5000], ids=lambda data: data[:4].hex()
)
def test_bad_json_is_a_users_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.json: not JSON"):
        read_json(path)


def test_missing_json_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")


def test_sha256_of_file(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 7)  # more than one block
    (tmp_path / "a").write_bytes(data)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_sha256_of_files_is_the_contents_identity(tmp_path: Path) -> None:
    def folder(name: str, **files: str) -> str:
        root = tmp_path / name
        for file, text in files.items():
            write_text(root / "sub" / file, text)
        return sha256_of_files(root, (root / "sub").iterdir())

    base = folder("one", a="x", b="y")
    assert folder("moved", b="y", a="x") == base
    assert folder("content", a="x", b="z") != base
    assert folder("renamed", a="x", c="y") != base
    assert folder("swapped", a="y", b="x") != base
    assert folder("more", a="x", b="y", c="") != base
    root = tmp_path / "one"
    assert sha256_of_files(root, [root / "sub/b", root / "sub/a"]) == base


@pytest.mark.parametrize(
    "relative", ["../x", "a/../../x", "/etc/passwd", "link/../../x", "..", "../root2/x"]
)
def test_path_inside_refuses_to_leave(tmp_path: Path, relative: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="points outside its root"):
        path_inside(root, relative)


def test_path_inside(tmp_path: Path) -> None:
    assert path_inside(tmp_path, "a/./b/../c.mp4") == tmp_path.resolve() / "a/c.mp4"
    assert path_inside("/", "tmp") == Path("/tmp")


def test_path_inside_follows_links_wherever_they_lead(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "blob").write_text("x")
    (root / "file").symlink_to(tmp_path / "blob")
    (root / "link").symlink_to(tmp_path)
    assert path_inside(root, "file") == root / "file"
    assert path_inside(root, "link/blob").read_text() == "x"


def test_sharing_a_link_shares_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "blob").write_text("x")
    (tmp_path / "snapshot" / "clip.mp4").symlink_to("../blob")
    target = tmp_path / "somewhere" / "deep" / "clip.mp4"
    share_file(tmp_path / "snapshot" / "clip.mp4", target)
    assert not target.is_symlink() and target.read_text() == "x"


# --- the folder that results go to


def test_a_folder_is_tried_without_a_trace(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new" / "deep"):
        try_folder(folder, "--results")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/below"):
        message = f"--results {tmp_path / name}: .*Not a directory: a file is where a folder"
        with pytest.raises(UserError, match=message):
            try_folder(tmp_path / name, "--results")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "No space left on device: make room"),
        (errno.EROFS, "Read-only file system: name a folder that you may write to"),
        (errno.ENOLCK, "No locks available: the file system gives no locks"),
    ],
)
def test_what_the_disk_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=f"--results {tmp_path}: {message}"):
        try_folder(tmp_path, "--results")


def test_a_failed_write_names_its_file(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=f"No space left.*{tmp_path / 'a'}"):
        write()
