"""Synthesis: prompts and seeds -> clips on disk, one generator at a time.

A clip is decided by its generator, prompt and seed; seeds follow from (class, index) or from the
captioned clip's id, so no two clips repeat and any clip can be made again alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pydantic

from augment.prompts import PROMPTS_PATH, PromptBook, PromptPolicy, hash_of_prompts
from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.errors import UserError
from core.left_out import counted
from core.progress import Progress
from core.runtime import derive_seed, seed_everything
from core.stage import ClipStage
from core.video import FPS, Frames, write_video
from core.workers import free_gpus, map_unordered
from generator.base import ClipShape, Generator, Sampler
from generator.sampling import Sampling


@dataclass(frozen=True)
class Request:
    """One clip to make."""

    clip_id: str
    prompt: str
    seed: int
    labels: Mapping[str, int] = field(default_factory=dict)


class SynthesisSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How many clips a class gets and which classes get any. Paper: 100 for each of 52 phases and
    106 operations."""

    clips_per_class: int = pydantic.Field(default=100, ge=1)
    """Prompts of a class are taken in turn, each clip with a seed of its own."""
    policy: PromptPolicy = "paper"
    """Which classes get clips (see `PromptPolicy`)."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Another seed makes other clips of the same prompts."""


def class_requests(
    book: PromptBook,
    task: str,
    operations_of_class: Sequence[Sequence[int]],
    settings: SynthesisSettings,
    class_names: Sequence[str] = (),
) -> list[Request]:
    """The clips of all classes: class by class, prompts in turn, a seed of its own for each clip.

    Args: operations_of_class, class_names: as in `ClassSynthesis`.
    """
    asked = _prompts_by_class(book, task, operations_of_class, settings)
    if class_names:
        asked = {class_id: (class_names[class_id],) for class_id in asked}
    return [
        Request(
            clip_id=f"{task}{class_id:03d}_{index:04d}",
            prompt=prompts[index % len(prompts)],
            seed=derive_seed(settings.seed, task, class_id, index),
            labels={task: class_id},
        )
        for class_id, prompts in asked.items()
        for index in range(settings.clips_per_class)
    ]


def _prompts_by_class(
    book: PromptBook,
    task: str,
    operations_of_class: Sequence[Sequence[int]],
    settings: SynthesisSettings,
) -> dict[int, tuple[str, ...]]:
    """Those of the classes that get clips."""
    prompts = {
        class_id: book.prompts_for(task, class_id, operations, settings.policy)
        for class_id, operations in enumerate(operations_of_class)
    }
    return {class_id: found for class_id, found in prompts.items() if found}


class ClassSynthesis(ClipStage):
    """Class-conditioned clips for augmentation: `clips_per_class` for every class of `task`.

    source: the generator's name in manifests and tables. operations_of_class: operation ids by
    class id, which choose the prompts. prompts: the file that holds them; the sha256 of what it
    says of them, not its place, is in the key. class_names: for a generator that knows classes
    instead of captions: a class is asked for by its name, in the order of the ids.
    Source: Ophora, Sec. 3, downstream tasks (100 videos for each phase and operation).
    """

    version: ClassVar[str] = "2"  # CogVideoX is sampled by its DPM scheduler
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "prompts")

    source: str = pydantic.Field(min_length=1)
    generator: Generator
    task: str
    operations_of_class: tuple[tuple[int, ...], ...]
    settings: SynthesisSettings = SynthesisSettings()
    class_names: tuple[str, ...] = ()
    sampling: Sampling
    prompts: Path = PROMPTS_PATH
    prompts_sha256: str = pydantic.Field(
        default_factory=lambda data: hash_of_prompts(data["prompts"])
    )

    def execute(self, folder: Path) -> dict[str, Any]:
        """Make every clip that is not there yet and list all, and the classes that get none."""
        requests = self.requests()
        asked = {request.labels[self.task] for request in requests}
        silent = [
            f"{self.task} {class_id}"
            for class_id in range(len(self.operations_of_class))
            if class_id not in asked
        ]
        made = synthesise(folder, requests, self.generator, self.sampling, self.source)
        return made | {
            "left_out": counted({f"class left out by policy {self.settings.policy}": silent})
        }

    def requests(self) -> list[Request]:
        """The synthesis plan."""
        book = PromptBook.load(self.prompts)
        return class_requests(
            book, self.task, self.operations_of_class, self.settings, self.class_names
        )

    @property
    def num_clips(self) -> int:
        """How many requests there are, without their seeds."""
        book = PromptBook.load(self.prompts)
        asked = _prompts_by_class(book, self.task, self.operations_of_class, self.settings)
        return self.settings.clips_per_class * len(asked)

    def is_one_piece(self) -> bool:
        return self.num_clips <= self.sampling.batch_size

    def cost(self) -> str:
        return f"{self.num_clips:,} clips x {self.sampling.steps} steps"


