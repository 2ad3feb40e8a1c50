"""Which numbers of two runs may stand side by side: those with one passport.

A number's passport says how it was measured: protocol, encoder by its hash, number of clips.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.tables.schema import Metric, Table1
from core.errors import UserError

FIELDS = ("encoder", "encoder_sha256", "n", "num_frames", "width", "height", "fps", "codec")
NAMES = {"encoder_sha256": "encoder hash", "num_frames": "frames", "fps": "frames a second"}
CURE = "compare runs that were measured alike, or measure one of them again"
SHOWN = 12  # characters of a hash


def refuse_unlike(tables: Mapping[str, Table1], tested: Mapping[str, Mapping[str, Any]]) -> None:
    """Look at every two runs.

    Args: tables: Table 1 by run; tested: by run, its data's name and, by task, the numbers of test
    clips and cases.
    Raises: UserError: naming both runs, the number and what differs, for the first two numbers that
    would stand side by side and were measured differently. A field that a run does not have is no
    difference.
    """
    for (one, first), (other, second) in itertools.combinations(tables.items(), 2):
        for what, a, b in _differences(first, second):
            raise UserError(
                f"--compare: {what} is {_text(a)} in {one} and {_text(b)} in {other}: {CURE}"
            )
    for (one, here), (other, there) in itertools.combinations(tested.items(), 2):
        if here["data"] != there["data"]:
            continue  # other data, which the comparison says; nobody takes them for the same
        for task in here["n"].keys() & there["n"].keys():
            if here["n"][task] != there["n"][task]:
                sizes = [
                    f"{n[0]:,} clips of {n[1]} cases" for n in (here["n"][task], there["n"][task])
                ]
                raise UserError(
                    f"--compare: Table 2, {task}: n is {sizes[0]} of {here['data']} in {one} and "
                    f"{sizes[1]} in {other}: {CURE}"
                )


def _differences(first: Table1, second: Table1) -> Iterator[tuple[str, Any, Any]]:
    """What of the tables differs, the least words first."""
    pairs = [
        (row, other) for row in first.rows for other in second.rows if row.model == other.model
    ]
    for row, other in pairs or [(first.rows[0], second.rows[0])]:
        for name in row.metrics.keys() & other.metrics.keys():
            for field, a, b in _unlike(row.metrics[name], other.metrics[name]):
                yield f"Table 1, {name}: {NAMES.get(field, field)}", a, b
    if first.protocol != second.protocol:
        yield "Table 1: the protocol", first.protocol, second.protocol


def _unlike(one: Metric, other: Metric) -> Iterator[tuple[str, Any, Any]]:
    for field in FIELDS:
        a, b = getattr(one, field), getattr(other, field)
        if a is not None and b is not None and a != b:
            yield field, a, b


def _text(value: Any) -> str:
    return value[:SHOWN] if isinstance(value, str) and len(value) == 64 else str(value)
