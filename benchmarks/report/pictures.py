"""Pictures of the report: contact strips of clips, as JPEG in text."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.datasets.taxonomy import Task
from core.clip import Clip, Manifest
from core.errors import UnreadableVideo
from core.video import Frames, read_span, resize

STRIP_FRAMES = 6
STRIP_HEIGHT = 96  # pixels; a nano clip is drawn larger, a clip at paper scale smaller
JPEG_QUALITY = 80


@dataclass(frozen=True)
class Exhibit:
    """One clip of a source as the page shows it: a strip of its frames, or a video.

    url: a data URI, a path relative to the page, or "" where no clip was readable.
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


def class_panels(
    manifests: Mapping[str, Manifest],
    task: Task,
    class_names: Sequence[str],
    class_ids: Sequence[int],
) -> list[Panel]:
    """Strips of the first readable clip of each source, for the given classes.

    Args: manifests: source name -> clips, real ones first. An unreadable clip is passed over.
    """
    return [
        Panel(
            f"{class_id} · {class_names[class_id]}",
            tuple(
                _strip(name, clips, (c for c in clips.clips if label_of(c, task) == class_id))
                for name, clips in manifests.items()
            ),
        )
        for class_id in class_ids
    ]


def caption_panels(manifests: Mapping[str, Manifest], count: int) -> list[Panel]:
    """Strips of the clips of one caption, for `count` captions spread over the last source's clips.

    Args: manifests: source name -> clips, real ones first, whose ids the others' clips have.
    """
    *_, last = manifests.values()
    return [
        Panel(
            caption.caption or caption.clip_id,
            tuple(
                _strip(name, clips, (c for c in clips.clips if c.clip_id == caption.clip_id))
                for name, clips in manifests.items()
            ),
        )
        for caption in spread(last.clips, count)
    ]


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


def _strip(source: str, manifest: Manifest, clips: Iterable[Clip]) -> Exhibit:
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
        image = strip_image(frames)
        return Exhibit(source, image, clip.clip_id, clip.caption or "", clip.seed)
    return Exhibit(source, "")


def strip_image(frames: Frames) -> str:
    """(T, H, W, 3) uint8 -> one row of frames as a JPEG data URI."""
    height, width = frames.shape[1:3]
    scaled = resize(frames, (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT))
    row = np.concatenate(list(scaled), axis=1)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    ok, encoded = cv2.imencode(".jpg", cv2.cvtColor(row, cv2.COLOR_RGB2BGR), options)
    assert ok
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
