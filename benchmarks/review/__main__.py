"""`python -m benchmarks.review build|aggregate`: see the package."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from benchmarks.review import __doc__ as description
from benchmarks.review.answers import load_key, read_answers
from benchmarks.review.kit import CRITERIA_PATH, PAGE_NAME, Choice, Criteria, build_kit
from benchmarks.review.summary import write_review
from core.errors import UserError, exit_code

REAL = "Real"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="python -m benchmarks.review",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = command.add_subparsers(required=True)
    build = commands.add_parser("build", help="make a kit from the clips of a run's sources")
    add = build.add_argument
    add("--config", required=True, help="whose sources and sizes; see run_benchmark.py --list")
    add("--sources", nargs="+", metavar="NAME", help="of the run, or NAME=DIR of videos")
    add("--data-root", type=Path, metavar="DIR", help="labelled data in OphNet2024's layout")
    add("--results", type=Path, default=Path("results"), help="where the run's clips are")
    add("--set", nargs="+", action="extend", default=[], metavar="A.B=C", help="change a value")
    add("--classes", type=int, default=12, metavar="N", help="how many classes, commonest first")
    add("--clips", type=int, default=50, metavar="N", help="clips of each class and source")
    add("--seed", type=int, default=0, help="which clips")
    add("--criteria", type=Path, default=CRITERIA_PATH, metavar="FILE", help="what is scored")
    add("--output", type=Path, required=True, metavar="DIR", help="the kit's folder")
    build.set_defaults(run=run_build)
    aggregate = commands.add_parser("aggregate", help="read the reviewers' files")
    aggregate.add_argument("kit", type=Path, help="the kit's folder, with its key")
    aggregate.add_argument("answers", type=Path, nargs="+", help="files that the page exported")
    aggregate.add_argument("--output", type=Path, metavar="DIR", help="default: the kit's folder")
    aggregate.set_defaults(run=run_aggregate)
    return command


def run_build(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    changes = list(options.set)
    if options.sources:
        changes.append(f"sources=[{', '.join(options.sources)}]")
    criteria = Criteria.load(options.criteria)
    plan = Plan(load_config(options.config, changes), Inputs(options.results, options.data_root))
    plan.check()
    task = plan.config.tasks[0]
    if min(options.classes, options.clips) < 1:
        raise UserError("--classes and --clips: at least 1 of each")
    manifests = {REAL: plan.data.labelled[task].manifest().of_split("test")}
    for arm, clips in plan.arms.synthetic[task].items():
        manifests[arm.name] = clips.manifest()
    choice = Choice(task, options.classes, options.clips, options.seed)
    names, shape = plan.config.taxonomy.names(task), plan.config.clip
    key = build_kit(options.output, manifests, names, choice, shape, criteria)
    counts = Counter(item.source for item in key.items)
    shown = ", ".join(f"{counts[source]} {source}" for source in manifests)
    print(
        f"{len(key.items)} clips ({shown}): give reviewers {options.output} "
        f"without its key.json; they open {PAGE_NAME}"
    )


def run_aggregate(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    review = read_answers(load_key(options.kit), options.answers)
    print(write_review(review, options.output or options.kit))


def main() -> int:
    """Parse, run, translate errors into exit codes."""
    options = parser().parse_args()
    return exit_code(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
