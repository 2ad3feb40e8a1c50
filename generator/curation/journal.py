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
        self.records = self._read()

    def append(self, record: dict[str, Any]) -> None:
        """Add one record; it is in the file when this returns."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        with self._lock, self.path.open("ab") as file:
            file.write(line.encode())

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        records, whole = [], 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                records.append(json.loads(line))
            except ValueError:
                break
            if not line.endswith(b"\n"):
                records.pop()
                break
            whole += len(line)
        if whole < self.path.stat().st_size:
            with self.path.open("r+b") as file:
                file.truncate(whole)
        return records
