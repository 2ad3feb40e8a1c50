"""Weights looked into before any work: is each part whole, and of the network that it says it is?

config.json -> the network's tensors, by name and shape (nothing is allocated)
the file, or the shards that an index names -> what it holds, from its header -> compared

diffusers and transformers draw at random whatever a file lacks, with a warning at most.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from core.errors import UserError
from core.files import path_inside, read_object

COGVIDEOX: Final = "CogVideoXTransformer3DModel"
STDIT: Final = "STDiT"
ENDORA: Final = "EndoraTransformer"
T5: Final = ("T5EncoderModel", "T5ForConditionalGeneration")
# Classes by the module that holds them; other parts are only looked at for missing files.
MODULES: Final = {
    COGVIDEOX: "diffusers",
    "AutoencoderKLCogVideoX": "diffusers",
    "AutoencoderKL": "diffusers",
    STDIT: "generator.bora.stdit",
    ENDORA: "generator.endora.transformer",
}
STEMS: Final = ("diffusion_pytorch_model", "model", "pytorch_model")
ADAPTERS: Final = ("pytorch_lora_weights", "adapter_model")
LORA_NAME: Final = "pytorch_lora_weights.safetensors"  # as diffusers writes and reads it
# sd-vae-ft-ema's file has names of an older diffusers, which translates them.
OLD_NAMES: Final = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
OLD_NAME = re.compile(rf"(?<=\.)({'|'.join(OLD_NAMES)})(?=\.)")
SHARED: Final = {"encoder.embed_tokens.weight", "shared.weight"}  # one tensor in T5

# What the two readers raise for files that are cut short or of another kind.
UNREADABLE: Final = (
    *(OSError, EOFError, RuntimeError, ValueError, AttributeError),
    *(pickle.UnpicklingError, SafetensorError),
)

# Where trainings keep a network in a file, the averaged one first; and what they put before names.
NESTS: Final = (
    "ema",
    "model_ema",
    "state_dict",
    "model_state",
    "model_state_dict",
    "model",
    "module",
)
WRAPPERS: Final = ("module.", "_orig_mod.", "model.", "ema_model.", "ema.")

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Wanted:
    """What a folder must hold: a denoiser of that class in `transformer/`; whole: with all that it
    makes clips with; adapter: updates of such a denoiser instead."""

    denoiser: str
    whole: bool = True
    adapter: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders that must be there."""
        text = () if self.denoiser == ENDORA else ("text_encoder", "tokenizer")
        return ("transformer", "vae", "scheduler", *text) if self.whole else ("transformer",)


def check_folder(folder: Path, wanted: Wanted | None = None) -> None:
    """Look into a folder of weights in diffusers' layout, without loading them; wanted: None where
    it may hold anything.

    Raises: UserError: if a part is an adapter, lacks a file or a tensor, or is another network's.
    """
    if wanted is not None and wanted.adapter:
        if not (folder / LORA_NAME).is_file():
            raise UserError(
                f"weights {folder}: no {LORA_NAME} in it; give a folder that save_lora_weights of "
                "diffusers wrote"
            )
        return
    configs = [folder / "config.json", *sorted(folder.glob("*/config.json"))]
    if not (folder / "transformer").is_dir():
        _refuse_adapter(folder)
    for part in wanted.parts if wanted else ():
        if not (folder / part).is_dir():
            assert wanted is not None
            raise UserError(
                f"weights {folder}: no folder {part!r} in it; give a {wanted.denoiser} as "
                f"save_pretrained leaves it: {', '.join(wanted.parts)}"
            )
    for config in configs:
        if config.is_file():
            check_part(config.parent, wanted)


def _refuse_adapter(folder: Path) -> None:
    files = [*folder.glob("adapter_config.json")]
    files += [file for stem in ADAPTERS for file in folder.glob(f"{stem}.*")]
    if files:
        raise UserError(
            f"weights {folder}: {files[0].name} is a LoRA adapter and no network: name it as "
            "ophora.lora and its base as ophora.base, or fuse it into the base and name that folder"
        )


