"""What the rest of the suite knows of a labelled data set: one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets.taxonomy import Task
from core.stage import ClipStage


class LabelledClips(ClipStage):
    """Labelled clips of one task, with a split for every clip; the result holds `warnings`.

    name: the data set's, in tables.
    """

    task: Task
    name: str


@dataclass(frozen=True)
class DatasetFamily:
    """name: of the layout; about: a line for `--list`; holds: whether a folder that --data-root
    names is written so; at: the stage that reads it, as `OphNet.at`."""

    name: str
    about: str
    holds: Callable[[Path], bool]
    at: Callable[..., LabelledClips]
