"""Arms beyond the plain sources: controls, ceilings, parts.

A configuration names them under `arms`; `sources` and `--sources` then take those names.

    arms:
      shuffled: {kind: shuffled_labels, of: ophora}
    sources: [source, ophora, shuffled]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import pydantic

from augment.arm import Arm
from classifiers.families import CLASSIFIERS
from core.errors import did_you_mean


class ArmSection(pydantic.BaseModel, frozen=True, extra="forbid"):
    """An arm in the configuration."""

    def arm(self, name: str, known: Mapping[str, Arm]) -> Arm:
        """The arm, by its name in the configuration; `known`: those that it may be made from."""
        return Arm.joining(name, name)


class DerivedArm(ArmSection):
    """An arm made from another one."""

    of: str
    """A source or an arm."""


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

    def arm(self, name: str, known: Mapping[str, Arm]) -> Arm:
        return Arm.alone(self.of, known[self.of].name)


class ConfidentArm(DerivedArm):
    """The clips whose label is likely: a probability of `at_least`, of each class at most the
    `clips_per_class` likeliest.

    classifier: says how likely, trained on Source, so that it has seen what the arm's own
    classifier sees and nothing more; None for none. seed: of its training; None takes the run's
    first. prompts: whether CLIPScore's encoder has a say too, by the class's prompts; it has seen
    captions and no label.
    """

    kind: Literal["confident"] = "confident"
    classifier: str | None = "slowfast"
    seed: int | None = pydantic.Field(default=None, ge=0)
    prompts: bool = False
    at_least: float = pydantic.Field(default=0.1, gt=0, lt=1)
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)

    @pydantic.field_validator("classifier")
    @classmethod
    def _the_classifier_is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in CLASSIFIERS:
            raise ValueError(f"unknown classifier {value!r}: {did_you_mean(value, CLASSIFIERS)}")
        return value

    @pydantic.model_validator(mode="after")
    def _someone_chooses(self) -> ConfidentArm:
        if self.classifier is None and not self.prompts:
            raise ValueError("name a classifier or say prompts: true: someone has to choose")
        return self


class UnlabelledArm(DerivedArm):
    """The clips without their labels, by FixMatch (`classifiers.recipe.FixMatch`). Of "endora" they
    are those of the unconditional one, as in Endora's own study."""

    kind: Literal["unlabelled"] = "unlabelled"

    def arm(self, name: str, known: Mapping[str, Arm]) -> Arm:
        return Arm.joining(name, name, labelled=False)


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

    def arm(self, name: str, known: Mapping[str, Arm]) -> Arm:
        return Arm.joining(name, name, ceiling=True)


class CaptionedArm(ArmSection):
    """Clips of the curated corpus, each labelled with the class whose prompts its caption is
    nearest to (see `augment.controls.CaptionedAs`).

    without_text: only those that the privacy filter keeps.
    """

    kind: Literal["captioned"] = "captioned"
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    at_least: float = pydantic.Field(default=0.3, ge=0, le=1)
    without_text: bool = False


AnyArmSection: TypeAlias = Annotated[
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
