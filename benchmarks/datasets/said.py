"""What the stage of a labelled data set says of clips that are not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.datasets.labels import Task

MAX_NAMED = 5  # names shown in a message; the result lists all of them


def missing_warnings(
    clips_of_video: Mapping[str, int], num_videos: int, num_clips: int
) -> list[str]:
    """Of videos without a file.  Args: clips_of_video: how many clips each of them would have."""
    if not clips_of_video:
        return []
    return [
        f"{len(clips_of_video)} of {num_videos} videos lack files ({_some(clips_of_video)}): "
        f"{sum(clips_of_video.values())} of {num_clips} clips left out"
    ]


def class_warnings(task: Task, classes: Mapping[Any, Sequence[int]]) -> list[str]:
    """Of val and test, classes that no training clip has.  Args: classes: ids by split."""
    found = []
    for split in ("val", "test"):
        if unseen := sorted(set(classes[split]) - set(classes["train"])):
            kind = f"{task} class" + ("es" if len(unseen) > 1 else "")
            found.append(f"{split} has {kind} that train lacks: {_some(unseen)}")
    return found


def _some(names: Iterable[object]) -> str:
    listed = [str(name) for name in names]
    shown = ", ".join(listed[:MAX_NAMED])
    return shown + (f" and {len(listed) - MAX_NAMED} more" if len(listed) > MAX_NAMED else "")
