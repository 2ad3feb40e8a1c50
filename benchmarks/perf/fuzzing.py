"""Changed inputs through the commands: no traceback, no hang, an exit code that is foreseen."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.perf.forked import HUNG, Ending, run_forked
from benchmarks.perf.fuzzed_inputs import KINDS, Kind, write_sound

LIMIT_S = 60.0
TRIES = 2  # of what is not done in time: a machine may be stopped, or busy with other things
SHOWN = 3000  # characters of a faulty command's output
# What the commands import late.
LATE = ("benchmarks.run", "benchmarks.commands.curate", "benchmarks.review.__main__",
        "benchmarks.report.compare", "matplotlib.pyplot", "rapidocr", "diffusers", "transformers",
        "generator.bora.stdit", "generator.endora.transformer",
        "diffusers.models.transformers.cogvideox_transformer_3d",
        "diffusers.models.autoencoders.autoencoder_kl_cogvideox")  # fmt: skip


def prepare(work: Path) -> Path:
    """Import what the commands need, write the sound inputs; their folder.

    Raises: RuntimeError: if a command does not succeed with the sound inputs, which would leave the
    changed ones without meaning.
    """
    for name in LATE:
        importlib.import_module(name)
    sound = work / "sound"
    if not (sound / "done").is_file():
        shutil.rmtree(sound, ignore_errors=True)
        write_sound(sound)
        results = sound / "cache"
        kind = next(kind for kind in KINDS if kind.inputs == "cache")
        words = kind.words(results, sound, np.random.default_rng(0))
        data = (*words[: words.index("decoding")], "data", *words[words.index("--results") :])
        _succeed("data", run_forked(data, work / "output", LIMIT_S))
        for each in KINDS:
            _succeed(each.name, _run(each, sound, work / "try", None, np.random.default_rng(0)))
        (sound / "done").touch()
    return sound


def _succeed(name: str, ending: Ending) -> None:
    if ending.code or ending.fault:
        raise RuntimeError(f"{name}: sound inputs, yet {ending.fault}: {ending.output[-SHOWN:]}")


def _run(
    kind: Kind, sound: Path, folder: Path, changed: list[str] | None, rng: np.random.Generator
) -> Ending:
    shutil.rmtree(folder, ignore_errors=True)
    kind.copy(sound, folder / "input")
    if changed is not None:
        changed.append(kind.change(folder / "input", rng).name)
    words = kind.words(folder / "input", sound, rng)
    return run_forked(words, folder / "output", LIMIT_S)


def kind_of(number: int) -> Kind:
    """The kind that the seed of that number is of: they take turns."""
    return KINDS[number % len(KINDS)]


def fuzz(numbers: list[int], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """An outcome for every number. The folder of a faulty one stays in `work`: `fuzz-<number>`."""
    sound = prepare(work)
    for number in numbers:
        kind, folder = kind_of(number), work / f"fuzz-{number:04d}"
        changed: list[str] = []
        for _ in range(TRIES):
            ending = _run(kind, sound, folder, changed, np.random.default_rng([seed, number]))
            if ending.code != HUNG:
                break
        outcome = {
            "number": number,
            "kind": kind.name,
            "file": changed[0],
            "code": ending.code,
            "seconds": round(ending.seconds, 2),
            "fault": ending.fault,
        }
        if ending.fault:
            outcome["output"] = ending.output[-SHOWN:]
        else:
            shutil.rmtree(folder)
        yield outcome
