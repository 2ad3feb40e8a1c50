"""A folder of captioned clips in the published form, as a stage of clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import exca
import pydantic

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError, did_you_mean
from core.files import path_inside, remembered_sha256_of_files, write_text
from core.folders import Videos
from core.left_out import check_left_out, note_left_out
from core.runtime import Runtime
from core.stage import ClipStage
from core.table import read_table
from generator.curation.decisions import assign_splits

CLIPS_CSV = "clips.csv"
ID_COLUMN = "clip id"
CAPTION_COLUMNS = ("caption", "instruction")
MISSING_NAME = "missing.txt"


@dataclass(frozen=True)
class Narrated:
    """What a folder of narrated clips holds: the one list that is hashed and read.

    captions: by clip id; paths: absolute, of the clips that have a file; missing: ids of the rest.
    """

    root: Path
    captions: dict[str, str]
    paths: dict[str, Path]
    missing: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """The csv and the videos of its rows."""
        return [self.root / CLIPS_CSV, *self.paths.values()]

    @property
    def loss(self) -> dict[str, Any]:
        """The arguments of `note_left_out`."""
        return {
            "causes": {"no file": self.missing},
            "total": len(self.captions),
            "what": f"clips of {self.root / CLIPS_CSV}",
            "cure": "finish the download, or delete their rows",
        }


def list_narrated(root: Path) -> Narrated:
    """Match the rows of a folder's csv with its video files.

    Raises: UserError: see `read_captions`; also if no clip has a file, if more than one and more
    than 1% have none, or if an id leads out of the folder.
    """
    root, captions, videos = root.absolute(), read_captions(root), Videos()
    paths = {}
    for clip_id in captions:
        place = path_inside(root, f"clips/{clip_id}")
        path = videos.named(place.parent, place.name)
        if path is not None:
            paths[clip_id] = path
    if not paths:
        raise UserError(
            f"root {root}: none of the {len(captions)} clips of {CLIPS_CSV} has a file "
            "clips/<clip id>.mp4: check the folder"
        )
    missing = tuple(clip_id for clip_id in captions if clip_id not in paths)
    listing = Narrated(root, captions, paths, missing)
    check_left_out(**listing.loss)
    return listing


class NarratedFolder(ClipStage):
    """`<root>/clips.csv` (columns `clip id,caption` or `clip id,instruction`) and
    `<root>/clips/<clip id>.<ending>`, where a clip id is `<source video>_<n>`, which may have
    folders, and the ending any of a video.

    Listed clips without a file are left out and named in missing.txt; more than one and more than
    1% of them is an error. content_sha256: what the listed files hold, which is part of the cache
    key as their place is not; `NarratedFolder.at` makes both.
    Source: Ophora-160K on disk (csv with the space in `clip id`).
    """

    version: ClassVar[str] = "2"  # what is left out is in the result
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root")

    root: Path
    source: str = pydantic.Field(min_length=1)
    content_sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")

    @classmethod
    def at(
        cls,
        root: Path,
        *,
        source: str,
        hash_memory: Path,
        infra: exca.TaskInfra | dict[str, Any],
        runtime: Runtime,
        read: bool = True,
    ) -> Self:
        """The source for a folder that exists; only new and changed files are read.

        Args: hash_memory: JSON file of known hashes; read: as in `remembered_sha256_of_files`.
        Raises: UserError: see `list_narrated`.
        """
        listing, description = list_narrated(root), f"hashing {source}"
        return cls(
            root=listing.root,
            source=source,
            content_sha256=remembered_sha256_of_files(
                listing.root, listing.files, hash_memory, description, read=read
            ),
            infra=infra,
            runtime=runtime,
        )

    def execute(self, folder: Path) -> dict[str, Any]:
        """List the clips whose files are there."""
        listing = list_narrated(self.root)
        clips = tuple(
            Clip(
                clip_id=clip_id,
                video_id=clip_id.rpartition("_")[0] or clip_id,
                path=path.relative_to(listing.root).as_posix(),
                caption=listing.captions[clip_id],
                source=self.source,
            )
            for clip_id, path in listing.paths.items()
        )
        write_text(folder / MISSING_NAME, "".join(f"{clip_id}\n" for clip_id in listing.missing))
        Manifest(root=listing.root, clips=clips).save(folder / MANIFEST_NAME)
        return {
            "clips": len(clips),
            "missing": len(listing.missing),
            "left_out": note_left_out(**listing.loss),
        }

    def cost(self) -> str:
        """Rows of the csv."""
        return f"{len(read_captions(self.root))} listed clips"


class Uncurated(ClipStage):
    """Narrated clips as they were found, each on the side that curation puts its video on: what a
    generator is trained on where curation is what is being asked about."""

    narrated: ClipStage

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.narrated.manifest()
        clips = tuple(assign_splits(manifest.clips))
        Manifest(root=manifest.root, clips=clips).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


def read_captions(root: Path | str) -> dict[str, str]:
    """clip id -> caption, in the file's order.

    Raises: UserError: naming the file, line, field and cure.
    """
    path = Path(root) / CLIPS_CSV
    if not path.is_file():
        raise UserError(f"root {root}: no {CLIPS_CSV} in it: give the folder that holds it")
    captions: dict[str, str] = {}
    for line, cells in read_table(path, (ID_COLUMN,)):
        column = next((name for name in CAPTION_COLUMNS if name in cells), None)
        if column is None:
            hint = did_you_mean("caption", cells)
            raise UserError(f"{path}, line 1: column 'caption' is missing: {hint}")
        clip_id = cells[ID_COLUMN]
        if not clip_id or clip_id in captions:
            fault = f"clip id {clip_id!r} appears twice" if clip_id else "no clip id"
            raise UserError(f"{path}, line {line}: {fault}: give each its own")
        captions[clip_id] = cells[column]
    return captions
