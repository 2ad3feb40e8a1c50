"""What `test_isolated.py` lets run in a process of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UnreadableVideo
from core.isolated import alive


def echo(value: Any) -> Any:
    return value


def where() -> int:
    return os.getpid()


def noise(size: int) -> Any:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


def hang(note: Path) -> None:
    """In native code that holds Python's lock, as a decoder's endless loop may."""
    note.write_text(str(os.getpid()))
    while True:
        ctypes.PyDLL(None).pause()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(code: int) -> None:
    os._exit(code)


def take_time(steps: int, seconds: float) -> int:
    """Longer than the limit as a whole, but never for a step."""
    for _ in range(steps):
        time.sleep(seconds)
        alive()
    return steps


def refuse() -> None:
    raise UnreadableVideo("a.mp4", "it is a test")


def fail() -> None:
    raise KeyError("a fault of ours")
