"""A taxonomy: what clips are classified as, and how classes belong together. One YAML file.

    name: My hospital
    classes:
      phase:
        - {name: Incision, prompts: [a blade cuts the cornea]}
        - {name: Idle, promptless: true}

Prompts stand with their classes or, by class id, in a second document of the file; they are read by
`augment.prompts.PromptBook`. `augment/taxonomies/` holds those that come with the suite.
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import pydantic
import yaml

from core.errors import UserError, did_you_mean
from core.files import NEXT_DOCUMENT

Task: TypeAlias = Literal["phase", "operation"]
TASKS: Final[tuple[Task, ...]] = ("phase", "operation")
TAXONOMY_ROOT: Final = Path(__file__).parents[2] / "augment" / "taxonomies"
DEFAULT: Final = "ophnet2024"
LEAST_CLASSES: Final = 6  # top-5 of five classes is always right


class Strict(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What refuses keys that it does not know."""


class LabelClass(Strict):
    """A class; its id is its place in the list."""

    name: str = pydantic.Field(min_length=1)
    """In tables, and as a folder of a user's own clips."""
    also: tuple[str, ...] = ()
    """Other names that annotation files have for it."""
    phase: int | str | None = None
    """Of an operation: its phase, by name or id."""
    of_many_phases: bool = False
    """Of an operation: filed under several phases, so that no guess of a phase is right; `phase`
    says which one is asked for with its prompts."""
    prompts: tuple[str, ...] = ()
    """What generators are asked for."""
    promptless: bool = False
    """The class shows nothing that a prompt could say; without prompts, it gets no clips."""
    clips: tuple[int, int, int] | None = None
    """How many train, val and test have, in the published splits."""


class Taxonomy(Strict):
    """Classes of up to two levels, phases and operations, and their prompts."""

    name: str = pydantic.Field(min_length=1)
    """In messages and notes."""
    classes: dict[Task, tuple[LabelClass, ...]] = pydantic.Field(min_length=1)
    """By task."""
    few_classes: bool = False
    """Two to five classes are meant: top-1 and F1 are to be read, top-5 says nothing."""
    path: Path
    """The file that it was read from, and where its prompts are; not part of what it is."""
    sha256: str
    """Of the file's text."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taxonomy) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @pydantic.model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        least = 2 if self.few_classes else LEAST_CLASSES
        for task, members in self.classes.items():
            if len(members) < least:
                raise ValueError(
                    f"{task}: {len(members)} classes: give {least} at least, as top-5 of fewer "
                    "than six says nothing, unless the file says few_classes: true"
                )
            seen: dict[str, int] = {}
            for class_id, member in enumerate(members):
                for name in (member.name, *member.also):
                    if seen.setdefault(plain(name), class_id) != class_id:
                        raise ValueError(
                            f"{task}: two classes have the name {name!r} (case and punctuation do "
                            "not tell them apart): rename one"
                        )
        return self

    @pydantic.model_validator(mode="after")
    def _operations_have_phases(self) -> Self:
        if "phase" not in self.classes:
            raise ValueError(
                "classes: give phases; operations are parts of them, where there are any"
            )
        for member in self.classes.get("operation", ()):
            where = f"operation {member.name!r}"
            if member.phase is None:
                raise ValueError(f"{where}: name its phase")
            if self.class_id("phase", member.phase) is None:
                hint = did_you_mean(str(member.phase), self.names("phase"))
                raise ValueError(f"{where}: no phase {member.phase!r}: {hint}")
        for member in self.classes["phase"]:
            if member.prompts and "operation" in self.classes:
                raise ValueError(
                    f"phase {member.name!r}: its prompts are those of its operations: move them"
                )
        for phase, operations in zip(self.names("phase"), self.leaves_of("phase"), strict=True):
            if not operations:
                raise ValueError(f"phase {phase!r}: no operation belongs to it: add one")
        return self

    @classmethod
    def load(cls, name: str | Path) -> Taxonomy:
        """By the name of one that comes with the suite, or by path.

        Raises: UserError: one line, if there is no such file or it is no valid taxonomy.
        """
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            path, known = TAXONOMY_ROOT / f"{name}.yaml", taxonomy_names()
            if str(name) not in known:
                raise UserError(f"taxonomy {name}: {did_you_mean(str(name), known)} Or give a path")
        try:
            text = path.read_text(encoding="utf-8-sig")
            raw = yaml.load(text.partition(NEXT_DOCUMENT)[0], _loader(path))
            given = {"classes": _classes(raw), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            return cls(path=path.resolve(), **(raw | given))
        except OSError as error:
            raise UserError(f"taxonomy {path}: {error.strerror}: name another file") from None
        except pydantic.ValidationError as error:
            raise UserError(f"taxonomy {path}: {_fault(error)}") from None
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise UserError(f"taxonomy {path}: {' '.join(str(error).split())}") from None

    def names(self, task: Task) -> tuple[str, ...]:
        """Of the task's classes, by id."""
        return tuple(member.name for member in self.classes[task])

    def num_classes(self, task: Task) -> int:
        """How many classes the task has, which is how many outputs a classifier has."""
        return len(self.classes[task])

    def class_id(self, task: Task, label: int | str) -> int | None:
        """The id of a class by id or by a name that it has; None if there is none."""
        if isinstance(label, int):
            return label if 0 <= label < self.num_classes(task) else None
        wanted = plain(label)
        for class_id, member in enumerate(self.classes[task]):
            if wanted in (plain(member.name), *map(plain, member.also)):
                return class_id
        return None

    def parents(self, task: Task) -> tuple[int | None, ...] | None:
        """The phase of each operation, None for one of many phases; None where classes have no
        parents."""
        if task == "phase":
            return None
        return tuple(
            None if member.of_many_phases else self._phase_of(member)
            for member in self.classes["operation"]
        )

    def leaves_of(self, task: Task) -> tuple[tuple[int, ...], ...]:
        """Ids of the operations of each class of the task; each class's own where the taxonomy has
        one level. Prompts belong to leaves."""
        if task == "operation" or "operation" not in self.classes:
            return tuple((class_id,) for class_id in range(self.num_classes(task)))
        found: list[list[int]] = [[] for _ in self.classes[task]]
        for leaf, member in enumerate(self.classes["operation"]):
            found[self._phase_of(member)].append(leaf)
        return tuple(map(tuple, found))

    def _phase_of(self, member: LabelClass) -> int:
        phase = None if member.phase is None else self.class_id("phase", member.phase)
        assert phase is not None  # _operations_have_phases
        return phase

    @property
    def is_default(self) -> bool:
        """Whether it is OphNet2024's, which the simulator draws and the paper's numbers are of."""
        return self == default_taxonomy()


