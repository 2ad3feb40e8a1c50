"""What a stage leaves out: counted by cause, said once, refused where it is more than an accident.

Each stage that can lose an input returns `left_out` in its result:
`{cause: {"number": 3, "examples": ["a.mp4: the file is empty", ...]}}`, `{}` if nothing was lost.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import UserError

SHARE = 0.01  # of the inputs; one input may always be lost
EXAMPLES = 5

LeftOut = dict[str, dict[str, Any]]
Causes = Mapping[str, Sequence[str]]  # the inputs that each cause cost, by name


def check_left_out(
    causes: Causes, total: int, *, what: str, cure: str, share: float = SHARE
) -> None:
    """The policy for damaged and missing inputs: one, or `share` of them, may be left out.

    Args: total: of the inputs, those left out included. what: these are, and of what ("videos of
    /data"). cure: what to do about it.
    Raises: UserError: if more than that, or all of them, are left out.
    """
    number = sum(map(len, causes.values()))
    if number and (number == total or (number > 1 and number > share * total)):
        raise UserError(f"{_sentence(counted(causes), total, what, 'would be left out')}; {cure}")


def note_left_out(
    causes: Causes, total: int, *, what: str, cure: str, share: float = SHARE
) -> LeftOut:
    """As `check_left_out`; what may be left out is said on the terminal and returned for the
    stage's result."""
    check_left_out(causes, total, what=what, cure=cure, share=share)
    found = counted(causes)
    if found:
        said = _sentence(found, total, what, "left out")
        print(f"warning: {said}", file=sys.stderr, flush=True)
    return found


def counted(causes: Causes) -> LeftOut:
    """Numbers and examples by cause; causes that cost nothing are no causes."""
    return {
        cause: {"number": len(names), "examples": list(names[:EXAMPLES])}
        for cause, names in causes.items()
        if names
    }


def _sentence(found: LeftOut, total: int, what: str, verb: str) -> str:
    parts = []
    for cause, entry in found.items():
        names, more = entry["examples"], entry["number"] - len(entry["examples"])
        shown = ", ".join(names) + (f" and {more} more" if more else "")
        parts.append(f"{cause} ({entry['number']}: {shown})")
    number = sum(entry["number"] for entry in found.values())
    return f"{number} of {total} {what} {verb}: {', '.join(parts)}"
