"""Folders of videos as people keep them: every container, any case, links, and litter between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError

# A constant, so that no other version of a library changes which files belong to a set.
# Source: the endings of the formats that PyAV 18.1 writes pictures in, without stills, playlists
# and bare frames (tests/core/test_folders.py compares); the last line: names that cameras and
# downloads give to the same formats.
_ENDINGS = """
.264 .265 .266 .3g2 .3gp .a64 .amv .apv .asf .avi .avs .avs2 .avs3 .cavs .cpk .dnxhd .dnxhr .drc
.dv .dvd .evc .f4v .flm .flv .gxf .h261 .h263 .h264 .h265 .h266 .hevc .isma .ismv .ivf .m1v .m2t
.m2ts .m2v .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .obu .ogg .ogv .psp .rcv
.rm .roq .swf .ts .vc1 .vc2 .vob .vvc .webm .wmv .wtv .y4m
.3gpp .dav .divx .m2p .mj2 .mk3d .mod .mp4v .mpe .ogm .qt .rmvb .tod .xvid
"""
VIDEO_ENDINGS = frozenset(_ENDINGS.split())
# What storage systems and file managers put beside files, compared without regard to case; names
# with a leading dot are passed over as well.
LITTER = frozenset(
    (
        "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin",
        "__macosx", "lost+found", "system volume information", "thumbs.db", "desktop.ini",
    )
)  # fmt: skip


def is_video(path: Path) -> bool:
    """Whether the name has a video's ending, in any case."""
    return path.suffix.lower() in VIDEO_ENDINGS


def visible(folder: Path) -> list[Path]:
    """What is in a folder, by name, without hidden things and litter."""
    names = sorted(os.listdir(folder))
    return [folder / n for n in names if not n.startswith(".") and n.lower() not in LITTER]


def files_below(folder: Path) -> Iterator[Path]:
    """Every visible file below a folder, however deep, in a stable order.

    Links are followed, a folder that holds itself once; a link to nothing counts as a file, so that
    it can be missed.
    Raises: UserError: if a name is not UTF-8, which no manifest could hold.
    """
    yield from _files_below(folder, ())


def _files_below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in above:
        return
    for path in visible(folder):
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{folder}: file name {path.name!r} is not UTF-8: rename it") from None
        if path.is_dir():
            yield from _files_below(path, (*above, here))
        else:
            yield path


class Videos:
    """Finds videos by their names without ending; a folder is listed once, when first asked."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def named(self, folder: Path, stem: str) -> Path | None:
        """The video `<folder>/<stem>.<any video ending>`, None if there is none.

        An mp4 is preferred to other files of that name.
        Raises: UserError: if several could be meant.
        """
        found = self._list(folder).get(stem, [])
        mp4 = [path for path in found if path.suffix == ".mp4"]
        if len(mp4 or found) > 1:
            names = ", ".join(path.name for path in found)
            raise UserError(f"{folder}: several videos {stem!r} ({names}): keep one")
        return next(iter(mp4 or found), None)

    def count(self, folder: Path) -> int:
        """How many names of videos a folder holds."""
        return len(self._list(folder))

    def _list(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            by_stem = self._listed[folder] = {}
            for path in visible(folder) if folder.is_dir() else ():
                if is_video(path) and path.is_file():
                    by_stem.setdefault(path.stem, []).append(path)
        return self._listed[folder]
