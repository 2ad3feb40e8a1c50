"""A clip (a labelled or captioned span of a video file) and the manifest that lists clips."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from core.errors import UserError
from core.files import path_inside, write_text

Split = Literal["train", "val", "test"]
MANIFEST_NAME = "manifest.jsonl"

ClassId = Annotated[int, pydantic.Field(ge=0)]
# As manifests had labels before they were a dictionary: a field `<task>_id` for each.
_LABEL_FIELD = re.compile(r'"(?!clip_id|video_id)(\w+)_id": ?(\d+), ?')


class Clip(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One span of one video file.

    `path` is relative to the manifest's root. `start_s` and `end_s` are seconds; None means the
    file's own start or end. `labels` holds the class id of each task that the clip is labelled
    for. `source` says where the clip comes from (a data set, a generator, a user's folder); `seed`
    is the sampling seed of a synthetic clip.
    """

    clip_id: str = pydantic.Field(min_length=1)
    video_id: str = pydantic.Field(min_length=1)
    path: str = pydantic.Field(min_length=1)
    start_s: float | None = pydantic.Field(default=None, ge=0, allow_inf_nan=False)
    end_s: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    labels: dict[str, ClassId] = {}
    caption: str | None = None
    source: str
    split: Split | None = None
    seed: int | None = None

    @pydantic.model_validator(mode="after")
    def _span_is_positive(self) -> Clip:
        if self.end_s is not None and self.end_s <= (self.start_s or 0.0):
            raise ValueError(f"end_s {self.end_s} is not after start_s {self.start_s or 0.0}")
        if "\0" in self.path:
            raise ValueError(f"path {self.path!r} is none: no path holds a zero")
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise ValueError(f"path {self.path!r} must be relative and stay inside the root")
        return self

    def label(self, task: str) -> int:
        """The class id for `task`.  Raises: UserError: if the clip carries none."""
        if task not in self.labels:
            raise UserError(f"clip {self.clip_id!r} has no {task} label")
        return self.labels[task]

    def labelled(self, task: str, label: int) -> Clip:
        """The same clip with another class id for `task`."""
        return self.model_copy(update={"labels": {**self.labels, task: label}})


class Manifest(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Clips and the folder that their paths are relative to. Clip ids are unique."""

    root: Path
    clips: tuple[Clip, ...]

    @pydantic.model_validator(mode="after")
    def _ids_are_unique(self) -> Manifest:
        seen: set[str] = set()
        for clip in self.clips:
            if clip.clip_id in seen:
                raise ValueError(f"clip_id {clip.clip_id!r} appears twice")
            seen.add(clip.clip_id)
        return self

    def __len__(self) -> int:
        return len(self.clips)

    def path_of(self, clip: Clip) -> Path:
        """Absolute path of a clip's file.  Raises: UserError: if it lies outside the root."""
        return path_inside(self.root, clip.path)

    def of_split(self, split: Split | None) -> Manifest:
        """The clips of one split, in order; None: all of them."""
        if split is None:
            return self
        return self.keep(clip for clip in self.clips if clip.split == split)

    def keep(self, clips: Iterable[Clip]) -> Manifest:
        """A manifest with the same root and the given clips."""
        return Manifest(root=self.root, clips=tuple(clips))

    def save(self, path: Path | str) -> None:
        """Write one JSON object a line; unset fields are left out.

        The first line holds the root, relative to the manifest's own folder where it lies below
        it (so that a results folder can be moved), absolute otherwise.
        """
        folder = Path(path).resolve().parent
        root = self.root.resolve()
        shown = root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root)
        lines = [json.dumps({"root": shown})]
        lines += [clip.model_dump_json(exclude_defaults=True) for clip in self.clips]
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Manifest:
        """Read and validate a manifest, one with a field for each label (`<task>_id`) as well.

        Raises: UserError: naming the file, line and field.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"manifest {path}: no such file")
        try:
            # Not `splitlines`: a caption may hold U+2028, which that takes for the end of a line.
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            root = path.resolve().parent / json.loads(lines[0])["root"]
            root.resolve()  # refuses what no path can hold
        except UnicodeDecodeError:
            raise UserError(f"manifest {path}: not UTF-8 text") from None
        except (LookupError, TypeError, ValueError, RecursionError):
            raise UserError(f'manifest {path}: line 1 must be {{"root": FOLDER}}') from None
        try:
            return cls(root=root, clips=tuple(_parse_lines(path, lines)))
        except pydantic.ValidationError as error:
            raise UserError(f"manifest {path}: {error.errors()[0]['msg']}") from None


def _parse_lines(path: Path, lines: list[str]) -> Iterator[Clip]:
    for number, line in enumerate(lines[1:], start=2):
        try:
            yield Clip.model_validate_json(_with_labels(line))
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "line"
            raise UserError(f"manifest {path}, line {number}, {field}: {first['msg']}") from None


def _with_labels(line: str) -> str:
    fields = _LABEL_FIELD.findall(line)
    if not fields:
        return line
    labels = {task: int(label) for task, label in fields}
    return f'{{"labels": {json.dumps(labels)}, ' + _LABEL_FIELD.sub("", line)[1:]
