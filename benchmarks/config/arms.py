"""Arms beyond the plain sources: controls, ceilings, subsets.

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
from benchmarks.datasets.taxonomy import NUM_CLASSES
from classifiers.families import CLASSIFIERS
from core.errors import did_you_mean
from generator.families import GENERATORS


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


class SubsetArm(DerivedArm):
    """At most `clips_per_class` of the clips: a point of a sweep over volumes."""

    kind: Literal["subset"] = "subset"
    clips_per_class: int = pydantic.Field(ge=1)
    """The limit, of each class."""


class AloneArm(DerivedArm):
    """The clips without the real ones: train on synthetic, test on real."""

    kind: Literal["alone"] = "alone"

    def arm(self, name: str, known: Mapping[str, Arm]) -> Arm:
        return Arm.alone(self.of, known[self.of].name)


class ConfidentArm(DerivedArm):
    """The clips whose label is likely, in the eyes of a classifier, of CLIPScore's encoder, or
    both."""

    kind: Literal["confident"] = "confident"
    classifier: str | None = "slowfast"
    """Says how likely, trained on Source: it has seen what the arm's own classifier sees and
    nothing more. None: no classifier has a say."""
    seed: int | None = pydantic.Field(default=None, ge=0)
    """Of its training; None: the run's first."""
    prompts: bool = False
    """Whether CLIPScore's encoder has a say too, by the class's prompts; it has seen captions and
    no label."""
    at_least: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Least probability of the label that a clip is kept at."""
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    """Of each class at most so many of the likeliest; None: all of them."""

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
    """So many draws from each class, with replacement; as many as the arm beside it has."""


class ExtraRealArm(ArmSection):
    """Real clips of other cases (the simulator draws them): what a perfect generator would
    reach."""

    kind: Literal["extra_real"] = "extra_real"
    clips_per_class: int = pydantic.Field(ge=1)
    """At most; of rare classes as many as the cases hold."""
    seed: int = pydantic.Field(ge=0)
    """Of the simulator; one that the run's own data does not have."""
    cases: int = pydantic.Field(ge=1)
    """Videos that are drawn."""
    clips: int = pydantic.Field(ge=NUM_CLASSES["phase"])
    """About so many clips are cut from them, before `clips_per_class` chooses."""

    def arm(self, name: str, known: Mapping[str, Arm]) -> Arm:
        return Arm.joining(name, name, ceiling=True)


class CaptionedArm(ArmSection):
    """Clips of the curated corpus, each labelled with the class whose prompts its caption is
    nearest to (see `augment.controls.CaptionedAs`)."""

    kind: Literal["captioned"] = "captioned"
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    """The nearest of each class; None: all."""
    at_least: float = pydantic.Field(default=0.3, ge=0, le=1)
    """Least nearness that a clip is kept at: cosine of tf-idf vectors, 0-1."""
    without_text: bool = False
    """Only clips that the privacy filter keeps."""


class RetrievedArm(ArmSection):
    """Clips of the curated corpus, each filed under the class whose prompts it is nearest to in the
    eyes of an image-text encoder; captions are not read."""

    kind: Literal["retrieved"] = "retrieved"
    encoder: str | None = None
    """Folder of OphCLIP or of a `transformers` CLIP, or hub:ORG/NAME of one; null: CLIPScore's."""
    clips_per_class: int | None = pydantic.Field(default=None, ge=1)
    """The likeliest of each class; None: all."""
    at_least: float = pydantic.Field(default=0.1, ge=0, lt=1)
    """Least probability of its class that a clip is kept at."""
    without_text: bool = False
    """Only clips that the privacy filter keeps."""


class SameBudgetArm(ArmSection):
    """Clips of a generator that has seen the classifier's own data and no more: its base weights,
    trained on the labelled training clips with prompts of their classes."""

    kind: Literal["same_budget"] = "same_budget"
    of: str
    """A generator that reads captions."""
    steps: int | None = pydantic.Field(default=None, ge=1)
    """Of the training; null: as many as that generator's first one on the corpus has."""

    @pydantic.field_validator("of")
    @classmethod
    def _it_reads_captions(cls, value: str) -> str:
        known = [name for name, family in GENERATORS.items() if family.reads_captions]
        if value not in known:
            raise ValueError(
                f"no generator {value!r} that reads captions: {did_you_mean(value, known)}"
            )
        return value


AnyArmSection: TypeAlias = Annotated[
    ShuffledArm
    | FrozenArm
    | SubsetArm
    | AloneArm
    | UnlabelledArm
    | ConfidentArm
    | OversampledArm
    | ExtraRealArm
    | CaptionedArm
    | RetrievedArm
    | SameBudgetArm,
    pydantic.Field(discriminator="kind"),
]
