"""A folder of captioned clips in the published form, as a clip source."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, ClassVar

import pydantic

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError, did_you_mean
from core.files import path_inside, sha256_of_files, write_text
from core.stage import ClipSource
from generator.curation.decisions import assign_splits

CLIPS_CSV = "clips.csv"
ID_COLUMN = "clip id"
CAPTION_COLUMNS = ("caption", "instruction")
MISSING_NAME = "missing.txt"


class NarratedFolder(ClipSource):
    """`<root>/clips.csv` (columns `clip id,caption` or `clip id,instruction`) and
    `<root>/clips/<clip id>.mp4`, where a clip id is `<source video>_<n>`.

    Listed clips without a file are left out and named in missing.txt. The folder's contents are
    part of the cache key, its place is not: leave `content_sha256` out to have it computed.
    Source: Ophora-160K on disk (csv with the space in `clip id`).
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root")

    root: Path
    source: str = pydantic.Field(min_length=1)
    content_sha256: str = ""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _identify(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("root") and not data.get("content_sha256"):
            root = Path(data["root"])
            read_captions(root)  # a wrong folder is named before its files are hashed
            paths = [root / CLIPS_CSV, *sorted((root / "clips").glob("*.mp4"))]
            data = {**data, "content_sha256": sha256_of_files(root, paths)}
        return data

    def execute(self, folder: Path) -> dict[str, Any]:
        """List the clips whose files are there."""
        captions = read_captions(self.root)
        clips, missing = [], []
        for clip_id, caption in captions.items():
            relative = f"clips/{clip_id}.mp4"
            if not path_inside(self.root, relative).is_file():
                missing.append(clip_id)
                continue
            clips.append(
                Clip(
                    clip_id=clip_id,
                    video_id=clip_id.rpartition("_")[0] or clip_id,
                    path=relative,
                    caption=caption,
                    source=self.source,
                )
            )
        if not clips:
            raise UserError(
                f"root {self.root}: none of the {len(captions)} clips of {CLIPS_CSV} has a file "
                "clips/<clip id>.mp4: check the folder"
            )
        write_text(folder / MISSING_NAME, "".join(f"{clip_id}\n" for clip_id in missing))
        Manifest(root=self.root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips), "missing": len(missing)}

    def cost(self) -> str:
        """Rows of the csv."""
        return f"{len(read_captions(self.root))} listed clips"


class Uncurated(ClipSource):
    """Narrated clips as they were found, each on the side that curation puts its video on: what a
    generator is trained on where curation is what is being asked about."""

    narrated: ClipSource

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.narrated.manifest()
        clips = tuple(assign_splits(manifest.clips))
        Manifest(root=manifest.root, clips=clips).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


def read_captions(root: Path | str) -> dict[str, str]:
    """clip id -> caption, in the file's order (UTF-8 with or without BOM, LF or CRLF).

    Raises: UserError: naming the file, line, field and cure.
    """
    path = Path(root) / CLIPS_CSV
    if not path.is_file():
        raise UserError(f"root {root}: no {CLIPS_CSV} in it: give the folder that holds it")
    captions: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            column = _caption_column(path, list(reader.fieldnames or []))
            for row in reader:
                clip_id = (row[ID_COLUMN] or "").strip()
                if not clip_id or clip_id in captions:
                    fault = f"clip id {clip_id!r} appears twice" if clip_id else "no clip id"
                    raise UserError(f"{path}, line {reader.line_num}: {fault}: give each its own")
                captions[clip_id] = (row[column] or "").strip()
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a UTF-8 csv ({error}): save it as one") from None
    return captions


def _caption_column(path: Path, columns: list[str]) -> str:
    for name in CAPTION_COLUMNS:
        if ID_COLUMN in columns and name in columns:
            return name
    absent = ID_COLUMN if ID_COLUMN not in columns else "caption"
    hint = did_you_mean(absent, columns) if columns else "the file is empty"
    raise UserError(f"{path}: no column {absent!r} (columns: {columns}): rename it, {hint}")
