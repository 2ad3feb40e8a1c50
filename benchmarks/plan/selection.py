"""Arms made by choosing: of many synthetic clips, those that show what their label says; of many
narrated ones, those that show a class.

clips -> each chooser's probability of each class -> their product -> the likeliest -> manifest

A generator is asked for a class and may draw another one. What chooses has been trained neither on
val nor on test, and is not the judge of the audits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray
from scipy.special import softmax

from augment.controls import group_by_class
from benchmarks.datasets.taxonomy import Task
from benchmarks.metrics.zero_shot import ZeroShot
from classifiers.prediction import predict
from classifiers.training import ClassifierTraining
from core.clip import MANIFEST_NAME
from core.errors import UserError
from core.stage import ClipStage

SMALLEST = 1e-12  # a probability of 0 must not decide against all others


class ConfidentClips(ClipStage):
    """Those of `clips` whose label is likely; clips that cannot be read are left out.

    classifier, zero_shot: who says so; where there are both, the product of their probabilities,
    made to sum to 1 (as if they erred independently). at_least: the smallest probability.
    clips_per_class: how many of each class, the likeliest; None keeps all.
    """

    clips: ClipStage
    task: Task
    classifier: ClassifierTraining | None = None
    zero_shot: ZeroShot | None = None
    at_least: float = pydantic.Field(gt=0, lt=1)
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if no label is likely enough."""
        manifest = self.clips.manifest()
        chances = self._chances()
        shown = [clip for clip in manifest.clips if clip.clip_id in chances]
        chance = np.array([chances[clip.clip_id][clip.label(self.task)] for clip in shown])
        order = np.argsort(-chance, kind="stable")
        likely = [shown[index] for index in order if chance[index] >= self.at_least]
        if not likely:
            raise UserError(
                f"arm: none of {len(shown)} clips has a probability of {self.at_least} for its "
                "label: lower at_least"
            )
        groups = group_by_class(likely, self.task)
        kept = {c.clip_id for group in groups.values() for c in group[: self.clips_per_class]}
        manifest.keep(clip for clip in shown if clip.clip_id in kept).save(folder / MANIFEST_NAME)
        return {"clips": len(kept), "classes": len(groups), "offered": len(manifest)}

    def _chances(self) -> dict[str, NDArray[np.floating]]:
        """By id of a clip that can be read, the probability of each class, (C,)."""
        said: list[Mapping[str, NDArray[np.floating]]] = []
        if self.classifier is not None:
            said.append(_classified(self.classifier, self.clips))
        if self.zero_shot is not None:
            said.append(self.zero_shot.probabilities())
        return {
            clip_id: softmax(sum(np.log(np.maximum(each[clip_id], SMALLEST)) for each in said))
            for clip_id in said[0]
            if clip_id in said[-1]
        }


class RetrievedClips(ClipStage):
    """Narrated clips filed by what they look like: each under the class whose prompts are nearest
    to it in the eyes of an image-text encoder. Neither captions nor labelled clips are looked at.

    What a lab gets of its narrated videos without a generator, where captions say little.
    zero_shot: of the same `clips`. Clips whose class has a probability below `at_least` are left
    out; of the rest, each class gets the `clips_per_class` likeliest, None: all.
    """

    clips: ClipStage
    task: Task
    zero_shot: ZeroShot
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    at_least: float = pydantic.Field(ge=0, lt=1)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if no clip is likely enough to be of a class."""
        manifest, chances = self.clips.manifest(), self.zero_shot.probabilities()
        found = sorted(
            (-float(chances[clip.clip_id].max()), clip.clip_id, clip)
            for clip in manifest.clips
            if clip.clip_id in chances
        )
        filed = [
            clip.labelled(self.task, int(chances[clip.clip_id].argmax()))
            for chance, _, clip in found
            if -chance >= self.at_least
        ]
        if not filed:
            raise UserError(
                f"arm: none of {len(found)} narrated clips has a probability of {self.at_least} "
                "for a class: lower at_least"
            )
        groups = group_by_class(filed, self.task)
        kept = [c for _, group in sorted(groups.items()) for c in group[: self.clips_per_class]]
        manifest.keep(kept).save(folder / MANIFEST_NAME)
        return {"clips": len(kept), "classes": len(groups), "offered": len(manifest)}


def _classified(
    classifier: ClassifierTraining, clips: ClipStage
) -> dict[str, NDArray[np.floating]]:
    """By id of a clip that can be read, the classifier's probability of each class, (C,)."""
    table = classifier.inputs_of(clips).table()
    shown = [clip.clip_id for clip in clips.manifest().clips if clip.clip_id in table.rows]
    logits = predict(classifier.model(), table.frames, [table.rows[clip_id] for clip_id in shown])
    return dict(zip(shown, softmax(logits, axis=1), strict=True))
