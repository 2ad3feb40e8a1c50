"""An append-only file of JSON lines: what a stage has finished survives a kill at any moment."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any


class Journal:
    """Records of one stage folder. `records` are those found at opening, in order.

    A kill can tear the last line; it is cut off at opening, so that the next record starts clean.
    Appending is safe from several threads of one process (the stage's lock keeps others out).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self.records, whole = _parse(self.path)
        if self.path.is_file() and whole < self.path.stat().st_size:
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def append(self, record: dict[str, Any]) -> None:
        """Add one record; it is in the file when this returns."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        with self._lock, self.path.open("ab") as file:
            file.write(line.encode())

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """The records at `path` (none if there is no file), for a look that changes nothing."""
        return _parse(path)[0]


def _parse(path: Path) -> tuple[list[dict[str, Any]], int]:
    """All whole records, and how many bytes they take."""
    records: list[dict[str, Any]] = []
    whole = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        records.append(record)
        whole += len(line)
    return records, whole
