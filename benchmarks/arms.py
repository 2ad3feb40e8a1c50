"""Arms beyond the plain sources: controls, ceilings, parts.

A configuration names them under `arms`; `sources` and `--sources` then take those names.

    arms:
      shuffled: {kind: shuffled_labels, of: ophora}
    sources: [source, ophora, shuffled]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import pydantic
from scipy.special import softmax

from augment.controls import group_by_class
from classifiers.prediction import predict
from classifiers.training import ClassifierTraining
from core.clip import MANIFEST_NAME
from core.errors import UserError
from core.stage import ClipSource


class ArmSection(pydantic.BaseModel, frozen=True, extra="forbid"):
    """An arm of Table 2, "Source + <its name>"."""


class DerivedArm(ArmSection):
    """An arm made from another one. of: a source or an arm."""

    of: str


class ShuffledArm(DerivedArm):
    """The clips with one another's labels."""

    kind: Literal["shuffled_labels"] = "shuffled_labels"


class FrozenArm(DerivedArm):
    """The clips' middle frames, standing still."""

    kind: Literal["frozen_frames"] = "frozen_frames"


class PartArm(DerivedArm):
    """At most `clips_per_class` of the clips: a point of a sweep over volumes."""

    kind: Literal["part"] = "part"
    clips_per_class: int = pydantic.Field(ge=1)


class AloneArm(DerivedArm):
    """The clips without the real ones: train on synthetic, test on real."""

    kind: Literal["alone"] = "alone"


class ConfidentArm(DerivedArm):
    """The clips that a classifier trained on Source gives their label with a probability of
    `at_least`, of each class at most the `clips_per_class` likeliest. It has seen what the arm's
    own classifier sees and nothing more."""

    kind: Literal["confident"] = "confident"
    classifier: Literal["slowfast", "mvit_v2"] = "slowfast"
    at_least: float = pydantic.Field(default=0.1, gt=0, lt=1)
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)


class UnlabelledArm(DerivedArm):
    """The clips without their labels, by FixMatch (`classifiers.recipe.FixMatch`). Of "endora" they
    are those of the unconditional one, as in Endora's own study."""

    kind: Literal["unlabelled"] = "unlabelled"


class OversampledArm(ArmSection):
    """Real training clips once more: as many as a generator's arm has, none of them new."""

    kind: Literal["oversampled"] = "oversampled"
    clips_per_class: int = pydantic.Field(ge=1)


class ExtraRealArm(ArmSection):
    """Real clips of other cases (the simulator draws them): what a perfect generator would reach.

    Classes have at most `clips_per_class`, rare ones as many as the cases hold.
    """

    kind: Literal["extra_real"] = "extra_real"
    clips_per_class: int = pydantic.Field(ge=1)
    seed: int = pydantic.Field(ge=0)
    cases: int = pydantic.Field(ge=1)
    clips: int = pydantic.Field(ge=52)


class CaptionedArm(ArmSection):
    """Clips of the curated corpus, each labelled with the class whose prompts its caption is
    nearest to (see `augment.controls.CaptionedAs`)."""

    kind: Literal["captioned"] = "captioned"
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    at_least: float = pydantic.Field(default=0.3, ge=0, le=1)


Arm: TypeAlias = Annotated[
    ShuffledArm
    | FrozenArm
    | PartArm
    | AloneArm
    | UnlabelledArm
    | ConfidentArm
    | OversampledArm
    | ExtraRealArm
    | CaptionedArm,
    pydantic.Field(discriminator="kind"),
]


class ConfidentClips(ClipSource):
    """The clips of `clips` to whose label `classifier` gives a probability of `at_least`.

    clips_per_class: how many of each class, the likeliest; None keeps all.
    Raises: UserError: if none is left. Clips that cannot be read are left out.
    """

    clips: ClipSource
    classifier: ClassifierTraining
    at_least: float = pydantic.Field(gt=0, lt=1)
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest()
        table = self.classifier.cache_of(self.clips).table()
        shown = [clip for clip in manifest.clips if clip.clip_id in table.rows]
        rows = [table.rows[clip.clip_id] for clip in shown]
        chances = softmax(predict(self.classifier.model(), table.frames, rows), axis=1)
        labels = [clip.label(self.classifier.task) for clip in shown]
        chance = chances[np.arange(len(shown)), labels]
        order = np.argsort(-chance, kind="stable")
        likely = [shown[index] for index in order if chance[index] >= self.at_least]
        if not likely:
            raise UserError(
                f"arm 'confident': none of {len(shown)} clips has a probability of "
                f"{self.at_least} for its label: lower at_least"
            )
        groups = group_by_class(likely, self.classifier.task)
        kept = {c.clip_id for group in groups.values() for c in group[: self.clips_per_class]}
        manifest.keep(clip for clip in shown if clip.clip_id in kept).save(folder / MANIFEST_NAME)
        return {"clips": len(kept), "classes": len(groups), "offered": len(manifest)}
