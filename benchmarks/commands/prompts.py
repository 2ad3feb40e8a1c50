"""What a generator is asked for, as csv: for those who make clips with one of their own.

    python -m benchmarks.commands.prompts --config ophnet_phase > prompts.csv

One line for each clip that the suite's own generators make: class id and name, prompt, seed. Clips
made from it, in one folder per class id, are a source of Table 2 (docs/tutorial.md).
"""

from __future__ import annotations

import argparse
import csv
import sys
from typing import TextIO

from augment.prompts import PromptBook
from augment.synthesis import class_requests
from benchmarks.config.files import load_config
from benchmarks.config.schema import BenchmarkConfig
from core.errors import exit_code

COLUMNS = ("class_id", "class_name", "clip", "prompt", "seed")


def write_prompts(config: BenchmarkConfig, stream: TextIO) -> None:
    """The clips of the configuration's first task, a line each under `COLUMNS`."""
    task, writer = config.tasks[0], csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    taxonomy = config.taxonomy
    book, leaves = PromptBook.load(taxonomy.path), taxonomy.leaves_of(task)
    for request in class_requests(book, task, leaves, config.synthesis):
        class_id = request.labels[task]
        name = taxonomy.names(task)[class_id]
        writer.writerow([class_id, name, request.clip_id, request.prompt, request.seed])


def main() -> int:
    """Parse, write, translate errors into exit codes."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--config", required=True, help="see run_benchmark.py --list")
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="A.B=C")
    options = command.parse_args()
    return exit_code(lambda: write_prompts(load_config(options.config, options.set), sys.stdout))


if __name__ == "__main__":
    sys.exit(main())
