"""Arms made by choosing: of many synthetic clips, those that show what their label says.

clips -> probability of each clip's own label -> the likeliest of each class -> manifest

A generator is asked for a class and may draw another one. What chooses has seen neither val nor
test, and is not the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray
from scipy.special import softmax

from augment.controls import group_by_class
from benchmarks.metrics.clip_features import check_protocol, load_image_text_encoder
from benchmarks.metrics.clip_score import class_probabilities
from benchmarks.metrics.encoders import MetricEncoder
from benchmarks.metrics.frames import FrameProtocol, readable
from classifiers.prediction import predict
from classifiers.training import ClassifierTraining
from core.clip import MANIFEST_NAME, Clip, Task
from core.errors import UserError
from core.stage import ClipSource


class ChosenClips(ClipSource):
    """Those of `clips` whose label is likely; clips that cannot be read are left out.

    at_least: the smallest probability. clips_per_class: how many of each class, the likeliest; None
    keeps all.
    """

    clips: ClipSource
    at_least: float = pydantic.Field(gt=0, lt=1)
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)

    def choose(
        self, shown: Sequence[Clip], task: Task, chances: NDArray[np.floating], folder: Path
    ) -> dict[str, Any]:
        """Write the manifest of the likeliest of `shown`.

        Args: chances: (N, C), each clip's probability of each class.
        Raises: UserError: if no label is likely enough.
        """
        manifest = self.clips.manifest()
        labels = [clip.label(task) for clip in shown]
        chance = chances[np.arange(len(shown)), labels]
        order = np.argsort(-chance, kind="stable")
        likely = [shown[index] for index in order if chance[index] >= self.at_least]
        if not likely:
            raise UserError(
                f"arm: none of {len(shown)} clips has a probability of {self.at_least} for its "
                "label: lower at_least"
            )
        groups = group_by_class(likely, task)
        kept = {c.clip_id for group in groups.values() for c in group[: self.clips_per_class]}
        manifest.keep(clip for clip in shown if clip.clip_id in kept).save(folder / MANIFEST_NAME)
        return {"clips": len(kept), "classes": len(groups), "offered": len(manifest)}


class ConfidentClips(ChosenClips):
    """Chosen by a classifier: by the probability that `classifier` gives to a clip's label."""

    classifier: ClassifierTraining

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if none is left."""
        table = self.classifier.cache_of(self.clips).table()
        shown = [clip for clip in self.clips.manifest().clips if clip.clip_id in table.rows]
        rows = [table.rows[clip.clip_id] for clip in shown]
        chances = softmax(predict(self.classifier.model(), table.frames, rows), axis=1)
        return self.choose(shown, self.classifier.task, chances, folder)


class AlignedClips(ChosenClips):
    """Chosen by what they look like: by CLIP's probability of a clip's class among all classes.

    encoder: image-text encoder. prompts_of_class: prompts by class id; a class without prompts
    gets no clip. Source: Radford et al. 2021 (arXiv 2103.00020), Sec. 3.1 (zero-shot classifier).
    """

    task: Task
    encoder: MetricEncoder
    protocol: FrameProtocol
    prompts_of_class: tuple[tuple[str, ...], ...]

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if none is left, or the encoder was trained for other frames."""
        encoder = load_image_text_encoder(self.encoder, self.runtime.torch_device())
        check_protocol(encoder, self.protocol)
        texts = [encoder.texts(prompts) if prompts else None for prompts in self.prompts_of_class]
        shown: list[Clip] = []
        chances = []
        for clips, frames in readable(self.clips.manifest(), self.protocol):
            shown += clips
            embeddings = encoder.frames(frames)[1]
            chances.append(class_probabilities(embeddings, texts, encoder.logit_scale))
        if not shown:
            raise UserError(f"{self.clips.manifest().root}: no clip of it can be read")
        return self.choose(shown, self.task, np.concatenate(chances), folder)
