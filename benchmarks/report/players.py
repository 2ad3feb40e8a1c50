"""Videos on the page: for a class or caption, a clip of each source side by side.

clip -> small mp4 -> in the page while there is room, else a link to the file on disk
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from benchmarks.report.pictures import Exhibit, Panel, label_of, spread
from core.clip import Clip, Manifest, Task
from core.errors import UnreadableVideo
from core.video import probe, read_frames, write_video

# Of all embedded videos: the page stays below 15 MB, as base64 adds a third.
ROOM_BYTES = 8_000_000
MOST_FRAMES = 49  # of a clip; a real one can last minutes
HEIGHT_PX = 144  # larger clips are made smaller
CRF = 23


def class_scenes(
    manifests: Mapping[str, Manifest],
    task: Task,
    class_names: Sequence[str],
    page_folder: Path,
    room_bytes: int = ROOM_BYTES,
) -> list[Panel]:
    """A scene for each class that any source has clips of, the first source's commonest first.

    Args: manifests: source name -> clips, real ones first; room_bytes: of embedded videos; what
    comes after is linked, from `page_folder`.
    """
    labels = {name: [label_of(clip, task) for clip in m.clips] for name, m in manifests.items()}
    first = next(iter(labels.values()), [])
    known = {label for each in labels.values() for label in each if label is not None}
    order = sorted(known, key=lambda label: (-first.count(label), label))

    def of_class(label: int) -> Callable[[Clip], bool]:
        return lambda clip: label_of(clip, task) == label

    titles = [(f"{label} · {class_names[label]}", of_class(label)) for label in order]
    return _scenes(titles, manifests, page_folder, room_bytes)


def caption_scenes(
    manifests: Mapping[str, Manifest], count: int, page_folder: Path, room_bytes: int = ROOM_BYTES
) -> list[Panel]:
    """A scene for each of `count` captions of the last source; all clips of one have one id."""
    *_, last = manifests.values()

    def of_caption(clip_id: str) -> Callable[[Clip], bool]:
        return lambda clip: clip.clip_id == clip_id

    titles = [
        (clip.caption or clip.clip_id, of_caption(clip.clip_id))
        for clip in spread(last.clips, count)
    ]
    return _scenes(titles, manifests, page_folder, room_bytes)


def _scenes(
    titles: Iterable[tuple[str, Callable[[Clip], bool]]],
    manifests: Mapping[str, Manifest],
    page_folder: Path,
    room_bytes: int,
) -> list[Panel]:
    scenes = []
    for title, belongs in titles:
        players = []
        for name, manifest in manifests.items():
            player, size = _player(name, manifest, belongs, page_folder, room_bytes)
            room_bytes -= size
            players.append(player)
        scenes.append(Panel(title, tuple(players)))
    return scenes


def _player(
    source: str,
    manifest: Manifest,
    belongs: Callable[[Clip], bool],
    page_folder: Path,
    room_bytes: int,
) -> tuple[Exhibit, int]:
    """A player of the first readable clip that belongs, and how many bytes it takes."""
    for clip in filter(belongs, manifest.clips):
        path = manifest.path_of(clip)
        try:
            video = small_video(path, clip.start_s, clip.end_s)
        except UnreadableVideo:
            continue
        facts = (clip.clip_id, clip.caption or "", clip.seed)
        if len(video) > room_bytes:
            return Exhibit(source, _link(path, clip, page_folder), *facts), 0
        url = "data:video/mp4;base64," + base64.b64encode(video).decode()
        return Exhibit(source, url, *facts), len(video)
    return Exhibit(source, ""), 0


def small_video(path: Path, start_s: float | None, end_s: float | None) -> bytes:
    """A span of a video as an mp4 that plays as long, of at most MOST_FRAMES frames.

    Raises: UnreadableVideo; OutsideVideo.
    """
    info = probe(path)
    first, last = info.timeline.span(start_s, end_s)
    indices = range(first, last, -(-(last - first) // MOST_FRAMES))
    height = min(HEIGHT_PX, info.height) // 2 * 2
    width = round(info.width * height / info.height) // 2 * 2
    frames = read_frames(path, indices, (width, height))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.mp4"
        fps = len(frames) / info.timeline.seconds(first, last)
        write_video(target, frames, fps, crf=CRF)
        return target.read_bytes()


def _link(path: Path, clip: Clip, page_folder: Path) -> str:
    place = quote(os.path.relpath(path.resolve(), page_folder.resolve()).replace(os.sep, "/"))
    if clip.start_s is None:
        return place
    end = "" if clip.end_s is None else f",{clip.end_s:g}"
    return f"{place}#t={clip.start_s:g}{end}"
