"""First frames for a generator that goes on from an image: real training clips, by class."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from augment.prompts import PROMPTS_PATH, PromptBook, hash_of_prompts
from augment.synthesis import ClassSynthesis, Request, SynthesisSettings, class_requests
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.left_out import note_left_out
from core.stage import ClipStage
from generator.hub.pipeline import first_frame


class FirstFrames(ClipStage):
    """For each clip that a `ClassSynthesis` with the same fields asks for, a training clip of its
    class, drawn by its seed.

    The manifest has the ids and seeds of the clips to be made; a clip's caption says which one of
    `clips` it is.
    """

    _exclude_from_cls_uid = ClassSynthesis._exclude_from_cls_uid

    clips: ClipStage
    task: str
    operations_of_class: tuple[tuple[int, ...], ...]
    settings: SynthesisSettings = SynthesisSettings()
    prompts: Path = PROMPTS_PATH
    prompts_sha256: str = pydantic.Field(
        default_factory=lambda data: hash_of_prompts(data["prompts"])
    )

    def manifest(self) -> Manifest:
        """As `ClipStage.manifest`; data that moved are found at their present root."""
        return super().manifest().model_copy(update={"root": self.clips.manifest().root})

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if a class has no readable training clip."""
        training = self.clips.manifest().of_split("train")
        of_class: dict[int, list[Clip]] = defaultdict(list)
        for clip in training.clips:
            of_class[clip.label(self.task)].append(clip)
        opened: dict[str, str | None] = {}  # why a clip cannot be read, by its id; None: it can
        starts = [
            self._start(request, of_class, training, opened)
            for request in class_requests(
                PromptBook.load(self.prompts), self.task, self.operations_of_class, self.settings
            )
        ]
        faults = ((clip.path, opened.get(clip.clip_id)) for clip in training.clips)
        broken = {path: reason for path, reason in faults if reason is not None}
        left_out = note_left_out(
            {"unreadable": [f"{path}: {reason}" for path, reason in broken.items()]},
            len({clip.path for clip in training.clips}),
            what=f"training videos for first frames of {self.task}s",
            cure="re-encode or replace them",
        )
        training.keep(starts).save(folder / MANIFEST_NAME)
        return {"clips": len(starts), "left_out": left_out}

    def _start(
        self,
        request: Request,
        of_class: dict[int, list[Clip]],
        training: Manifest,
        opened: dict[str, str | None],
    ) -> Clip:
        label = request.labels[self.task]
        offered = of_class[label]
        for index in np.random.default_rng(request.seed).permutation(len(offered)):
            clip = offered[index]
            if clip.clip_id not in opened:
                opened[clip.clip_id] = _fault(training, clip)
            if opened[clip.clip_id] is None:
                named = {"clip_id": request.clip_id, "seed": request.seed}
                return clip.model_copy(update=named | {"caption": f"first frame of {clip.clip_id}"})
        raise UserError(
            f"first frames: no readable training clip of {self.task} {label}, and clips of it are "
            "to be made: leave the image-to-video source out, or bring clips of every class"
        )


def _fault(training: Manifest, clip: Clip) -> str | None:
    try:
        first_frame(training.path_of(clip), clip)
    except UnreadableVideo as error:
        return error.reason
    return None
