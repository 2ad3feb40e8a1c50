"""What the page shows beside the record: `page.json`, and small copies of clips in `clips/`.

All of it is copied out of the stages once, so that the page can be drawn again without them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydantic

from benchmarks.datasets.taxonomy import Task
from benchmarks.report.curves import Curve
from benchmarks.report.funnel import Step
from benchmarks.scoring.record import Strict
from benchmarks.scoring.scores import Group
from core.errors import UserError
from core.files import read_json, write_json

PAGE_NAME, CLIPS_NAME = "page.json", "clips"
# Of all embedded videos: the page stays below 15 MB, as base64 adds a third.
ROOM_BYTES = 8_000_000
_MIME = {".mp4": "video/mp4", ".jpg": "image/jpeg"}

Mistakes = dict[int, dict[int, int]]  # true class -> class that was named -> clips


@dataclass(frozen=True)
class Exhibit:
    """One clip of a source as the page shows it: a strip of its frames, or a video.

    url: a path relative to the page or, once embedded, a data URI; "" where no clip was readable.
    """

    source: str
    url: str
    clip_id: str = ""
    prompt: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Panel:
    """One class or caption with an exhibit of each source."""

    title: str
    exhibits: tuple[Exhibit, ...]


class Shown(Strict):
    """What only the page needs; all of it is optional.

    curves, mistakes: by a cell's path; mistakes count the clips of test. groups: by class id, how
    frequent the class is among the real training clips.
    """

    panels: tuple[Panel, ...] = ()
    scenes: tuple[Panel, ...] = ()
    curves: dict[str, Curve] = {}
    mistakes: dict[str, Mistakes] = {}
    groups: dict[Task, dict[int, Group]] = {}
    funnel: tuple[Step, ...] = ()


def write_shown(shown: Shown, folder: Path) -> None:
    """Write `page.json`; files in `clips/` that it does not name are removed."""
    write_json(folder / PAGE_NAME, shown.model_dump(mode="json"))
    panels = [*shown.panels, *shown.scenes]
    kept = {folder / exhibit.url for panel in panels for exhibit in panel.exhibits if exhibit.url}
    for left in set((folder / CLIPS_NAME).glob("*")) - kept:
        left.unlink()


def read_shown(folder: Path) -> Shown:
    """What `write_shown` wrote; nothing where it did not.

    Raises: UserError: if the file is of another version.
    """
    path = folder / PAGE_NAME
    if not path.is_file():
        return Shown()
    try:
        return Shown.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"{path}: of another version ({place}: {first['msg']}): run it again"
        raise UserError(message) from None


def embedded(panels: Sequence[Panel], folder: Path, room_bytes: float = math.inf) -> list[Panel]:
    """The panels with their files inside, as data URIs; what finds no room stays a link.

    Args: folder: the page's.  Raises: UserError: if a file is missing.
    """
    found = []
    for panel in panels:
        exhibits = []
        for exhibit in panel.exhibits:
            url, size = _embedded(folder, exhibit.url, room_bytes)
            room_bytes -= size
            exhibits.append(replace(exhibit, url=url))
        found.append(Panel(panel.title, tuple(exhibits)))
    return found


def _embedded(folder: Path, url: str, room_bytes: float) -> tuple[str, int]:
    """The file as a data URI, and its size; 0 where it stays a link."""
    if not url:
        return url, 0
    path = folder / url
    if not path.is_file():
        raise UserError(f"{folder}: {url} is missing: copy the whole folder")
    content = path.read_bytes()
    if len(content) > room_bytes:
        return url, 0
    data = base64.b64encode(content).decode()
    return f"data:{_MIME[path.suffix]};base64,{data}", len(content)
