"""Arms made by choosing: of many synthetic clips, those that show what their label says.

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
from core.stage import ClipSource

SMALLEST = 1e-12  # a probability of 0 must not decide against all others


class ConfidentClips(ClipSource):
    """Those of `clips` whose label is likely; clips that cannot be read are left out.

    classifier, zero_shot: who says so; where there are both, the product of their probabilities,
    made to sum to 1 (as if they erred independently). at_least: the smallest probability.
    clips_per_class: how many of each class, the likeliest; None keeps all.
    """

    clips: ClipSource
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


def _classified(
    classifier: ClassifierTraining, clips: ClipSource
) -> dict[str, NDArray[np.floating]]:
    """By id of a clip that can be read, the classifier's probability of each class, (C,)."""
    table = classifier.inputs_of(clips).table()
    shown = [clip.clip_id for clip in clips.manifest().clips if clip.clip_id in table.rows]
    logits = predict(classifier.model(), table.frames, [table.rows[clip_id] for clip_id in shown])
    return dict(zip(shown, softmax(logits, axis=1), strict=True))
