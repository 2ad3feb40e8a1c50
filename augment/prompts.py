"""Text prompts per class, from a taxonomy's file: what the generators are asked for.

operation -> its own prompts
phase     -> prompts of its operations, taken in turn
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic
import yaml

from core.errors import UserError
from core.files import NEXT_DOCUMENT, sha256_of_file

PROMPTS_PATH: Final = Path(__file__).parent / "taxonomies" / "ophnet2024.yaml"
_GROUP: Final = re.compile("(promptless|on_request)_(.+)s")

# Which classes get synthetic clips.
#   paper       those that Ophora's paper counts, 52 phases and 106 operations: all but operation
#               106, "Others"
#   all         that one too
#   promptable  those that name a surgical action; the others (OphNet's Step Interval,
#               Non-functional Segment and Others: phases 2, 3, 51 and operations 1, 2, 106) keep
#               their real clips alone
# Where a class names no action, the prompts are our description of what such a clip shows: the
# paper does not say how it generated these classes.
PromptPolicy = Literal["paper", "all", "promptable"]

Prompt = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1)]
Prompts = Annotated[tuple[Prompt, ...], pydantic.Field(min_length=1)]


class PromptBook(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Prompts by operation id; by task, the classes for which a prompt says nothing surgical
    (`promptless`) and those that only the policy "all" makes clips of (`on_request`).

    A book of another data set is another yaml file with `operations` and, for every task that has
    such classes, `promptless_<task>s` and `on_request_<task>s`.
    """

    operations: dict[int, Prompts]
    """By operation id; by phase id where a taxonomy has no operations."""
    promptless: dict[str, frozenset[int]] = {}
    """By task: classes that show nothing which a prompt could say."""
    on_request: dict[str, frozenset[int]] = {}
    """By task: classes that only the policy "all" makes clips of."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _groups_by_task(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        book: dict[str, Any] = {}
        for key, value in data.items():
            if name := _GROUP.fullmatch(str(key)):
                book.setdefault(name[1], {})[name[2]] = value
            else:
                book[key] = value
        return book

    @pydantic.model_validator(mode="after")
    def _prompts_are_distinct(self) -> PromptBook:
        seen: dict[str, int] = {}
        for operation_id, prompts in self.operations.items():
            for prompt in prompts:
                if prompt in seen:
                    raise ValueError(
                        f"operations {seen[prompt]} and {operation_id} share the prompt "
                        f"{prompt!r}: no generator could tell them apart"
                    )
                seen[prompt] = operation_id
        return self

    @classmethod
    def load(cls, path: Path | str = PROMPTS_PATH) -> PromptBook:
        """Read a book.  Raises: UserError: if the file is missing or is no valid book."""
        try:
            text = Path(path).read_text(encoding="utf-8")
            return cls.parse(text.rpartition(NEXT_DOCUMENT)[2])
        except FileNotFoundError:
            raise UserError(f"{path}: no such prompt file") from None
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"{part}: " for part in first["loc"])
            fault = place + first["msg"].removeprefix("Value error, ")
            raise UserError(f"{path}: not a valid prompt file: {fault}") from None
        except (yaml.YAMLError, ValueError) as error:
            fault = " ".join(str(error).split())
            raise UserError(f"{path}: not a valid prompt file: {fault}") from None

    @classmethod
    def parse(cls, text: str) -> PromptBook:
        """A book from YAML.  Raises: ValueError, yaml.YAMLError: if it is none."""
        raw = yaml.safe_load(text)
        with_classes = isinstance(raw, dict) and "classes" in raw
        return cls.model_validate(_of_classes(raw["classes"]) if with_classes else raw)

    def operation_prompts(self, operation_id: int) -> tuple[str, ...]:
        """All prompts of one operation.  Raises: UserError: if the book has none."""
        try:
            return self.operations[operation_id]
        except KeyError:
            known = f"{len(self.operations)} operations"
            raise UserError(
                f"operation {operation_id}: no prompt in a book of {known}: add it to the yaml"
            ) from None

    def silent(self, task: str, operations_of_class: Sequence[Sequence[int]]) -> list[int]:
        """Ids of the classes that should have prompts and have none.  Args: by class id."""
        return [
            class_id
            for class_id, operations in enumerate(operations_of_class)
            if class_id not in self.promptless.get(task, ())
            and not any(operation in self.operations for operation in operations)
        ]

    def is_left_out(self, task: str, class_id: int, policy: PromptPolicy) -> bool:
        """Whether the policy makes no clips of a class."""
        if policy == "promptable":
            return class_id in self.promptless.get(task, ())
        return policy == "paper" and class_id in self.on_request.get(task, ())

    def prompts_for(
        self,
        task: str,
        class_id: int,
        operations_of_class: Sequence[int],
        policy: PromptPolicy = "paper",
    ) -> tuple[str, ...]:
        """The prompts that synthesise a class; empty if `policy` leaves the class out.

        Args: operations_of_class: operation ids filed under the class (for an operation: itself).
        A phase follows its operations and not its name: OphNet's "Placement of Eyelid Speculum"
        (43) mostly shows the speculum's removal (operation 85). The first prompts of all
        operations come before the second ones, so that few clips still cover every operation.
        A promptless class that has no prompts is left out by every policy.
        Raises: UserError: if an operation has no prompt, or `operations_of_class` is empty.
        """
        if self.is_left_out(task, class_id, policy):
            return ()
        if not operations_of_class:
            raise UserError(f"{task} {class_id}: no operation belongs to it, so it has no prompt")
        if class_id in self.promptless.get(task, ()) and not any(
            operation in self.operations for operation in operations_of_class
        ):
            return ()
        columns = [self.operation_prompts(operation) for operation in operations_of_class]
        rounds = zip_longest(*columns)
        return tuple(prompt for row in rounds for prompt in row if prompt is not None)


def _of_classes(classes: Any) -> dict[str, Any]:
    """A book from classes that have their prompts beside them (`benchmarks.datasets.labels`)."""
    entries = {
        task: [each if isinstance(each, dict) else {} for each in members]
        for task, members in classes.items()
    }
    leaves = entries.get("operation", entries.get("phase", []))
    return {
        "operations": {leaf: e["prompts"] for leaf, e in enumerate(leaves) if e.get("prompts")},
        "promptless": {
            task: [class_id for class_id, each in enumerate(members) if each.get("promptless")]
            for task, members in entries.items()
        },
    }


def hash_of_prompts(path: Path) -> str:
    """sha256 of what decides the prompts: of the document that holds them by class id, else of the
    whole file, whose classes they stand with."""
    _, separator, prompts = path.read_bytes().rpartition(NEXT_DOCUMENT.encode())
    return hashlib.sha256(prompts).hexdigest() if separator else sha256_of_file(path)
