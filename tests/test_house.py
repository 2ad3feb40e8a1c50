"""The house: rooms, floors and imports that run one way; modules and functions of a readable size,
modules of tests too.

A room is a lone module or a folder (of benchmarks/: a folder in it); a floor is the longest chain
of imports below a room.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.command import ROOT

HOUSE = ("core", "generator", "augment", "classifiers", "benchmarks", "run_benchmark")
ROOMS, FLOORS = 22, 11
MODULE_LINES, FUNCTION_LINES = 300, 60


@cache
def modules() -> dict[str, Path]:
    """Every module of the house by its dotted name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in HOUSE:
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Names of the modules that a module imports, anywhere in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in modules() else node.module


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "benchmarks" else 1])


@cache
def rooms() -> dict[str, set[str]]:
    """The rooms that each room imports from."""
    below: dict[str, set[str]] = {}
    for module, path in modules().items():
        if module != "benchmarks":  # which only has a docstring
            used = {room_of(name) for name in imports_of(path) if name in modules()}
            below.setdefault(room_of(module), set()).update(used - {room_of(module)})
    return below


def floor_of(room: str, above: tuple[str, ...] = ()) -> int:
    assert room not in above, f"imports in a circle: {' -> '.join((*above, room))}"
    return 1 + max((floor_of(other, (*above, room)) for other in rooms()[room]), default=0)


def test_the_house_has_few_rooms_and_floors_and_no_import_runs_back_up() -> None:
    assert len(rooms()) <= ROOMS, sorted(rooms())
    floors = {room: floor_of(room) for room in rooms()}  # a circle has no floor
    assert max(floors.values()) <= FLOORS, floors


def test_no_module_and_no_function_is_long() -> None:
    long = []
    for path in (*modules().values(), *(ROOT / "tests").rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MODULE_LINES:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
    for module, path in modules().items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{module}.{node.name}: {lines} lines")
    assert not long, "\n".join(long)
