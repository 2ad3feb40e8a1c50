"""Pictures for the report: contact strips of clips, as JPEG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.datasets.taxonomy import Task
from benchmarks.report.shown import CLIPS_NAME, Exhibit, Panel
from core.clip import Clip, Manifest
from core.errors import UnreadableVideo
from core.files import atomic_path
from core.video import Frames, read_span, resize

STRIP_FRAMES = 6
STRIP_HEIGHT = 96  # pixels; a nano clip is drawn larger, a clip at paper scale smaller
JPEG_QUALITY = 80


def class_panels(
    manifests: Mapping[str, Manifest],
    task: Task,
    class_names: Sequence[str],
    class_ids: Sequence[int],
    folder: Path,
) -> list[Panel]:
    """Strips of the first readable clip of each source, for the given classes.

    Args: manifests: source name -> clips, real ones first. An unreadable clip is passed over.
    folder: the page's; the strips lie in `clips/` there.
    """

    def of_class(clips: Manifest, class_id: int) -> Iterable[Clip]:
        return (clip for clip in clips.clips if label_of(clip, task) == class_id)

    return [
        Panel(
            f"{class_id} · {class_names[class_id]}",
            tuple(
                _strip(name, clips, of_class(clips, class_id), folder, f"strip{row:03}-{place:02}")
                for place, (name, clips) in enumerate(manifests.items())
            ),
        )
        for row, class_id in enumerate(class_ids)
    ]


def caption_panels(manifests: Mapping[str, Manifest], count: int, folder: Path) -> list[Panel]:
    """Strips of the clips of one caption, for `count` captions spread over the last source's clips.

    Args: manifests: source name -> clips, real ones first, whose ids the others' clips have;
    folder: as in `class_panels`.
    """
    *_, last = manifests.values()

    def of_caption(clips: Manifest, clip_id: str) -> Iterable[Clip]:
        return (clip for clip in clips.clips if clip.clip_id == clip_id)

    return [
        Panel(
            caption.caption or caption.clip_id,
            tuple(
                _strip(
                    name, clips, of_caption(clips, caption.clip_id), folder,
                    f"strip{row:03}-{place:02}",
                )
                for place, (name, clips) in enumerate(manifests.items())
            ),
        )
        for row, caption in enumerate(spread(last.clips, count))
    ]  # fmt: skip


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Up to `count` of them, evenly from the first on."""
    count = min(count, len(clips))
    return [clips[len(clips) * number // count] for number in range(count)]


def shared_classes(manifests: Mapping[str, Manifest], task: Task, count: int) -> list[int]:
    """Up to `count` classes, the commonest of the first source that every source has clips of."""
    per_source = [[label_of(clip, task) for clip in m.clips] for m in manifests.values()]
    if not per_source:
        return []
    shared = set.intersection(*(set(labels) for labels in per_source)) - {None}
    first = per_source[0]
    known = [label for label in shared if label is not None]
    return sorted(known, key=lambda label: (-first.count(label), label))[:count]


def label_of(clip: Clip, task: Task) -> int | None:
    """The class that a clip was filed under or made for, None if it has none."""
    return clip.labels.get(task)


def _strip(
    source: str, manifest: Manifest, clips: Iterable[Clip], folder: Path, name: str
) -> Exhibit:
    """Of the first of `clips` that can be read."""
    for clip in clips:
        try:
            frames = read_span(
                manifest.path_of(clip),
                start_s=clip.start_s,
                end_s=clip.end_s,
                num_frames=STRIP_FRAMES,
            )
        except UnreadableVideo:
            continue
        url = f"{CLIPS_NAME}/{name}.jpg"
        with atomic_path(folder / url) as temporary:
            temporary.write_bytes(strip_image(frames))
        return Exhibit(source, url, clip.clip_id, clip.caption or "", clip.seed)
    return Exhibit(source, "")


def strip_image(frames: Frames) -> bytes:
    """(T, H, W, 3) uint8 -> one row of frames as a JPEG."""
    height, width = frames.shape[1:3]
    scaled = resize(frames, (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT))
    row = np.concatenate(list(scaled), axis=1)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    ok, encoded = cv2.imencode(".jpg", cv2.cvtColor(row, cv2.COLOR_RGB2BGR), options)
    assert ok
    return encoded.tobytes()
