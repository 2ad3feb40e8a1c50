"""A folder of captioned clips: `clips/<video>_<n>.mp4` and `clips.csv` (`clip id,caption`).

The layout is that of the released Ophora-160K; its column name has the space.
A killed writer goes on where it stopped: clips are atomic files, `clips.csv` is written last.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from core.errors import UserError
from core.files import read_json, write_json, write_text
from core.progress import track
from core.runtime import derive_seed
from core.video import FPS, Frames, write_video
from core.workers import map_unordered

CLIPS_TABLE: Final = "clips.csv"
CLIP_COLUMNS: Final = ("clip id", "caption")
_SPEC: Final = "spec.json"

CLIPS_PER_VIDEO: Final = 4

Row = dict[str, str]


@dataclass(frozen=True)
class Drawer:
    """A simulator whose clips and captions follow from a clip's seed alone.

    name: e.g. "natural"; render: (seed, num_frames, width, height) -> (T, H, W, 3) uint8 RGB, a
    motion lasting the whole clip, whatever its length; caption: of the clip with that seed. Both
    are functions of a module, so that worker processes find them.
    """

    name: str
    version: str
    render: Callable[[int, int, int, int], Frames]
    caption: Callable[[int], str]


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the named columns of `rows` as UTF-8 CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_table(path: Path) -> list[Row]:
    """Rows of a UTF-8 CSV file, a byte-order mark or none."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _claim(root: Path, spec: Mapping[str, Any]) -> None:
    """Record what the folder holds, so that resuming never mixes clips of two settings."""
    path = root / _SPEC
    if path.is_file():
        found = read_json(path)
        for name in sorted(spec.keys() | found.keys()):
            if spec.get(name) != found.get(name):
                raise UserError(
                    f"{root} holds a corpus with {name} {found.get(name)!r}, asked for "
                    f"{spec.get(name)!r}: remove that folder or choose another"
                )
    else:
        write_json(path, spec)


def write_corpus(
    root: Path,
    make_clip: Callable[[int], Row],
    *,
    spec: Mapping[str, Any],
    num_clips: int,
    workers: int,
    description: str,
    truth_columns: Sequence[str] = (),
) -> None:
    """Make clips 0 .. num_clips-1 and write their tables; does nothing if `clips.csv` is there.

    Args:
        make_clip: writes `clips/<clip id>.mp4` unless it exists, and returns the clip's row; must
            be picklable and depend on the index alone.
        spec: JSON-able settings that decide the contents.
        truth_columns: columns of `ground_truth.csv`, which is written if there are any.
    Raises: UserError: if the folder holds a corpus of another spec.
    """
    root.mkdir(parents=True, exist_ok=True)
    _claim(root, spec)
    if (root / CLIPS_TABLE).is_file():
        return
    done = map_unordered(make_clip, range(num_clips), workers=workers)
    made = dict(track(done, total=num_clips, description=description, unit="clips"))
    rows = [made[index] for index in range(num_clips)]
    if truth_columns:
        write_table(root / "ground_truth.csv", truth_columns, rows)
    write_table(root / CLIPS_TABLE, CLIP_COLUMNS, rows)


def _draw_clip(
    index: int, *, drawer: Drawer, root: Path, seed: int, num_frames: int, width: int, height: int
) -> Row:
    clip_id = f"{drawer.name}_{index // CLIPS_PER_VIDEO:05d}_{index % CLIPS_PER_VIDEO}"
    path = root / "clips" / f"{clip_id}.mp4"
    clip_seed = derive_seed(f"{drawer.name}_sim", seed, index)
    if not path.is_file():
        write_video(path, drawer.render(clip_seed, num_frames, width, height))
    return {"clip id": clip_id, "caption": drawer.caption(clip_seed)}


def draw_corpus(
    drawer: Drawer,
    root: Path,
    *,
    seed: int,
    num_clips: int,
    width: int = 96,
    height: int = 64,
    num_frames: int = 9,
    workers: int = 1,
) -> None:
    """Write a drawer's clips at 8 fps and their captions under `root`, resuming what is there.

    The same files come out whatever `workers` is.
    Raises: UserError: if `root` holds a corpus written with other settings.
    """
    clip = {"seed": seed, "num_frames": num_frames, "width": width, "height": height}
    corpus = f"{drawer.name.capitalize()}-sim"
    write_corpus(
        root,
        partial(_draw_clip, drawer=drawer, root=root, **clip),
        spec={
            "corpus": corpus,
            "version": drawer.version,
            "num_clips": num_clips,
            "fps": FPS,
            **clip,
        },
        num_clips=num_clips,
        workers=workers,
        description=corpus,
    )
