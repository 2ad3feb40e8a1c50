"""A second data set for testing, and what its labels are called in training.

    taxonomy: cataract_101      # of the test set's labels
    phase:                      # test label: class of the run
      Incision: Corneal Incision Creation
    dropped:
      phase: [Tonifying and antibiotics]

mapping file + both taxonomies -> class of the run by id of the test label -> relabelled clips
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.labels import Task, Taxonomy
from core.clip import MANIFEST_NAME
from core.errors import UserError, did_you_mean
from core.stage import ClipStage

MAPPING_NAME = "mapping.yaml"
NAMED = 3  # of the labels that a mapping leaves out, in its message
Label = int | str


class LabelMapping(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A mapping file. Labels and classes by name or id."""

    taxonomy: str
    phase: dict[Label, Label] = {}
    operation: dict[Label, Label] = {}
    dropped: dict[Task, tuple[Label, ...]] = {}

    @classmethod
    def load(cls, path: Path) -> LabelMapping:
        """Raises: UserError: one line, if the file is missing or no mapping."""
        try:
            raw = yaml.load(path.read_text(encoding="utf-8-sig"), yaml.loader.SafeLoader)
            return cls.model_validate(raw)
        except OSError as error:
            raise UserError(f"mapping {path}: {error.strerror}: name another file") from None
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(f"mapping {path}: {place}: {first['msg']}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(f"mapping {path}: {' '.join(str(error).split())}") from None

    def classes_of(
        self, task: Task, theirs: Taxonomy, ours: Taxonomy, where: Path
    ) -> tuple[int | None, ...]:
        """The class of the run by id of the test label; None where it is dropped.

        Raises: UserError: for a label or class that there is none of, a label given twice, labels
        of which nothing is said, or if all are dropped.
        """
        given: Mapping[Label, Label] = self.phase if task == "phase" else self.operation
        if task not in theirs.classes:
            raise UserError(f"mapping {where}: {theirs.name} has no classes of the task {task}")
        found: dict[int, int | None] = {}
        for label, target in given.items():
            our_id = _id_of(ours, task, target, f"mapping {where}: {task} {label!r}")
            _note(found, theirs, task, label, our_id, where)
        for label in self.dropped.get(task, ()):
            _note(found, theirs, task, label, None, where)
        names = theirs.names(task)
        silent = [name for class_id, name in enumerate(names) if class_id not in found]
        if silent:
            shown = ", ".join(map(repr, silent[:NAMED])) + (", ..." if silent[NAMED:] else "")
            raise UserError(
                f"mapping {where}: says nothing of {len(silent)} of {len(names)} {task} labels of "
                f"{theirs.name} ({shown}): give each a class, or list it under dropped.{task}"
            )
        if all(our_id is None for our_id in found.values()):
            raise UserError(f"mapping {where}: drops every {task} label: map one at least")
        return tuple(found[class_id] for class_id in range(len(names)))


def _note(
    found: dict[int, int | None],
    theirs: Taxonomy,
    task: Task,
    label: Label,
    our_id: int | None,
    where: Path,
) -> None:
    their_id = _id_of(theirs, task, label, f"mapping {where}")
    if their_id in found:
        raise UserError(f"mapping {where}: {task} {label!r} is there twice: keep one")
    found[their_id] = our_id


def _id_of(taxonomy: Taxonomy, task: Task, label: Label, where: str) -> int:
    class_id = taxonomy.class_id(task, label)
    if class_id is None:
        hint = did_you_mean(str(label), taxonomy.names(task))
        raise UserError(f"{where}: {taxonomy.name} has no {task} {label!r}: {hint}")
    return class_id


class Relabelled(ClipStage):
    """All clips of another data set, whatever their split there, as test clips with the run's
    classes.

    class_of: by class id of the data set, the run's class id; None drops the clips.
    """

    clips: LabelledClips
    class_of: tuple[int | None, ...]

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if every clip is dropped."""
        manifest, task = self.clips.manifest(), self.clips.task
        kept = []
        for clip in manifest.clips:
            label = self.class_of[clip.label(task)]
            if label is not None:
                kept.append(clip.labelled(task, label).model_copy(update={"split": "test"}))
        if not kept:
            raise UserError(f"--test-root {manifest.root}: the mapping drops all of its clips")
        manifest.keep(kept).save(folder / MANIFEST_NAME)
        return {
            "clips": len(kept),
            "cases": len({clip.video_id for clip in kept}),
            "classes": len({clip.label(task) for clip in kept}),
            "dropped": len(manifest) - len(kept),
        }