def taxonomy_names() -> list[str]:
    """Of those that come with the suite."""
    return sorted(path.stem for path in TAXONOMY_ROOT.glob("*.yaml"))


@functools.cache
def default_taxonomy() -> Taxonomy:
    """OphNet2024's."""
    return Taxonomy.load(DEFAULT)


def _loader(path: Path) -> Any:
    """The fast one for files that are known; of a stranger's, it dies of a thousand brackets."""
    slow = yaml.loader.SafeLoader
    return getattr(yaml, "CSafeLoader", slow) if path.parent == TAXONOMY_ROOT else slow


def _classes(raw: Any) -> dict[Task, tuple[LabelClass, ...]]:
    """Raises: ValueError: if the file has another form."""
    if not isinstance(raw, dict) or not isinstance(raw.get("classes"), dict):
        raise ValueError("expected `name` and `classes`, with a list of classes for each task")
    if "path" in raw or "sha256" in raw:
        raise ValueError("unknown key: a file has `name` and `classes`")
    found: dict[Task, tuple[LabelClass, ...]] = {}
    for task, members in raw["classes"].items():
        if task not in TASKS:
            raise ValueError(f"classes: unknown task {task!r}: {did_you_mean(str(task), TASKS)}")
        if not isinstance(members, list):
            raise ValueError(f"classes.{task}: expected a list of classes")
        entries = ({"name": each} if isinstance(each, str) else each for each in members)
        found[task] = tuple(map(LabelClass.model_validate, entries))
    return found


def plain(name: str) -> str:
    """What two spellings of a name have in common: letters and digits without regard to case."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def _fault(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f" (got {first['input']!r})"
    return f"{place}: {message}{given}" if place else message
