"""What a configuration holds, validated whole (`benchmarks/config/files.py` reads the files).

A configuration holds hyperparameters only. `benchmarks.plan` turns it into stages.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, get_args

import pydantic

from augment.arm import SOURCE, Arm
from augment.synthesis import SynthesisSettings
from augment.training_set import Mixing
from benchmarks.config.arms import AnyArmSection, DerivedArm, SameBudgetArm, UnlabelledArm
from benchmarks.config.names import PART, check_arms, check_contrasts, check_rows, check_sources
from benchmarks.config.sections import (
    ClassifierSection,
    CorpusSection,
    CurationSection,
    FootageSection,
    OphSimSection,
    PipelineSection,
    QualitySection,
    VarySection,
)
from benchmarks.config.taxonomy import named_taxonomy
from benchmarks.datasets.labels import DEFAULT, Task, Taxonomy, default_taxonomy
from benchmarks.dispatch import Cluster
from classifiers.families import CLASSIFIERS
from classifiers.recipe import Schedule
from classifiers.slowfast import SlowFast
from core.errors import did_you_mean
from core.runtime import Runtime
from generator.base import ClipShape
from generator.families import GENERATORS
from generator.family import TableRow
from generator.sections import GeneratorSection, Section

DEFAULT_SOURCES = ("source", "bora", "ophora")  # the paper's Table 2
# A field for the section of each generator, by its name; null where a configuration has none.
_SECTIONS: dict[str, Any] = {
    name: (family.section | None, None) for name, family in GENERATORS.items()
}
GeneratorSections: Any = pydantic.create_model("GeneratorSections", __base__=Section, **_SECTIONS)


class BenchmarkConfig(GeneratorSections):
    """Everything that decides a run's numbers; `runtime` and `cluster` do not."""

    name: str = pydantic.Field(pattern=rf"^{PART}(/{PART})*$")
    """Of the run, in its tables and as the folder of its results; "/" makes a folder in a
    folder."""
    scale: Literal["nano", "paper"]
    """Where data comes from: "paper" asks for a real data set (`--data-root`), "nano" simulates
    what it is not given."""
    recipe_name: str = "reference"
    """What the tables call the classifiers' recipe."""
    tasks: tuple[Task, ...] = pydantic.Field(min_length=1)
    """What is classified: phases, operations or both (OphNet2024 has 52 and 107)."""
    sources: tuple[str, ...] = DEFAULT_SOURCES
    """Rows of Table 2: "source" (real clips alone), generators, names of `arms`, NAME=DIR for a
    folder of your own clips or of a video pipeline, NAME=hub:ORG/NAME for one of the hub."""
    pipelines: dict[str, PipelineSection] = {}
    """How the pipelines among the sources are drawn, by their names."""
    arms: dict[str, AnyArmSection] = {}
    """Arms beyond the plain sources, by a name of your choice; only those in `sources` run."""
    contrasts: tuple[tuple[str, str], ...] | None = None
    """Pairs of sources: the first one's top-1 minus the second's is tested, where the run has both;
    null: every two."""
    classifiers: dict[str, ClassifierSection]
    """By the name of a classifier's family, e.g. `slowfast`."""
    chosen_classifiers: tuple[str, ...] = ()
    """Those of `classifiers` to train; empty: all."""
    taxonomy: Taxonomy = pydantic.Field(default_factory=default_taxonomy)
    """The classes, their hierarchy and prompts: the name of one that comes with the suite, or a
    YAML file's path."""
    schedules: tuple[Schedule, ...] = pydantic.Field(default=("matched_epochs",), min_length=1)
    """How many steps an arm gets (`Recipe.schedule`); each one trains all arms."""
    seeds: int = pydantic.Field(default=1, ge=1, le=100)
    """Trainings of every arm and classifier, each with a seed of its own."""
    first_seed: int = pydantic.Field(default=0, ge=0)
    """The seeds count up from here."""
    num_frames: int = pydantic.Field(default=8, ge=1)
    """Frames that are decoded of a clip for the classifiers, evenly spaced."""
    size: int = pydantic.Field(default=64, ge=8)
    """Side in pixels of the square frames that the classifiers see."""
    mixing: Mixing = Mixing()
    """Which real and synthetic clips a training draws, and when."""
    ophsim: OphSimSection = OphSimSection()
    """The simulated labelled data."""
    corpus: CorpusSection
    """The simulated narrated clips that the generators are trained on."""
    curation: CurationSection
    """The filters between the narrated clips and the generators."""
    footage: FootageSection | None = None
    """How clips without captions are cut where --corpus-root has none; null: it needs captions."""
    clip: ClipShape
    """Frames and size of the clips that generators make, unless a generator's section has its
    own."""
    synthesis: SynthesisSettings
    """How many synthetic clips each class gets."""
    one_synthetic_set: bool = False
    """Every training seed has the same synthetic clips, which are made once. False: seed k has
    those of synthesis seed k, so that intervals include what sampling adds."""
    vary: VarySection | None = None
    """Makes the run a sweep; null: one run."""
    quality: QualitySection
    """What Table 1 is made from."""
    runtime: Runtime = Runtime()
    """How it runs on this machine."""
    cluster: Cluster | None = None
    """Runs stages as jobs; null: here."""

    @pydantic.field_validator("taxonomy", mode="before")
    @classmethod
    def _taxonomy_is_a_file(cls, value: Any) -> Any:
        return named_taxonomy(value) if isinstance(value, str) else value

    @pydantic.field_serializer("taxonomy", when_used="json")
    def _by_name_or_whole(self, value: Taxonomy) -> Any:
        return DEFAULT if value.is_default else value.model_dump(mode="json")

    @pydantic.model_validator(mode="after")
    def _the_taxonomy_has_the_tasks(self) -> BenchmarkConfig:
        for task in self.tasks:
            if task not in self.taxonomy.classes:
                hint = did_you_mean(task, self.taxonomy.classes)
                raise ValueError(f"tasks: {self.taxonomy.name} has no classes of {task!r}: {hint}")
        return self

    @pydantic.model_validator(mode="after")
    def _there_is_something_to_do(self) -> BenchmarkConfig:
        if not (self.sources or self.quality.rows or self.quality.folders):
            raise ValueError("sources: name one at least, or quality.rows for Table 1 alone")
        return self

    @pydantic.model_validator(mode="after")
    def _rows_are_known(self) -> BenchmarkConfig:
        named = (*(self.quality.rows or ()), *self.quality.beside)
        check_rows(named, self.quality.folders, self.table_rows())
        return self

    @pydantic.model_validator(mode="after")
    def _arms_come_from_somewhere(self) -> BenchmarkConfig:
        check_arms(self.arms)
        return self

    @pydantic.model_validator(mode="after")
    def _sources_are_known(self) -> BenchmarkConfig:
        check_sources(self.sources, self.arms)
        return self

    @pydantic.model_validator(mode="after")
    def _arms_have_ids_of_their_own(self) -> BenchmarkConfig:
        arms = self.registry()
        names: dict[str, str] = {}
        for name in self.names():
            other = names.setdefault(arms[name].id, name)
            if other != name:
                raise ValueError(f"sources: {other!r} and {name!r} are one arm: leave one out")
        return self

    @pydantic.model_validator(mode="after")
    def _generators_have_their_sections(self) -> BenchmarkConfig:
        used = self.origins()
        used |= {
            arm.of
            for name, arm in self.arms.items()
            if isinstance(arm, SameBudgetArm) and name in used
        }
        for name in GENERATORS:
            if name in used and getattr(self, name) is None:
                raise ValueError(f"source {name!r}: the configuration has no section `{name}`")
        return self

    @pydantic.model_validator(mode="after")
    def _contrasts_are_of_sources(self) -> BenchmarkConfig:
        check_contrasts(self.contrasts or (), self.names(), self.arms)
        return self

    @pydantic.model_validator(mode="after")
    def _ranks_have_their_nodes(self) -> BenchmarkConfig:
        if self.cluster is not None:
            for ranks in (self.runtime.processes, self.runtime.classifier_processes):
                self.cluster.nodes(ranks)
        return self

    @property
    def slowfast_reading(self) -> str:
        """How SlowFast reads the decoded frames, in the words of Table 2's note."""
        section = self.classifiers.get("slowfast")
        network = section.network if section is not None else None
        return network.named_reading(self.num_frames) if isinstance(network, SlowFast) else "none"

    def section(self, generator: str) -> GeneratorSection:
        """A generator's section, by its family's name."""
        section: GeneratorSection = getattr(self, generator)
        return section

    def table_rows(self) -> dict[str, TableRow]:
        """The rows that Table 1 can have, in its order, by the names of their models."""
        return {
            model: row
            for name, family in GENERATORS.items()
            if getattr(self, name) is not None
            for model, row in family.rows(getattr(self, name)).items()
        }

    def compared_rows(self) -> tuple[str, ...]:
        """Table 1's rows that the sources do not bring by themselves."""
        beside = self.quality.beside if set(DEFAULT_SOURCES) <= set(self.sources) else ()
        return beside if self.quality.rows is None else self.quality.rows

    def registry(self) -> dict[str, Arm]:
        """Every arm that the run may have, by its name in the configuration."""
        found = {"source": SOURCE}
        found |= {name: Arm.joining(name, family.label) for name, family in GENERATORS.items()}
        for name, section in self.arms.items():
            found[name] = section.arm(name, found)
        folders = (source.partition("=")[0] for source in self.sources if "=" in source)
        return found | {name: Arm.joining(name, name) for name in folders}

    def names(self) -> list[str]:
        """Those of the sources, folders without their path."""
        return [source.partition("=")[0] for source in self.sources]

    @property
    def training_seeds(self) -> range:
        """The seeds that classifiers are trained with."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def compared(self) -> list[tuple[str, str]]:
        """Names of the sources that are tested against each other: the first minus the second."""
        names = [name for name in self.names() if name != "source"]
        if self.contrasts is None:
            return [(later, earlier) for earlier, later in itertools.combinations(names, 2)]
        return [pair for pair in self.contrasts if set(pair) <= set(names)]

    def origins(self, *, labelled: bool = False) -> set[str]:
        """The plain sources that the run's sources and arms are made from.

        labelled: only those whose clips must be of a class.
        """
        names = set(self.sources)
        for name, arm in reversed(self.arms.items()):  # an arm comes from an earlier one
            wanted = not (labelled and isinstance(arm, UnlabelledArm))
            if name in names and isinstance(arm, DerivedArm) and wanted:
                names.add(arm.of)
        return names

    @pydantic.field_validator("schedules")
    @classmethod
    def _schedules_in_the_tables_order(cls, value: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        return tuple(schedule for schedule in get_args(Schedule) if schedule in value)

    @pydantic.field_validator("classifiers", mode="before")
    @classmethod
    def _classifiers_have_a_name_in_the_tables(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name not in CLASSIFIERS:
                hint = did_you_mean(str(name), CLASSIFIERS)
                raise ValueError(f"unknown classifier {name!r}: {hint}")
        return value

    @pydantic.model_validator(mode="after")
    def _classifiers_are_known(self) -> BenchmarkConfig:
        for name in self.chosen_classifiers:
            if name not in self.classifiers:
                hint = did_you_mean(name, self.classifiers)
                raise ValueError(f"unknown classifier {name!r}: {hint}")
        return self
