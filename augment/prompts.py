"""Text prompts per class, from `prompts.yaml`: what the generators are asked for.

operation -> its own prompts
phase     -> prompts of its operations, taken in turn
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic
import yaml

from core.errors import UserError

PROMPTS_PATH: Final = Path(__file__).with_name("prompts.yaml")
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
    promptless: dict[str, frozenset[int]] = {}
    on_request: dict[str, frozenset[int]] = {}

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
            return cls.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(f"{path}: no such prompt file") from None
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"{path}: not a valid prompt file: {error}") from None

    def operation_prompts(self, operation_id: int) -> tuple[str, ...]:
        """All prompts of one operation.  Raises: UserError: if the book has none."""
        try:
            return self.operations[operation_id]
        except KeyError:
            known = f"{len(self.operations)} operations"
            raise UserError(
                f"operation {operation_id}: no prompt in a book of {known}: add it to the yaml"
            ) from None

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
        Raises: UserError: if an operation has no prompt, or `operations_of_class` is empty.
        """
        if self.is_left_out(task, class_id, policy):
            return ()
        if not operations_of_class:
            raise UserError(f"{task} {class_id}: no operation belongs to it, so it has no prompt")
        columns = [self.operation_prompts(operation) for operation in operations_of_class]
        rounds = zip_longest(*columns)
        return tuple(prompt for row in rounds for prompt in row if prompt is not None)
