"""The external test: a second data set that every classifier of Table 2 is tested on as well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.datasets.external import MAPPING_NAME, LabelMapping, Relabelled
from benchmarks.datasets.families import read_at
from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.labels import Task, Taxonomy
from benchmarks.plan.data import Data
from classifiers.external_test import ExternalTest
from classifiers.training import ClassifierTraining
from core.errors import UserError


@dataclass(frozen=True)
class External:
    """Stages of the external test."""

    data: Data

    @property
    def root(self) -> Path | None:
        """The second data set's folder; None where the user names none."""
        return self.data.inputs.test_root

    @cached_property
    def mapping(self) -> Path | None:
        """The file that says which class each of its labels is; None: they are the run's own.

        Raises: UserError: if one is given without a data set.
        """
        given, root = self.data.inputs.test_mapping, self.root
        if root is None and given is not None:
            raise UserError(f"--test-mapping {given}: give --test-root DIR as well")
        if given is None and root is not None and (root / MAPPING_NAME).is_file():
            return root / MAPPING_NAME
        return given

    @cached_property
    def clips(self) -> dict[Task, Relabelled]:
        """Its clips with the run's classes, by task; none without a second data set.

        Raises: UserError: for its folder, its labels or its mapping.
        """
        mapping, root, config = self.mapping, self.root, self.data.config
        if root is None:
            return {}
        if not root.is_dir():
            raise UserError(f"--test-root {root}: no such folder")
        own = self.data.inputs.data_root
        if own is not None and own.resolve() == root.resolve():
            raise UserError(f"--test-root {root}: is --data-root: name a set of other cases")
        ours = config.taxonomy
        said = None if mapping is None else LabelMapping.load(mapping)
        theirs = ours if said is None else Taxonomy.load(said.taxonomy)
        found = {}
        for task in config.tasks:
            class_of: tuple[int | None, ...] = tuple(range(ours.num_classes(task)))
            if said is not None and mapping is not None:
                class_of = said.classes_of(task, theirs, ours, mapping)
            found[task] = Relabelled(
                clips=self._read(root, task, theirs), class_of=class_of, **self.data.common
            )
        return found

    def _read(self, root: Path, task: Task, theirs: Taxonomy) -> LabelledClips:
        try:
            return read_at(root, task=task, taxonomy=theirs, **self.data.hashing)
        except UserError as error:
            cure = "" if self.mapping else f" (or give a mapping: {MAPPING_NAME}, --test-mapping)"
            raise UserError(f"--test-root: {error}{cure}") from None

    def test_of(self, task: Task, classifier: ClassifierTraining) -> ExternalTest | None:
        """A training's test on it; None without a second data set."""
        if task not in self.clips:
            return None
        return ExternalTest(classifier=classifier, clips=self.clips[task], **self.data.common)
