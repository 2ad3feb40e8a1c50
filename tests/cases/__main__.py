"""Inputs as public bug reports describe them, through the commands: `make cases`.

    python -m tests.cases [CASE ...] [--makers DIR] [--work DIR]

DIR of --makers holds a folder a case with `make.py` (writes the input) and `expected.txt` (what a
user expects, which `tests/cases/table.py` checks). A case is named by the start of its name: `07`.
Exit code 1 if a case fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cases.kit import ROOT, Kit, Skipped
from tests.cases.table import CASES

Case = Callable[[Kit], None] | None


def run_case(case: Case, kit: Kit) -> tuple[bool, str]:
    """Whether a case ends as it must (or cannot be run here), and what is said of it."""
    if not kit.maker.is_dir():
        return True, f"skipped: no {kit.maker}"
    if case is None:
        return True, "skipped: no check is written"
    start = time.monotonic()
    try:
        case(kit)
    except Skipped as reason:
        return True, f"skipped: {reason}"
    except AssertionError as error:
        return False, f"FAILED: {error}"
    return True, f"ok ({time.monotonic() - start:.0f} s)"


def run_cases(cases: Mapping[str, Case], makers: Path, work: Path) -> list[str]:
    """Run the cases in turn, say how each ends, return the names of those that fail."""
    failed = []
    for name, case in cases.items():
        fine, said = run_case(case, Kit(makers / name, work / name))
        print(f"{name}: {said}", flush=True)
        failed += [] if fine else [name]
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run."""
    command = argparse.ArgumentParser(prog="python -m tests.cases", description=__doc__)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_argument("cases", nargs="*", metavar="CASE", help="all, if none is named")
    command.add_argument("--makers", type=Path, default=ROOT.parent / "shared" / "cases")
    command.add_argument("--work", type=Path, help="an empty folder; default: one that is removed")
    options = command.parse_args(arguments)
    wanted = tuple(options.cases) or ("",)
    chosen = {name: case for name, case in CASES.items() if name.startswith(wanted)}
    if not chosen:
        command.error(f"no case {', '.join(wanted)}: known: {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as temporary:
        failed = run_cases(chosen, options.makers.resolve(), options.work or Path(temporary))
    print(f"{len(chosen)} cases, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
