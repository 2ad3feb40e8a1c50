"""Building a kit: clips chosen, made alike, shuffled and blinded, and a page to score them on.

clips of each source -> the same number for each class -> same frames, size and speed -> page + key
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pydantic
import yaml

from benchmarks.collect.pictures import label_of, shared_classes
from benchmarks.datasets.taxonomy import Task
from benchmarks.report.drawing import page
from core.clip import Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.files import write_json, write_text
from core.progress import track
from core.runtime import derive_seed
from core.video import FPS, read_span, write_video
from generator.base import ClipShape

CRITERIA_PATH: Final = Path(__file__).with_name("criteria.yaml")
TEMPLATE = Path(__file__).with_name("templates") / "review.html.j2"
PAGE_NAME, KEY_NAME, CLIPS_NAME = "review.html", "key.json", "clips"


class Criterion(pydantic.BaseModel, frozen=True, extra="forbid"):
    id: str = pydantic.Field(pattern=r"^\w+$")
    name: str = pydantic.Field(min_length=1)
    question: str = pydantic.Field(min_length=1)


class Criteria(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What is scored; levels: what 0, 1, ... mean."""

    levels: Annotated[tuple[str, ...], pydantic.Field(min_length=2, max_length=10)]
    criteria: Annotated[tuple[Criterion, ...], pydantic.Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _ids_differ(self) -> Criteria:
        ids = [criterion.id for criterion in self.criteria]
        if len(set(ids)) < len(ids):
            raise ValueError("two criteria have one id")
        return self

    @classmethod
    def load(cls, path: Path) -> Criteria:
        """Raises: UserError: if the file is missing or is no list of criteria."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"{path}: not a valid list of criteria: {error}") from None


class Item(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A clip of the kit: what the reviewer is told (id, asked) and what is kept from them."""

    id: str
    asked: str
    source: str
    class_id: int
    clip_id: str


class Key(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Which clip is whose; whoever built the kit keeps it. kit: names the page it belongs to."""

    kit: str
    criteria: Criteria
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Choice:
    """Which clips go into a kit: of the `classes` commonest classes, at most `clips` of each class
    and source, so that rivals and real clips stand beside those under study, not in their place."""

    task: Task
    classes: int = 12
    clips: int = 50
    seed: int = 0


def build_kit(
    target: Path,
    manifests: Mapping[str, Manifest],
    class_names: Sequence[str],
    choice: Choice,
    shape: ClipShape,
    criteria: Criteria,
) -> Key:
    """Write the page, its clips and the key to `target`.

    Args: manifests: source name -> labelled clips, the real ones among them; shape: frames and size
    that every clip is brought to, so that neither tells where it is from.
    A source with fewer clips of a class gives those that it has.
    Raises: UserError: if the sources share no class, or `target` holds a kit already.
    """
    if (target / KEY_NAME).exists():
        raise UserError(f"{target}: holds a kit already; give another folder")
    items: list[Item] = []
    labels = shared_classes(manifests, choice.task, choice.classes)
    if not labels:
        raise UserError(
            f"{len(manifests)} sources share no class: nothing to review; name sources with clips "
            "of the same classes"
        )
    wanted = [(label, name, manifest) for label in labels for name, manifest in manifests.items()]
    for label, name, manifest in track(
        wanted, total=len(wanted), description="review kit", unit="classes of a source"
    ):
        for clip in _drawn(manifest, label, name, choice):
            if sum(i.source == name and i.class_id == label for i in items) == choice.clips:
                break
            item = Item(id=_blind(choice.seed, name, clip.clip_id), asked=class_names[label],
                        source=name, class_id=label, clip_id=clip.clip_id)  # fmt: skip
            if _write_clip(target / CLIPS_NAME / f"{item.id}.mp4", manifest, clip, shape):
                items.append(item)
    items.sort(key=lambda item: item.id)  # a hash: as good as shuffled, and the same every time
    content = json.dumps([item.model_dump() for item in items]) + criteria.model_dump_json()
    kit = hashlib.sha256(content.encode()).hexdigest()[:12]
    key = Key(kit=kit, criteria=criteria, items=tuple(items))
    write_text(target / PAGE_NAME, render(key))
    write_json(target / KEY_NAME, key.model_dump(mode="json"))
    return key


def _drawn(manifest: Manifest, label: int, source: str, choice: Choice) -> list[Clip]:
    """A source's clips of a class in random order."""
    clips = [clip for clip in manifest.clips if label_of(clip, choice.task) == label]
    rng = np.random.default_rng(derive_seed("review", choice.seed, source, label))
    return [clips[index] for index in rng.permutation(len(clips))]


def _blind(seed: int, source: str, clip_id: str) -> str:
    return hashlib.sha256(f"{seed}\x1f{source}\x1f{clip_id}".encode()).hexdigest()[:10]


def _write_clip(path: Path, manifest: Manifest, clip: Clip, shape: ClipShape) -> bool:
    """Whether the clip could be read."""
    try:
        frames = read_span(
            manifest.path_of(clip),
            start_s=clip.start_s,
            end_s=clip.end_s,
            num_frames=shape.num_frames,
            size=(shape.width, shape.height),
        )
    except UnreadableVideo:
        return False
    write_video(path, frames, FPS)
    return True


def render(key: Key) -> str:
    """The page: what the key keeps secret is not in it."""
    shown = {
        "kit": key.kit,
        "clips": CLIPS_NAME,
        "levels": key.criteria.levels,
        "criteria": [criterion.model_dump() for criterion in key.criteria.criteria],
        "items": [{"id": item.id, "asked": item.asked} for item in key.items],
    }
    return page(TEMPLATE, kit=shown)
