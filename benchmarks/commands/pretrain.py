"""Pre-training of what the nano scale loads: `python -m benchmarks.commands.pretrain NAME ...`

Each network (its stages: `benchmarks/pretraining/stages.py`) goes to `generator/weights/NAME` in
fp16, with a card that says how it was made. Of a training that goes on from another one only the
transformer is kept, since all other parts are those of that one; `--whole` keeps them, so that it
stands alone. Hours on a laptop; resumable; nobody needs it to run the benchmark.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.config.files import load_as
from benchmarks.plan import PROJECT_ROOT
from benchmarks.pretraining.config import PretrainConfig
from benchmarks.pretraining.ship import WEIGHTS_ROOT, ship
from benchmarks.pretraining.stages import Pretraining
from core.errors import UserError, did_you_mean, exit_code
from core.runtime import commit_of

DEFAULT = "_pretrain_nano"
NAMES = (
    "text",
    "ophora_base",
    "bora_base",
    "dino_nano",
    "endora_base",
    "ophora_tpt",
    "cogvideox_ophvl",
    "bora_tuned",
    "endora_tuned",
    "video_autoencoder",
    "slowfast_nano",
    "ophclip_nano",
)


def main() -> int:
    """Train the named networks and ship them."""
    program = "python -m benchmarks.commands.pretrain"
    command = argparse.ArgumentParser(prog=program, description=__doc__)
    command.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    command.add_argument("--config", default=DEFAULT)
    command.add_argument("--output", type=Path, default=WEIGHTS_ROOT)
    command.add_argument(
        "--whole", action="store_true", help="all parts, not the transformer alone"
    )
    command.add_argument("--cache", type=Path, default=Path("results/cache"))
    options = command.parse_args()
    return exit_code(lambda: pretrain(options))


def pretrain(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    pretraining = Pretraining(load_as(PretrainConfig, options.config), options.cache)
    commit = commit_of(PROJECT_ROOT)  # before the first copy changes the work tree
    for name in options.names:
        if name not in NAMES:
            raise UserError(f"{name}: no such network; {did_you_mean(name, NAMES)}")
        shown = (
            f"python -m benchmarks.commands.pretrain {name}{' --whole' if options.whole else ''}"
        )
        shown += "" if options.config == DEFAULT else f" --config {options.config}"
        stage, output = getattr(pretraining, name), options.output
        shipped = ship(name, stage, shown, commit, output, whole=options.whole)
        print(f"shipped {shipped}")


if __name__ == "__main__":
    sys.exit(main())
