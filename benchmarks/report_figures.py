"""Pictures of the report: contact strips of clips (JPEG) and learning curves (SVG), as text."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from core.clip import Clip, Manifest, Task
from core.errors import UnreadableVideo
from core.video import Frames, read_span, resize

STRIP_FRAMES = 6
STRIP_HEIGHT = 96  # pixels; a nano clip is drawn larger, a clip at paper scale smaller
JPEG_QUALITY = 80
# Colour-blind safe.  Source: Okabe & Ito 2008, "Color universal design".
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_INK = "#0a0b0c"  # replaced by the page's text colour, so that the figure follows light and dark


@dataclass(frozen=True)
class Strip:
    """Frames of one clip side by side. `image` is a data URI, empty where no clip was readable."""

    source: str
    image: str
    clip_id: str = ""
    prompt: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Panel:
    """One class: a strip of each source."""

    class_id: int
    class_name: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Curve:
    """One training's accuracy on val, percent, after each epoch."""

    label: str
    epochs: tuple[float, ...]
    top1: tuple[float, ...]


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
            class_id=class_id,
            class_name=class_names[class_id],
            strips=tuple(_strip(name, clips, task, class_id) for name, clips in manifests.items()),
        )
        for class_id in class_ids
    ]


def shared_classes(manifests: Mapping[str, Manifest], task: Task, count: int) -> list[int]:
    """Up to `count` classes, the commonest of the first source that every source has clips of."""
    per_source = [[_label(clip, task) for clip in m.clips] for m in manifests.values()]
    if not per_source:
        return []
    shared = set.intersection(*(set(labels) for labels in per_source)) - {None}
    first = per_source[0]
    known = [label for label in shared if label is not None]
    return sorted(known, key=lambda label: (-first.count(label), label))[:count]


def _label(clip: Clip, task: Task) -> int | None:
    return clip.phase_id if task == "phase" else clip.operation_id


def _strip(source: str, manifest: Manifest, task: Task, class_id: int) -> Strip:
    for clip in manifest.clips:
        if _label(clip, task) != class_id:
            continue
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
        return Strip(source, image, clip.clip_id, clip.caption or "", clip.seed)
    return Strip(source, "")


def strip_image(frames: Frames) -> str:
    """(T, H, W, 3) uint8 -> one row of frames as a JPEG data URI."""
    height, width = frames.shape[1:3]
    scaled = resize(frames, (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT))
    row = np.concatenate(list(scaled), axis=1)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    ok, encoded = cv2.imencode(".jpg", cv2.cvtColor(row, cv2.COLOR_RGB2BGR), options)
    assert ok
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def curves_svg(title: str, curves: Sequence[Curve]) -> str:
    """Learning curves as an inline SVG in the page's own text colour; equal input, equal bytes."""
    style = {
        "svg.hashsalt": title,
        "svg.fonttype": "none",
        "font.size": 9,
        "font.family": "sans-serif",
        **dict.fromkeys(_INKED, _INK),
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.6, 2.6), layout="constrained")
        axes = figure.add_subplot()
        for number, curve in enumerate(curves):
            colour = PALETTE[number % len(PALETTE)]
            axes.plot(curve.epochs, curve.top1, marker=".", color=colour, label=curve.label)
        axes.set(title=title, xlabel="epoch", ylabel="val top-1 (%)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
        axes.legend(frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # matplotlib names its groups alike in every figure; an id must be unique on the page.
    return re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
