"""The decoder, but for files named after what it does with them."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Any

from core import decoding


def look(path: Path) -> Any:
    _fall_silent(path)
    return decoding.look(path)


def spans(path: Path, *arguments: Any) -> Any:
    _fall_silent(path)
    return decoding.spans(path, *arguments)


def _fall_silent(path: Path) -> None:
    if path.stem.startswith("hangs"):
        while True:
            ctypes.CDLL(None).pause()
    if path.stem.startswith("crashes"):
        os.kill(os.getpid(), signal.SIGSEGV)
