"""The data of a run: the labelled set, the narrated corpus, what curation keeps of it, weights by
name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from augment.prompts import PromptBook
from benchmarks.config.schema import BenchmarkConfig
from benchmarks.datasets.families import read_at
from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.footage import Cut, Footage
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim, OphVLSim
from benchmarks.datasets.taxonomy import Task
from core.clip import Split
from core.errors import UserError
from core.stage import ClipStage
from generator.base import ClipShape, Weights, weights_named
from generator.curation.narrated import CLIPS_CSV, NarratedFolder, Uncurated
from generator.curation.stages import Curation, PrivacyFilter
from generator.opening import Wanted

PROJECT_ROOT = Path(__file__).parents[2]


def locate(name: str) -> Path:
    """What the configuration names, seen from here or else from the project; it may not exist."""
    return next((p for p in (Path(name), PROJECT_ROOT / name) if p.exists()), Path(name))


@dataclass(frozen=True)
class Inputs:
    """What the user brings, beside the configuration.

    test_root, test_mapping: a second data set to test on, and the file that maps its labels.
    read: False for a plan that is only printed, which hashes no file that is not known yet.
    """

    results: Path
    data_root: Path | None = None
    corpus_root: Path | None = None
    read: bool = True
    test_root: Path | None = None
    test_mapping: Path | None = None


@dataclass(frozen=True)
class Data:
    """Data stages, and all else that generators are built from (`generator.family.Materials`).

    missing: files that are not there (yet): `Plan.check` refuses them, a dry run does without.
    """

    config: BenchmarkConfig
    inputs: Inputs
    missing: list[str] = field(default_factory=list, compare=False)

    @property
    def common(self) -> dict[str, Any]:
        """Machinery every stage gets."""
        cache = self.inputs.results / "cache"
        return {"infra": {"folder": str(cache)}, "runtime": self.config.runtime}

    @property
    def hashing(self) -> dict[str, Any]:
        """How the user's folders are hashed, beside `common`."""
        memory = self.inputs.results / "cache" / "hashes.json"
        return {"hash_memory": memory, "read": self.inputs.read, **self.common}

    @property
    def clip(self) -> ClipShape:
        """Of the clips that generators make."""
        return self.config.clip

    def weights(self, name: str, field: str, wanted: Wanted | None = None) -> Weights:
        """See `generator.family.Materials`."""
        return weights_named(name, field=field, root=PROJECT_ROOT, wanted=wanted, **self.common)

    def locate(self, name: str) -> Path:
        """A file that the configuration names; it may not exist."""
        return locate(name)

    @cached_property
    def labelled(self) -> dict[Task, LabelledClips]:
        """The labelled data of each task: the user's folder, else OphSim."""
        root = self.inputs.data_root
        taxonomy = self.config.taxonomy
        if root is None:
            if not taxonomy.is_default:
                raise UserError(
                    f"taxonomy {taxonomy.name} needs --data-root DIR: the simulator draws "
                    "OphNet2024's classes"
                )
            simulator = OphSim(**self.config.ophsim.model_dump(), **self.common)
            return {
                task: OphNet(task=task, name="OphSim", written_by=simulator, **self.common)
                for task in self.config.tasks
            }
        if not root.is_dir():
            raise UserError(f"--data-root {root}: no such folder")
        how = {"taxonomy": taxonomy, **self.hashing}
        return {task: read_at(root, task=task, **how) for task in self.config.tasks}

    def prompts(self, task: Task) -> tuple[tuple[str, ...], ...]:
        """By class id, what generators are asked for; nothing of a class that gets no clips."""
        taxonomy, policy = self.config.taxonomy, self.config.synthesis.policy
        book = PromptBook.load(taxonomy.path)
        return tuple(
            book.prompts_for(task, class_id, operations, policy)
            for class_id, operations in enumerate(taxonomy.leaves_of(task))
        )

    @property
    def name(self) -> str:
        """The name of the labelled data; both, where the files of two tasks have two names."""
        return " and ".join(dict.fromkeys(data.name for data in self.labelled.values()))

    @cached_property
    def footage(self) -> Footage | None:
        """The clips without captions of --corpus-root, which are what curation would leave; None
        where it has captions, or the configuration does not say how to cut."""
        root, section = self.inputs.corpus_root, self.config.footage
        if root is None or section is None or (root / CLIPS_CSV).is_file():
            return None
        if not root.is_dir():
            raise UserError(f"--corpus-root {root}: no such folder")
        shape = section.clip or self.config.clip
        span = (shape.num_frames - 1) * section.interval + 1
        cut = Cut(shape=shape, interval=section.interval, stride=section.stride or span)
        return Footage.at(root, name=root.resolve().name, cut=cut, **self.hashing)

    @cached_property
    def narrated(self) -> ClipStage:
        """The generators' raw training data."""
        root = self.inputs.corpus_root
        if self.footage is not None:
            return self.footage
        if root is None:
            return OphVLSim(**dict(self.config.corpus), **self.common)
        if not root.is_dir():
            raise UserError(f"--corpus-root {root}: no such folder")
        return NarratedFolder.at(root, source=root.resolve().name, **self.hashing)

    def _curate(self, narrated: ClipStage) -> Curation:
        section = self.config.curation
        return Curation(
            narrated=narrated,
            refine=section.refine,
            dynamics=section.dynamics,
            resolution=section.resolution,
            **self.common,
        )

    def _clean(self, curated: ClipStage) -> PrivacyFilter:
        privacy = self.config.curation.privacy
        return PrivacyFilter(clips=curated, privacy=privacy, **self.common)

    @cached_property
    def filters(self) -> tuple[Curation, PrivacyFilter] | None:
        """The two stages of curation; None for clips without captions, which have none."""
        if self.footage is not None:
            return None
        curated = self._curate(self.narrated)
        return curated, self._clean(curated)

    @property
    def curated(self) -> ClipStage:
        """Ophora-160K."""
        return self.narrated if self.filters is None else self.filters[0]

    @property
    def clean(self) -> ClipStage:
        """Ophora-28K."""
        return self.narrated if self.filters is None else self.filters[1]

    @cached_property
    def uncurated(self) -> ClipStage:
        """OphVL: the clips and captions of Ophora-160K's videos before curation."""
        if self.footage is not None:
            return self.footage
        return Uncurated(narrated=self.narrated, **self.common)

    @property
    def without_corpus(self) -> bool:
        """Whether the user brought labelled data and no narrated clips."""
        return self.inputs.data_root is not None and self.inputs.corpus_root is None

    @property
    def held_out_with_text(self) -> ClipStage | None:
        """The held-out clips before those with text were taken out, which is what the paper
        compares with; None where none can bear text."""
        held_out = self.held_out[0]
        if not isinstance(held_out, PrivacyFilter):
            return None
        drawn = self.inputs.corpus_root is None
        bears_text = not drawn or self.config.quality.corpus.mix.text_share > 0
        return held_out.clips if bears_text else None

    @cached_property
    def held_out(self) -> tuple[ClipStage, Split | None]:
        """Clean captioned clips that no generator saw, and the split that holds them."""
        if self.inputs.corpus_root is not None:
            return self.clean, "val"
        corpus = OphVLSim(**dict(self.config.quality.corpus), **self.common)
        return self._clean(self._curate(corpus)), None