class CaptionSynthesis(ClipStage):
    """One clip for each caption of a split of `clips`: what generation quality is measured on."""

    version: ClassVar[str] = "2"  # CogVideoX is sampled by its DPM scheduler

    source: str = pydantic.Field(min_length=1)
    generator: Generator
    clips: ClipStage
    split: Split | None = None
    num_clips: int = pydantic.Field(ge=1)
    seed: int = pydantic.Field(default=0, ge=0)
    sampling: Sampling

    def execute(self, folder: Path) -> dict[str, Any]:
        """Make every clip that is not there yet and list all.

        Raises: UserError: if the split has fewer captions than clips are asked for.
        """
        return synthesise(folder, self.requests(), self.generator, self.sampling, self.source)

    def requests(self) -> list[Request]:
        """The first `num_clips` captions, each with a seed from its clip id."""
        clips = self.clips.manifest().of_split(self.split).clips
        if len(clips) < self.num_clips:
            raise UserError(
                f"num_clips {self.num_clips}: only {len(clips)} captioned clips are held out; "
                f"set it to at most {len(clips)} or give a larger corpus"
            )
        return [
            Request(clip.clip_id, clip.caption or "", derive_seed(self.seed, clip.clip_id))
            for clip in clips[: self.num_clips]
        ]

    def is_one_piece(self) -> bool:
        return self.num_clips <= self.sampling.batch_size

    def cost(self) -> str:
        return f"{self.num_clips:,} clips x {self.sampling.steps} steps"


def synthesise(
    folder: Path,
    requests: Sequence[Request],
    generator: Generator,
    sampling: Sampling,
    source: str,
) -> dict[str, Any]:
    """Write `videos/<clip id>.mp4` for every request and the manifest, resuming what is there.

    Batches are spread over processes, one a core or a GPU. A batch is made again as a whole unless
    all its clips exist: sums in a smaller batch could round differently, and a resumed run must
    give the same bytes.
    """
    batches = list(_batches(requests, sampling.batch_size))
    missing = [batch for batch in batches if not all(_file(folder, r).is_file() for r in batch)]
    left = sum(map(len, missing))
    if missing:  # before the clock starts: it may train the generator first
        generator.run()
    make = partial(_make_batch, generator, sampling, folder)
    lanes = generator.runtime.lanes()
    with Progress(f"synthesis ({source})", len(requests), "clips", len(requests) - left) as shown:
        for batch, _ in map_unordered(make, missing, workers=lanes):
            shown.advance(len(batch))
    _LOADED.clear()
    free_gpus(generator.runtime.torch_device())
    clips = [
        Clip(
            clip_id=request.clip_id,
            video_id=f"{source}_{request.clip_id}",
            path=f"{request.clip_id}.mp4",
            labels=dict(request.labels),
            caption=request.prompt,
            source=source,
            seed=request.seed,
        )
        for request in requests
    ]
    Manifest(root=folder / "videos", clips=tuple(clips)).save(folder / MANIFEST_NAME)
    return {"clips": len(clips), "generator": generator.run(), "left_out": {}}


# This process's sampler by its generator's key; loading it takes longer than a batch.
_LOADED: dict[tuple[str, Sampling], Sampler] = {}


def _make_batch(
    generator: Generator, sampling: Sampling, folder: Path, batch: Sequence[Request]
) -> None:
    key = (generator.infra.uid(), sampling)
    if key not in _LOADED:
        _LOADED.clear()
        generator.runtime.apply()
        seed_everything(0)
        _LOADED[key] = generator.sampler(sampling)
    videos = _LOADED[key]([r.prompt for r in batch], [r.seed for r in batch], sampling)
    check_shape(videos, len(batch), generator.shape)
    for request, frames in zip(batch, videos, strict=True):
        write_video(_file(folder, request), frames, FPS)


def check_shape(videos: Frames, num_clips: int, shape: ClipShape) -> None:
    """Refuse clips that are not what was asked for.

    Raises: UserError: naming both sizes; an autoencoder's tiles, for one, can change the size.
    """
    asked = (num_clips, shape.num_frames, shape.height, shape.width, 3)
    if videos.shape != asked:
        raise UserError(
            f"clips of {shape} were asked for, but the generator made an array of "
            f"{videos.shape} instead of {asked}: none is written; give weights made for that "
            "size, or sample without `faster.tiled`"
        )


def _batches(requests: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
    for start in range(0, len(requests), size):
        yield requests[start : start + size]


def _file(folder: Path, request: Request) -> Path:
    return folder / "videos" / f"{request.clip_id}.mp4"
