"""Pre-training of everything the nano scale loads: `python -m benchmarks.pretrain NAME ...`

Each network (its stages: `benchmarks/pretraining.py`) goes to `generator/weights/NAME` in fp16,
with a card that says how it was made. Of a training that goes on from another one only the
transformer is kept, since all other parts are those of that one; `--whole` keeps them, so that it
stands alone. Hours on a laptop; resumable; nobody needs it to run the benchmark.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.config_files import load_as
from benchmarks.plan import PROJECT_ROOT
from benchmarks.pretrain_config import PretrainConfig
from benchmarks.pretraining import Pretraining
from core.errors import UserError, did_you_mean, exit_code
from core.files import read_json, sha256_of_file, write_json, write_text
from core.runtime import commit_of
from core.stage import RECORD_NAME, RESULT_NAME, Stage
from generator.base import CARD_NAME, TRAINING_RECORD
from generator.diffusion import DenoiserTraining

DEFAULT = "_pretrain_nano"
FEW = "clips_of_"  # what samples of a few frames are called in the record
WEIGHTS_ROOT = PROJECT_ROOT / "generator" / "weights"
NAMES = (
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


def ship(
    name: str,
    stage: Stage,
    command: str,
    commit: str | None,
    output: Path,
    *,
    whole: bool = False,
) -> Path:
    """Copy a trained network to `output/NAME` (fp16) with its card; return that folder.

    whole: keep all parts of a training that goes on from another one, not the transformer alone.
    Raises: UserError: if the configuration gives these weights instead of training them.
    """
    result = stage.run()
    target = output / name
    source = stage.weights()  # type: ignore[attr-defined]
    if source.resolve() == target.resolve():
        raise UserError(f"{name}: the configuration gives these weights, so none are trained")
    shutil.rmtree(target, ignore_errors=True)
    continued = isinstance(stage, DenoiserTraining) and getattr(stage, "name", "") != "base"
    whole = whole or not continued
    kept = (".safetensors", ".json", ".model", ".txt")
    encoder = source == stage.folder  # the metrics' encoders share their stage's folder
    for file in sorted(path for path in source.rglob("*") if path.suffix in kept):
        if encoder and file.name in (RESULT_NAME, RECORD_NAME):
            continue
        if not whole and file.parent.name != "transformer":
            continue
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            save_half(file, place)
        elif file.name == "config.json":
            write_json(place, without_origin(read_json(file)))
        else:
            shutil.copyfile(file, place)
    if isinstance(stage, DenoiserTraining):
        record = {key: result[key] for key in ("steps", "parameters", "last_loss")}
        write_json(target / TRAINING_RECORD, record | samples_seen(stage))
    made_by = f"`{command}` at commit {commit}"
    write_text(target / CARD_NAME, card(name, stage, result, made_by, target))
    return target


def without_origin(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the folder of this machine that diffusers and transformers note."""
    return {key: value for key, value in config.items() if key != "_name_or_path"}


def samples_seen(training: DenoiserTraining) -> dict[str, Any]:
    """What a training and what it went on from saw: clips (`samples`), single frames (`stills`) and
    clips of few frames (`clips_of_3_frames`); `before`: what it went on from had seen of them."""
    own = {"samples": training.optimisation.samples}
    begun = training.init
    while isinstance(begun, DenoiserTraining) and begun.diffusion.frames is not None:
        own[few_frames(begun.diffusion.frames)] = begun.optimisation.samples
        begun = begun.init
    record = begun.run()
    kinds = [kind for kind in record if kind in ("samples", "stills") or kind.startswith(FEW)]
    before = {kind: record[kind] for kind in kinds}
    seen = {kind: before.get(kind, 0) + own.get(kind, 0) for kind in [*own, *before]}
    return {**dict(sorted(seen.items())), "before": before}


def few_frames(frames: int) -> str:
    """The name in the record of samples of so many frames each."""
    return "stills" if frames == 1 else f"{FEW}{frames}_frames"


def save_half(source: Path, target: Path) -> None:
    """Copy a safetensors file with its numbers in fp16."""
    with safe_open(source, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    halved = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(halved, target, metadata)
    target.chmod(0o644)  # safetensors lets the owner alone read it


def card(name: str, stage: Stage, result: dict[str, Any], made_by: str, folder: Path) -> str:
    """How the weights were made: data, numbers, command, commit, hashes."""
    lines = [f"# {name}", "", f"Made by {made_by}.", ""]
    lines += ["| stage | trained at | seconds | result |", "| --- | --- | --- | --- |"]
    for below in stage.tower():
        shown = json.dumps(below.run())[:400] if below.is_done() else ""
        made = below.record()
        lines.append(
            f"| {type(below).__name__} | {made.get('commit')} | {made.get('seconds')} | `{shown}` |"
        )
    lines += ["", f"Result: `{json.dumps(result)[:600]}`", "", "| file | sha256 |", "| --- | --- |"]
    for file in sorted(folder.rglob("*.safetensors")):
        lines.append(f"| {file.relative_to(folder)} | {sha256_of_file(file)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Train the named networks and ship them."""
    command = argparse.ArgumentParser(prog="python -m benchmarks.pretrain", description=__doc__)
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
        shown = f"python -m benchmarks.pretrain {name}{' --whole' if options.whole else ''}"
        shown += "" if options.config == DEFAULT else f" --config {options.config}"
        stage, output = getattr(pretraining, name), options.output
        shipped = ship(name, stage, shown, commit, output, whole=options.whole)
        print(f"shipped {shipped}")


if __name__ == "__main__":
    sys.exit(main())
