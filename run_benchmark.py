"""The command: config -> plan -> run -> tables.

    python run_benchmark.py --config ophnet_phase
    python run_benchmark.py --config ophnet_phase --data-root OphNet2024 --sources source mine=DIR

From Python: `run` (docs/from_python.md).

Exit codes: 0 done; 2 the input is wrong (one line says what to change); 130 interrupted; 1 our
fault (traceback).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.config.schema import BenchmarkConfig
    from benchmarks.plan import Inputs
    from benchmarks.run import Outcome


def parser() -> argparse.ArgumentParser:
    """The command line; `docs/` and the tests hold its options fixed."""
    command = argparse.ArgumentParser(
        prog="run_benchmark.py",
        description="Does synthetic surgical video make a classifier better? Measures it.",
    )
    add = command.add_argument
    add("--config", metavar="NAME_OR_PATH", help="a configuration (see --list) or a YAML file")
    add("--data-root", type=Path, metavar="DIR", help="labelled data in OphNet2024's layout")
    add("--corpus-root", type=Path, metavar="DIR", help="narrated clips: clips.csv and clips/")
    add("--test-root", type=Path, metavar="DIR", help="a second labelled data set to test on")
    add("--test-mapping", type=Path, metavar="FILE", help="its labels; else DIR/mapping.yaml")
    add("--sources", nargs="+", metavar="NAME", help="source, bora, ophora, or NAME=DIR of videos")
    add("--rows", nargs="+", metavar="NAME", help="of Table 1: lvdm, ..., or NAME=DIR of clips")
    add("--classifiers", nargs="+", metavar="NAME", help="slowfast, mvit_v2, transformers")
    add("--seeds", type=int, metavar="N", help="trainings a cell, with seeds 0 to N-1")
    add("--only", metavar="STAGE", help="stop after: data, synthesis, ..., classifiers")
    add("--set", nargs="+", action="extend", default=[], metavar="A.B=C", help="change a value")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="where results go")
    add("--no-wait", action="store_true", help="exit 2 if another run holds a stage")
    add("--dry-run", action="store_true", help="print the stages and their cost; compute nothing")
    add("--compare", nargs="+", type=Path, metavar="RUN_DIR", help="runs side by side")
    add("--report", type=Path, metavar="RUN_DIR", help="draw a run's tables and page again")
    add("--list", action="store_true", help="list configurations, sources and classifiers")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, translate errors into exit codes."""
    options = parser().parse_args(arguments)
    # The libraries take seconds to import: --help and a missing option should not wait for them.
    from core.errors import exit_code

    return exit_code(lambda: follow(options))


def run(
    config: str | Path | BenchmarkConfig,
    *,
    sources: Sequence[str] | None = None,
    rows: Sequence[str] = (),
    classifiers: Sequence[str] | None = None,
    seeds: int | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
    data_root: Path | str | None = None,
    corpus_root: Path | str | None = None,
    test_root: Path | str | None = None,
    test_mapping: Path | str | None = None,
    results: Path | str = "results",
) -> Outcome:
    """What the command does, from Python: the same stages, cache and files, no table printed.

    Args: config: the name of a configuration, a YAML file or a configuration; settings: values by
    their paths, as {"classifiers.slowfast.recipe.epochs": 3}; the others: as the options.
    Raises: UserError: for anything the user can mend.
    """
    from benchmarks.config.files import changed, load_config, row_settings
    from benchmarks.config.schema import BenchmarkConfig
    from benchmarks.plan import Inputs, Plan
    from benchmarks.run import compute, write_results
    from core.errors import UserError

    given = {"sources": sources, "chosen_classifiers": classifiers, "seeds": seeds}
    loaded = config if isinstance(config, BenchmarkConfig) else load_config(str(config))
    own = {path: value for path, value in given.items() if value is not None}
    loaded = changed(loaded, {**settings, **own, **row_settings(rows)})
    if loaded.vary is not None:
        raise UserError('vary: give settings={"vary": None} and a run for each value')
    roots = (data_root, corpus_root, test_root, test_mapping)
    data, corpus, test, mapping = (None if root is None else Path(root) for root in roots)
    inputs = Inputs(Path(results), data, corpus, test_root=test, test_mapping=mapping)
    try_folders(loaded, inputs)
    plan = Plan(loaded, inputs)
    plan.check()
    compute(plan)
    return write_results(plan)


def try_folders(config: BenchmarkConfig, inputs: Inputs) -> None:
    """Raises: UserError: if the results could not be written."""
    from core.files import try_folder

    for folder in (inputs.results, inputs.results / "cache", inputs.results / config.name):
        try_folder(folder, "--results")


def follow(options: argparse.Namespace) -> None:
    """Do what the options ask.  Raises: UserError: for anything the user can mend."""
    from benchmarks.config.catalogue import catalogue
    from benchmarks.config.files import config_names, load_config
    from benchmarks.plan import Inputs, Plan
    from benchmarks.report.compare import FOLDER_NAME, markdown, read_runs, write_comparison
    from benchmarks.run import describe, execute, execute_all, redraw, show
    from core.errors import UserError, did_you_mean
    from core.files import try_folder
    from core.progress import say

    if options.list:
        print(catalogue())
        return
    if options.compare:
        runs = read_runs(options.compare)
        try_folder(options.results / FOLDER_NAME, "--results")
        print(markdown(runs))
        place = write_comparison(runs, options.results / FOLDER_NAME)
        say(f"the same as a page: {place}")
        return
    if options.report is not None:
        show(redraw(options.report))
        say(f"drawn again from its record: {options.report / 'report.html'}")
        return
    if options.config is None:
        raise UserError(f"--config is missing; {did_you_mean('', config_names())}")
    config = load_config(options.config, overrides_of(options))
    inputs = Inputs(
        options.results,
        options.data_root,
        options.corpus_root,
        read=not options.dry_run,
        test_root=options.test_root,
        test_mapping=options.test_mapping,
    )
    try_folders(config, inputs)
    if config.vary is not None and not (options.dry_run or options.only):
        execute_all(values_of(config, options), inputs, config.vary.field)
        return
    plan = Plan(config, inputs)
    plan.check(options.only, dry_run=options.dry_run)
    if options.data_root is None and config.scale == "nano":
        say(f"data: OphSim (simulated), scale {config.scale}; --data-root DIR runs on real data")
    if options.dry_run:
        print(describe(plan))
        return
    execute(plan, options.only)


def values_of(config: BenchmarkConfig, options: argparse.Namespace) -> dict[float, BenchmarkConfig]:
    """The configuration at each value that it varies; a results folder for each, in its own."""
    from benchmarks.config.files import load_config

    vary = config.vary
    assert vary is not None
    given = [*overrides_of(options), "vary=null"]
    return {
        value: load_config(
            options.config, [*given, f"{vary.field}={value:g}", f"name={config.name}/{value:g}"]
        )
        for value in vary.values
    }


def overrides_of(options: argparse.Namespace) -> list[str]:
    """The options that stand for configuration values, as `a.b=c`."""
    import json

    from benchmarks.config.files import row_settings

    overrides = list(options.set)
    for name, value in row_settings(options.rows or ()).items():
        overrides.append(f"{name}={json.dumps(value)}")
    if options.sources:
        overrides.append(f"sources={json.dumps(options.sources)}")
    if options.seeds is not None:
        overrides.append(f"seeds={options.seeds}")
    if options.no_wait:
        overrides.append("runtime.wait=false")
    if options.classifiers:
        overrides.append(f"chosen_classifiers={json.dumps(options.classifiers)}")
    return overrides


if __name__ == "__main__":
    sys.exit(main())
