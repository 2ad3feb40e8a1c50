"""Files that are either whole or absent, and hashes that identify their contents."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import UserError


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
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text with "\\n" line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON with a stable layout (two spaces, insertion order, trailing newline), atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.  Raises: UserError: if the file is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


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
    root = Path(root)
    lines = sorted(
        f"{path.relative_to(root).as_posix()}\t{path.stat().st_size}\t{sha256_of_file(path)}"
        for path in paths
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def path_inside(root: Path | str, relative: str | Path) -> Path:
    """`root / relative`, resolved.  Raises: UserError: if that lies outside `root`."""
    root = Path(root).resolve()
    path = (root / relative).resolve()
    if not path.is_relative_to(root):
        raise UserError(
            f"path {str(relative)!r} points outside its root {root}: move the file inside"
        )
    return path
