"""Videos for the page: for a class or caption, a small copy of a clip of each source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.collect.pictures import label_of, spread
from benchmarks.datasets.taxonomy import Task
from benchmarks.report.shown import CLIPS_NAME, Exhibit, Panel
from core.clip import Clip, Manifest
from core.errors import UnreadableVideo
from core.video import probe, read_frames, write_video

MOST_FRAMES = 49  # of a clip; a real one can last minutes
HEIGHT_PX = 144  # larger clips are made smaller
CRF = 18  # at 96x64 an instrument is a few pixels wide


def class_scenes(
    manifests: Mapping[str, Manifest], task: Task, class_names: Sequence[str], folder: Path
) -> list[Panel]:
    """A scene for each class that any source has clips of, the first source's commonest first.

    Args: manifests: source name -> clips, real ones first; folder: the page's; the videos lie in
    `clips/` there.
    """
    labels = {name: [label_of(clip, task) for clip in m.clips] for name, m in manifests.items()}
    first = next(iter(labels.values()), [])
    known = {label for each in labels.values() for label in each if label is not None}
    order = sorted(known, key=lambda label: (-first.count(label), label))

    def of_class(label: int) -> Callable[[Clip], bool]:
        return lambda clip: label_of(clip, task) == label

    titles = [(f"{label} · {class_names[label]}", of_class(label)) for label in order]
    return _scenes(titles, manifests, folder)


def caption_scenes(manifests: Mapping[str, Manifest], count: int, folder: Path) -> list[Panel]:
    """A scene for each of `count` captions of the last source; all clips of one have one id."""
    *_, last = manifests.values()

    def of_caption(clip_id: str) -> Callable[[Clip], bool]:
        return lambda clip: clip.clip_id == clip_id

    titles = [
        (clip.caption or clip.clip_id, of_caption(clip.clip_id))
        for clip in spread(last.clips, count)
    ]
    return _scenes(titles, manifests, folder)


def _scenes(
    titles: Iterable[tuple[str, Callable[[Clip], bool]]],
    manifests: Mapping[str, Manifest],
    folder: Path,
) -> list[Panel]:
    return [
        Panel(
            title,
            tuple(
                _player(name, manifest, belongs, folder, f"scene{row:03}-{place:02}")
                for place, (name, manifest) in enumerate(manifests.items())
            ),
        )
        for row, (title, belongs) in enumerate(titles)
    ]


def _player(
    source: str, manifest: Manifest, belongs: Callable[[Clip], bool], folder: Path, name: str
) -> Exhibit:
    """Of the first readable clip that belongs."""
    for clip in filter(belongs, manifest.clips):
        path = manifest.path_of(clip)
        url = f"{CLIPS_NAME}/{name}.mp4"
        try:
            write_small(folder / url, path, clip.start_s, clip.end_s)
        except UnreadableVideo:
            continue
        return Exhibit(source, url, clip.clip_id, clip.caption or "", clip.seed)
    return Exhibit(source, "")


def write_small(
    target: Path, path: Path, start_s: float | None = None, end_s: float | None = None
) -> None:
    """A span of a video as an mp4 that plays as long, of at most MOST_FRAMES frames.

    Raises: UnreadableVideo; OutsideVideo.
    """
    info = probe(path)
    first, last = info.timeline.span(start_s, end_s)
    indices = range(first, last, -(-(last - first) // MOST_FRAMES))
    height = min(HEIGHT_PX, info.height) // 2 * 2
    width = round(info.width * height / info.height) // 2 * 2
    frames = read_frames(path, indices, (width, height))
    write_video(target, frames, len(frames) / info.timeline.seconds(first, last), crf=CRF)
