"""Labels compared with the videos that they are about: does each lie inside its video?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.clip import Clip
from core.errors import UnreadableVideo, UserError
from core.progress import track
from core.timeline import OVERHANG_S, excess_s, span_text
from core.video import end_of
from core.workers import map_unordered

ROUNDING_S = 0.01  # annotation files give seconds with two decimals
VIDEOS_A_WORKER = 100  # starting a worker takes as long as looking at about so many


def check_labels(
    annotation: Path, clip_of_line: Mapping[int, Clip], root: Path, workers: int
) -> list[str]:
    """Warnings about labels that end up to a second after their video does, and are cut.

    Args: clip_of_line: clips by line of the annotation file, paths relative to `root`. Only the end
    of each video is read; one that cannot be is left to the stages that decode it.
    Raises: UserError: naming line, label and video, if a label starts after the video has ended, or
    ends more than a second after it.
    """
    timed = {line: clip for line, clip in clip_of_line.items() if clip.end_s is not None}
    ends = _ends(root, sorted({clip.path for clip in timed.values()}), workers)
    outside, cut = [], {}
    for line, clip in timed.items():
        end_s = ends[clip.path]
        over = 0.0 if end_s is None else excess_s(end_s, clip.start_s, clip.end_s)
        if over is None:
            outside.append(line)
        elif over > ROUNDING_S:
            cut[line] = over
    if outside:
        clip = timed[outside[0]]
        more = f" ({len(outside)} of {len(timed)} labels are like this)" if outside[1:] else ""
        raise UserError(
            f"{annotation}, line {outside[0]}: {span_text(clip.start_s, clip.end_s)} is outside "
            f"{clip.path}, which ends at {ends[clip.path]:.2f} s{more}: correct the rows, or use "
            "the videos that they were made on"
        )
    if not cut:
        return []
    line, over = max(cut.items(), key=lambda item: item[1])
    return [
        f"{len(cut)} of {len(timed)} labels end up to {OVERHANG_S:g} s after their video does and "
        f"are cut (most: {over:.2f} s, line {line}, {timed[line].path})"
    ]


def _ends(root: Path, paths: list[str], workers: int) -> dict[str, float | None]:
    files = [root / path for path in paths]
    found = map_unordered(_end, files, workers=min(workers, 1 + len(paths) // VIDEOS_A_WORKER))
    shown = track(found, total=len(paths), description="checking labels", unit="videos")
    ends = dict(shown)
    return {path: ends[file] for path, file in zip(paths, files, strict=True)}


def _end(path: Path) -> float | None:
    try:
        return end_of(path)
    except UnreadableVideo:
        return None
