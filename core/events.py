"""TensorBoard's event files of a training, where tensorboard is installed: its log, to look at.

tensorboard --logdir results/cache
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

EVENTS_FOLDER = "events"


class Events:
    """Event files below the folder of a training.

    The first entry of a log's row counts (steps, epochs), the others are drawn against it. A
    training that goes on from a checkpoint comes by rows that were written before it was killed:
    they are the same, and each stands in the files once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / EVENTS_FOLDER
        self._writer: Any = None
        self._last: dict[str, int] | None = None

    def write(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Append the rows that are new; nothing where tensorboard is not installed."""
        writer = _summary_writer()
        if writer is None or not rows:
            return
        if self._last is None:
            self._last = _last_written(self.folder)
        for row in rows:
            (_, count), *values = row.items()
            for name, value in values:
                if count > self._last.get(name, -1):
                    if self._writer is None:
                        self._writer = writer(str(self.folder))
                    self._writer.add_scalar(name, value, int(count))
                    self._last[name] = int(count)
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """End the file; a later row begins another one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@cache
def _summary_writer() -> Any:
    """torch's writer of event files; None without tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter


def _last_written(folder: Path) -> dict[str, int]:
    """By name, the last count that the event files of a folder have of it."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    last: dict[str, int] = {}
    for file in folder.glob("events.*"):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                last[value.tag] = max(last.get(value.tag, -1), event.step)
    return last
