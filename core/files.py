"""Files that are either whole or absent, hashes that identify contents, folders to write into."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from core.errors import UserError, environment_fault
from core.progress import track

SAVE_EVERY_BYTES = 1 << 30  # a kill during a first pass over 305 GB loses seconds, not the pass
SETTLED_NS = 100_000_000  # longer than a tick of any usual file system's clock
TRIED_BYTES = 1 << 16
NEXT_DOCUMENT = "\n---\n"  # in a YAML file of several
UNKNOWN = "0" * 64  # the sha256 of what has not been read, for a plan that computes nothing


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (same suffix) that replaces it when the block succeeds.

    A kill at any moment leaves either the old file or the new one, never a part of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes it private; results are meant to be shared
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # a write alone does not name its file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text with "\\n" line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically, in a stable layout (two spaces, insertion order, last newline)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.  Raises: UserError: if the file is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # other bytes, endless brackets, endless digits
        raise UserError(f"{path}: not JSON ({error})") from None


def read_object(path: Path | str) -> dict[str, Any]:
    """Read a JSON file that holds names and values.  Raises: UserError: as `read_json`, and if it
    holds something else."""
    found = read_json(path)
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise UserError(f"{path}: {kind} instead of names and values: fetch it again")
    return found


def sha256_of_file(path: Path | str) -> str:
    """Hex sha256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_files(root: Path | str, paths: Iterable[Path]) -> str:
    """One hex sha256 for a set of files: their names relative to `root`, sizes and contents.

    The order of `paths` and the place of `root` do not matter, so moved data keeps its identity
    and two different folders at one path never share one.
    """
    return _combine(Path(root), {path: sha256_of_file(path) for path in paths})


def _combine(root: Path, digests: Mapping[Path, str]) -> str:
    lines = sorted(
        f"{path.relative_to(root).as_posix()}\t{path.stat().st_size}\t{digest}"
        for path, digest in digests.items()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def remembered_sha256_of_files(
    root: Path | str,
    paths: Iterable[Path],
    memory: Path | str,
    description: str,
    *,
    read: bool = True,
) -> str:
    """`sha256_of_files`, reading only files that are new or changed since `memory` was written.

    Args: memory: the JSON file of a `HashMemory`; description: shown with the progress, which
    appears only when something must be read; read: False reads no file: `UNKNOWN` if one is not
    in memory.
    """
    listed = list(paths)
    with HashMemory(memory) as known:
        todo: Iterable[Path] = listed
        if not all(known.holds(path) for path in listed):
            if not read:
                return UNKNOWN
            todo = track(listed, total=len(listed), description=description, unit="files")
        digests = {path: known.sha256(path) for path in todo}
    return _combine(Path(root), digests)


class HashMemory:
    """File hashes kept in a JSON file, so that large unchanged files are read once.

    A file is unchanged while its path, size, modification time and change time are; the last sees
    what keeps the others (`cp -p`, `rsync -t`). Use as a context manager; it saves on leaving.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        found = read_json(path) if self._path.is_file() else {}
        if not isinstance(found, dict):
            raise UserError(f"{path}: not the hashes of files: delete it, and they are made anew")
        self._known: dict[str, Any] = found
        self._unsaved_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._unsaved_bytes:
            self._save()

    def holds(self, path: Path) -> bool:
        """Whether the hash of the file, as it is now, is known."""
        entry = self._known.get(_place(path))
        if not isinstance(entry, dict) or "sha256" not in entry:
            return False
        return bool(entry.get("state") == _state(path))

    def sha256(self, path: Path) -> str:
        """Hex sha256 of a file's bytes, from memory where it can be trusted."""
        key = _place(path)
        if self.holds(path):
            return str(self._known[key]["sha256"])
        state = _state(path)
        digest = sha256_of_file(path)
        # A file changed within the clock's tick could change again and keep its times.
        if time.time_ns() - max(state[1:]) > SETTLED_NS:
            self._known[key] = {"state": state, "sha256": digest}
            self._unsaved_bytes += max(state[0], 1)
        if self._unsaved_bytes > SAVE_EVERY_BYTES:
            self._save()
        return digest

    def _save(self) -> None:
        write_json(self._path, self._known)
        self._unsaved_bytes = 0


def _state(path: Path) -> list[int]:
    stat = path.stat()  # of what a link leads to
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _place(path: Path) -> str:
    return os.path.join(_real(str(path.parent)), path.name)


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)  # Path.resolve does the same at twice the time


def share_file(source: Path, target: Path) -> None:
    """Put `source` at `target`, replacing what is there: a hard link where the file system allows,
    a copy elsewhere. Of a link, what it leads to: elsewhere it would lead to nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def path_inside(root: Path | str, relative: str | Path) -> Path:
    """`root / relative`, absolute, without `..`.

    Links are followed wherever they lead: data sets are laid out with them. What is refused is a
    name that leaves by itself.  Raises: UserError: if it does.
    """
    top = os.path.abspath(root)
    path = os.path.normpath(os.path.join(top, relative))
    if not f"{path}{os.sep}".startswith(f"{top.rstrip(os.sep)}{os.sep}"):
        raise UserError(
            f"path {str(relative)!r} points outside its root {top}: move the file inside"
        )
    return Path(path)


def try_folder(folder: Path, option: str) -> None:
    """Write and lock a file in a folder, or where it will be made; leaves nothing behind.

    Raises: UserError: naming `option` and what the system says, if they cannot.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(TRIED_BYTES))
            file.flush()
            os.fsync(file.fileno())  # some file systems say only now that they are full
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(f"{option} {folder}: {environment_fault(error) or error}") from None


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Whether the disk of an existing folder has room.

    Raises: UserError: if not, before anything is computed that would be lost.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise UserError(
            f"{folder}: {what} take about {needed_bytes / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are "
            "free: free some, or name a folder on another disk with --results"
        )
