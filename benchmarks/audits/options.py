"""The options that the audits of a configuration share."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser(doc: str | None, *, own_data: bool) -> argparse.ArgumentParser:
    """--config, --set and --results, as in run_benchmark.py.

    Args: doc: the module's docstring, whose first line is shown; own_data: --data-root and
    --corpus-root as well.
    """
    command = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    command.add_argument("--config", required=True, metavar="NAME_OR_PATH")
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="A.B=C")
    command.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    if own_data:
        command.add_argument("--data-root", type=Path, metavar="DIR")
        command.add_argument("--corpus-root", type=Path, metavar="DIR")
    return command
