"""Do killed runs resume to the same tables, and do changed inputs end in an error of one line?

    python -m benchmarks.perf.reliability --kills 20 --seeds 500

A run is killed at random moments of its duration, with all its processes, and started again; the
tables are compared byte for byte with those of a run that nobody disturbed. Configurations, csv and
json files and mp4 headers are changed at random and given to the commands. Prints JSON. A campaign
that was stopped goes on where it was, at the same commit. Exit code 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.perf.fuzzing import fuzz
from benchmarks.perf.kills import Command, benchmark, kill_and_resume, uninterrupted
from benchmarks.plan import PROJECT_ROOT
from core.progress import Progress, track
from core.runtime import commit_of, limit_threads, machine
from generator.curation.journal import Journal

SMOKE = ("--config", "smoke")
Outcomes = list[dict[str, Any]]


def kill_campaign(
    command: Command, kills: int, in_a_run: int, seed: int, work: Path, known: Outcomes
) -> Iterator[dict[str, Any]]:
    """The outcomes that are not known yet: of the whole run, then of runs with `kills` in all."""
    runs = [each for each in known if "run" in each]
    done = sum(each["kills"] for each in runs)
    if done >= kills:
        return
    whole = next((each for each in known if "whole" in each), None)
    if whole is None:
        whole = uninterrupted(command, work)
        yield whole
    with Progress("killed runs", kills, "kills", done) as progress:
        while progress.done < kills:
            left = min(in_a_run, kills - progress.done)
            runs.append(kill_and_resume(command, whole, len(runs), left, seed, work))
            progress.advance(runs[-1]["kills"])
            yield runs[-1]


def fuzz_campaign(seeds: int, seed: int, work: Path, known: Outcomes) -> Iterator[dict[str, Any]]:
    """The outcomes that are not known yet, of each changed input."""
    done = {each["number"] for each in known if "number" in each}
    todo = [number for number in range(seeds) if number not in done]
    if not todo:
        return
    outcomes = fuzz(todo, seed, work)
    yield from track(
        outcomes, total=seeds, description="fuzzing", unit="inputs", done=seeds - len(todo)
    )


def summary(outcomes: Outcomes) -> dict[str, Any]:
    """Counts of the outcomes, and every fault."""
    killed = [each for each in outcomes if "run" in each]
    fuzzed = [each for each in outcomes if "number" in each]
    whole = next((each for each in outcomes if "whole" in each), {})
    kinds: dict[str, dict[str, Any]] = {}
    for each in fuzzed:
        kind = kinds.setdefault(each["kind"], {"inputs": 0, "done": 0, "refused": 0, "faults": 0})
        kind["inputs"] += 1
        kind["faults" if each["fault"] else "refused" if each["code"] else "done"] += 1
        kind["slowest_s"] = max(kind.get("slowest_s", 0.0), each["seconds"])
    return {
        "kills": {
            "kills": sum(each["kills"] for each in killed),
            "runs": len(killed),
            "alike": sum(each["alike"] for each in killed),
            "whole_run_s": whole.get("seconds"),
            "killed_in": Counter(place for each in killed for place in each["killed_in"]),
        },
        "inputs": {
            "changed": len(fuzzed),
            "sound_ends": sum(not each["fault"] for each in fuzzed),
            "kinds": dict(sorted(kinds.items())),
        },
        "faults": [each for each in killed if not each["alike"]]
        + [each for each in fuzzed if each["fault"]],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing of the campaign and print its summary."""
    command = argparse.ArgumentParser(description=__doc__)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_argument("--kills", type=int, default=20, metavar="N", help="in all runs together")
    command.add_argument("--in-a-run", type=int, default=1, metavar="K", help="kills of each run")
    command.add_argument("--seeds", type=int, default=500, metavar="M", help="changed inputs")
    command.add_argument("--seed", type=int, default=0, help="of moments and changes")
    command.add_argument("--run", type=shlex.split, default=SMOKE, help='default "--config smoke"')
    command.add_argument("--work", type=Path, default=Path("results/reliability"), metavar="DIR")
    options = command.parse_args(arguments)
    limit_threads(1)
    commit = commit_of(PROJECT_ROOT)
    work = options.work.resolve() / f"{(commit or 'unknown')[:12]}-{options.seed}"
    work.mkdir(parents=True, exist_ok=True)
    journal = Journal(work / "outcomes.jsonl")
    outcomes = journal.records
    seed, command_of = options.seed, partial(benchmark, options.run)
    missing = (
        fuzz_campaign(options.seeds, seed, work, list(outcomes)),
        kill_campaign(command_of, options.kills, options.in_a_run, seed, work, list(outcomes)),
    )
    for campaign in missing:
        for outcome in campaign:
            journal.append(outcome)
            outcomes.append(outcome)
    found = summary(outcomes)
    cores = {"cores": os.cpu_count(), "instructions": torch.backends.cpu.get_cpu_capability()}
    where = {"commit": commit, "seed": seed, **machine(torch.device("cpu")), **cores}
    print(json.dumps({**where, **found}, indent=2))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
