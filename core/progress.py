"""Progress with rate and time left: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self, TextIO, TypeVar

T = TypeVar("T")
PLAIN_INTERVAL_S = 30.0  # a log of an hour has about a hundred lines, not a hundred thousand
LIVE_INTERVAL_S = 0.2
SHARED_INTERVAL_S = 2.0  # of bars of several processes, which take turns on one line
CLEAR_LINE = "\r\x1b[2K"


def clock(seconds: float) -> str:
    """A duration as minutes:seconds, from an hour on as hours:minutes:seconds."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def say(text: str) -> None:
    """A line for the person who watches; on a terminal in the place of a progress bar."""
    print(f"{CLEAR_LINE if sys.stderr.isatty() else ''}{text}", file=sys.stderr, flush=True)


class Progress:
    """Counts units of work; knows rate and time left. Use as a context manager.

    Args: total: units to do; done: units found done already (they do not count for the rate);
    note: shown at the end of the line, e.g. the current loss; set it through `advance`.
    quiet: show nothing (of several processes that do the same, one speaks).
    """

    def __init__(
        self,
        description: str,
        total: int,
        unit: str,
        done: int = 0,
        stream: TextIO | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = self._resumed = done
        self._stream = stream or sys.stderr
        self._live, self._quiet = self._stream.isatty(), quiet
        live = SHARED_INTERVAL_S if multiprocessing.parent_process() else LIVE_INTERVAL_S
        self._interval = live if self._live else PLAIN_INTERVAL_S
        self._start = self._shown = time.monotonic()
        self._note = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # In a log one unit is no progress: who asked for it says that it is done.
        if self._live or self.total != 1:
            self._show(final=True)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Record `count` finished units."""
        self.done += count
        self._note = note or self._note
        due = time.monotonic() - self._shown >= self._interval
        # In a log the last unit has one line, at the end.
        if due and (self._live or self.done < self.total):
            self._show()

    def line(self) -> str:
        """The current state as text."""
        elapsed = time.monotonic() - self._start
        worked = self.done - self._resumed
        rate = worked / elapsed if elapsed > 0 else 0.0
        parts = [f"{self.description}: {self.done}/{self.total} {self.unit}"]
        if worked:
            parts.append(f"{rate:.1f} {self.unit}/s")
        if self.done < self.total and rate > 0:
            parts.append(f"{clock((self.total - self.done) / rate)} left")
        else:
            parts.append(f"took {clock(elapsed)}")
        return ", ".join(parts + ([self._note] if self._note else []))

    def _show(self, final: bool = False) -> None:
        self._shown = time.monotonic()
        if self._quiet:
            return
        if self._live:
            self._stream.write(CLEAR_LINE + self.line() + ("\n" if final else ""))
        else:
            self._stream.write(self.line() + "\n")
        self._stream.flush()


def track(
    items: Iterable[T], *, total: int, description: str, unit: str = "items", done: int = 0
) -> Iterator[T]:
    """Yield `items`, showing progress; a unit counts when the consumer asks for the next one."""
    with Progress(description, total, unit, done) as progress:
        for item in items:
            yield item
            progress.advance()