def check_part(part: Path, wanted: Wanted | None = None) -> None:
    """Look into one part of such a folder.  Raises: UserError: as `check_folder`."""
    config = read_object(part / "config.json")
    kind = _kind_of(config)
    if wanted is not None and part.name == "transformer" and kind != wanted.denoiser:
        raise UserError(f"weights {part}: holds a {kind}, a {wanted.denoiser} is wanted")
    for index in part.glob("*.index.json"):
        for shard in shards_of(index):
            if not shard.is_file():
                raise UserError(f"weights {index}: shard {shard.name} is missing: fetch it again")
    if kind not in MODULES and kind not in T5:
        return
    held, source = _held(part)
    expected = _expected(kind, config, part / "config.json", len(held))
    if kind == "AutoencoderKL":
        held = {OLD_NAME.sub(lambda old: OLD_NAMES[old[0]], name): s for name, s in held.items()}
    if SHARED & held.keys():
        held |= dict.fromkeys(SHARED & expected.keys(), held[min(SHARED & held.keys())])
    lacking = [name for name in expected if name not in held]
    if lacking:
        raise UserError(
            f"weights {source}: {len(lacking)} of the {len(expected)} tensors of a {kind} are not "
            f"in it, the first is {lacking[0]!r}: fetch the file or save the network again"
        )
    # Old attention layers of a VAE hold the same numbers in another shape.
    odd = next((n for n, shape in expected.items() if _squeezed(held[n]) != _squeezed(shape)), None)
    if odd:
        raise UserError(
            f"weights {source}: {odd!r} is {held[odd]}, config.json beside it says "
            f"{expected[odd]}: name weights with their own configuration"
        )


def _kind_of(config: dict[str, Any]) -> str:
    """The class that a configuration names, "" if none."""
    kind, listed = config.get("_class_name"), config.get("architectures")
    if kind is None and isinstance(listed, list):
        kind = next(iter(listed), None)
    return kind if isinstance(kind, str) else ""


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def shards_of(index: Path) -> list[Path]:
    """The files that an index names.  Raises: UserError: if it names none, or one elsewhere."""
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise UserError(f"weights {index}: no `weight_map` of tensors and files: fetch it again")
    return [path_inside(index.parent, name) for name in sorted(set(named.values()))]


def _expected(kind: str, config: dict[str, Any], file: Path, held: int) -> Shapes:
    """Names and shapes of the tensors of the network that a configuration describes.

    Args: file: where it says so; held: how many tensors the weights beside it hold.
    """
    for name, value in config.items():
        if "layers" in name and isinstance(value, int | float) and value > held:
            # Each has a tensor at least, and building them might not end.
            raise UserError(
                f"weights {file}: {name} {value}, and {held} tensors in all beside it: name "
                "weights with their own configuration"
            )
    try:
        with torch.device("meta"):
            if kind in MODULES:
                model = getattr(import_module(MODULES[kind]), kind).from_config(config)
            else:
                model = T5EncoderModel(T5Config.from_dict(config))
            return {name: tuple(value.shape) for name, value in model.state_dict().items()}
    except Exception as error:  # whatever a network's own code makes of values that it cannot use
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"weights {file}: no {kind} can be built from it ({reason}): fetch it again"
        ) from error


def _held(part: Path) -> tuple[Shapes, Path]:
    """What a part's file or shards hold, and the file, or index, that says so."""
    for stem in STEMS:
        for suffix in (".safetensors", ".bin"):
            file, index = part / f"{stem}{suffix}", part / f"{stem}{suffix}.index.json"
            if file.is_file():
                return dict(_header(file)), file
            if index.is_file():
                return {n: s for shard in shards_of(index) for n, s in _header(shard)}, index
    _refuse_adapter(part)
    others = [file.name for stem in STEMS for file in sorted(part.glob(f"{stem}.*"))]
    if others:
        raise UserError(
            f"weights {part}: {others[0]} is a variant: save the pipeline again without `variant`, "
            f"or name the file {others[0].partition('.')[0]}.safetensors"
        )
    raise UserError(
        f"weights {part}: config.json and no weights, {STEMS[0]}.safetensors: fetch them"
    )


def _header(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a file's tensors, which stay on the disk."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                for name in list(opened.keys()):
                    yield name, tuple(opened.get_slice(name).get_shape())
        else:
            state = _unpickled(file)
            yield from ((name, tuple(value.shape)) for name, value in state.items())
    except UNREADABLE as error:
        raise UserError(f"weights {file}: cannot be read ({str(error).splitlines()[0]})") from None


def _unpickled(file: Path) -> Any:
    # The format before torch 1.6 is no archive, and cannot be mapped.
    mapped = zipfile.is_zipfile(file)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a training's checkpoint by name: the averaged ones where it has them, without
    what wrappers put before the names (DataParallel, torch.compile, Lightning, AveragedModel).

    Raises: UserError: if it cannot be read, or holds no table of tensors.
    """
    try:
        state = load_file(file) if file.suffix == ".safetensors" else _unpickled(file)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"weights {file}: not a checkpoint ({reason})") from None
    while isinstance(state, dict):
        inner = next((state[key] for key in NESTS if isinstance(state.get(key), dict)), None)
        if inner is None:
            break
        state = inner
    if isinstance(state, dict):
        state.pop("n_averaged", None)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"weights {file}: not a checkpoint (no table of tensors)")
    while wrapper := next(
        (w for w in WRAPPERS if state and all(n.startswith(w) for n in state)), ""
    ):
        state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return state
