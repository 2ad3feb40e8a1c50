"""A trained network -> `generator/weights/NAME`: fp16 files, what it has seen, a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.plan import PROJECT_ROOT
from core.errors import UserError
from core.files import read_json, sha256_of_file, write_json, write_text
from core.stage import RECORD_NAME, RESULT_NAME, Stage
from generator.base import CARD_NAME, TRAINING_RECORD
from generator.diffusion import DenoiserTraining

FEW = "clips_of_"  # what samples of a few frames are called in the record
WEIGHTS_ROOT = PROJECT_ROOT / "generator" / "weights"


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
