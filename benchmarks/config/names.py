"""Names that a configuration gives: of runs, arms and rows."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import get_args

from classifiers.recipe import Schedule

# Of a path: dots alone would lead out of the results folder.
PART = r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*"
ONE_CASE = "upper and lower case count as one"


def is_own(name: str, taken: Collection[str]) -> bool:
    """Whether a name can be an arm's: a file's, which no other arm has and no schedule of one."""
    free = name.lower() not in {other.lower() for other in taken}
    of_schedule = name.lower().endswith(tuple(f"-{schedule}" for schedule in get_args(Schedule)))
    return free and not of_schedule and re.fullmatch(PART, name) is not None
