"""Published checkpoints -> our networks: other names, tables of another length, what does not fit.

    file -> table of tensors -> wrappers' names off -> our names -> shapes checked -> backbone

Known are mmaction2's SlowFast and MViTv2, pytorchvideo's SlowFast, and our own networks; the names
tell them apart. The head keeps its initialisation, since the classes differ.
"""

from __future__ import annotations

import logging
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from classifiers.networks import Classifier, Network
from classifiers.starts import LoadReport, Place, Start
from core.errors import UserError
from core.files import sha256_of_file
from core.runtime import Runtime

log = logging.getLogger(__name__)

HEADS = ("head.", "cls_head.", "blocks.6.proj.")  # ours, mmaction2's, pytorchvideo's
# A part of a tensor's name -> whose it is; the first that occurs counts.
FAMILIES = {
    ".slow_path.": "SlowFast",
    "multipathway_blocks.": "SlowFast",
    "pathway0_": "SlowFast by the names of its authors' own code, which are not known here",
    "pos_encoding.": "torchvision's MViT",
    ".attn.rel_pos_": "MViTv2",
}
TABLE = re.compile(r".*\.rel_pos_[thw]")
# mmaction2's lateral convolutions have neither norm nor ReLU; files of old lack the batch counts.
DISPENSABLE = re.compile(r".*(\.multipathway_fusion\.norm\..*|\.num_batches_tracked)")
MMACTION_SLOWFAST = re.compile(
    r"backbone\.(?P<pathway>slow|fast)_path\."
    r"(?P<place>conv1|conv1_lateral|layer(?P<stage>\d)_lateral"
    r"|layer(?P<layer>\d)\.(?P<block>\d+)\.(?P<part>conv[123]|downsample))"
    r"\.(?P<kind>conv|bn)\.(?P<leaf>\w+)"
)

# What the two readers raise for files that are cut short, of another kind, or forged.
UNREADABLE = (
    *(OSError, EOFError, LookupError, AttributeError, RuntimeError, TypeError, ValueError),
    *(pickle.UnpicklingError, safetensors.SafetensorError),
)


class Checkpoint(Start):
    """A checkpoint file of a published network, named by the user.

    It enters cache keys by the sha256 of its contents, never by its path.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "path")

    path: Path
    sha256: str = pydantic.Field(pattern="[0-9a-f]{64}")

    @classmethod
    def at(cls, path: Path | str, *, infra: dict[str, Any], runtime: Runtime) -> Checkpoint:
        """Name the file at `path`.  Raises: UserError: if there is no such file."""
        path = Path(path)
        if not path.is_file():
            raise UserError(f"weights {path}: no such file; give a .pth, .pyth or .safetensors")
        return cls(path=path, sha256=sha256_of_file(path), infra=infra, runtime=runtime)

    def execute(self, folder: Path) -> dict[str, Any]:
        found = sha256_of_file(self.path)
        if found != self.sha256:
            raise UserError(f"weights {self.path}: sha256 {found}, expected {self.sha256}")
        return {"file": self.path.name, "sha256": found}

    def load_into(self, model: Classifier) -> LoadReport:
        """`load_checkpoint` of the file, after a look at its identity."""
        self.run()
        return load_checkpoint(self.path, model)


def open_file(
    network: Network, weights: str, field: str, shape: tuple[int, int], place: Place
) -> tuple[Network, Start]:
    """See `classifiers.family.Opener`: a file, which is tried on the network."""
    path = place.locate(weights)
    start = Checkpoint.at(path, **place.common)
    load_checkpoint(path, network.build(2, *shape))
    return network, start


def load_checkpoint(path: Path, model: Classifier) -> LoadReport:
    """Load the backbone of a published checkpoint into `model`, in place; its head is not touched.

    Raises: UserError: if the file cannot be read, holds NaN or inf, or is of another network.
    """
    tensors = read_tensors(path)
    ours = {n: value for n, value in model.state_dict().items() if not n.startswith(HEADS)}
    tensors = without_wrapper(tensors, ours)
    head = tuple(name for name in tensors if name.startswith(HEADS))
    theirs = {our_name(name): name for name in tensors if name not in head}
    values: dict[str, Tensor] = {}
    interpolated, misfits = [], []
    for name, value in ours.items():
        if name not in theirs:
            continue
        given = tensors[theirs[name]]
        if given.shape == value.shape:
            values[name] = given
        elif TABLE.fullmatch(name) and given.shape[1:] == value.shape[1:]:
            values[name] = resample(given, len(value))
            interpolated.append(name)
        else:
            misfits.append(name)
    missing = tuple(name for name in ours if name not in theirs)
    surplus = [name for name in theirs if name not in ours]
    misfits += [name for name in missing if not DISPENSABLE.fullmatch(name)]
    misfits += [name for name in surplus if name.startswith("backbone.")]
    if misfits:
        raise UserError(
            f"weights {path}: looks like {family(tensors)}; {len(values)} of the {len(ours)} "
            f"tensors of our {family(ours)} fit, {misfits[0]} does not; name a checkpoint of "
            "mmaction2 or pytorchvideo with the same layers and widths, or null"
        )
    model.load_state_dict(values, strict=False)
    return LoadReport(
        loaded=tuple(name for name in values if name not in interpolated),
        interpolated=tuple(interpolated),
        missing=missing,
        unexpected=tuple(theirs[name] for name in surplus),
        head=head,
    )


def resample(table: Tensor, length: int) -> Tensor:
    """A table of relative positions at another length: (L, D) -> (length, D) float32.

    Linear between rows, as a network resamples its own when it is given clips of another size.
    Source: mmaction2, resize_decomposed_rel_pos.
    """
    return functional.interpolate(table.float().T[None], size=length, mode="linear")[0].T


def family(names: Iterable[str]) -> str:
    """Which network tensors of such names belong to, in words for a message."""
    names = list(names)
    known = (label for part, label in FAMILIES.items() if any(part in name for name in names))
    return next(known, "an unknown network")


# -- names --------------------------------------------------------------------------------------


def without_wrapper(tensors: Mapping[str, Tensor], ours: Container[str]) -> dict[str, Tensor]:
    """The tensors without the prefix under which most of them have a place in `ours`.

    DataParallel writes `module.`, torch.compile `_orig_mod.`, Lightning `model.`, averages `ema.`;
    what else is in the file (an average beside the weights, a loss) keeps its name.
    """
    found: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        starts = (".".join(parts[place:]) for place in range(len(parts)))
        start = next((start for start in starts if our_name(start) in ours), None)
        if start is not None:
            found[name.removesuffix(start)] += 1
    prefix = found.most_common(1)[0][0] if found else ""
    inside = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    return {name: value for name, value in tensors.items() if name not in inside} | inside


def our_name(name: str) -> str:
    """The name that a tensor of a published checkpoint has in our network."""
    match = MMACTION_SLOWFAST.fullmatch(name)
    if match:
        return "backbone." + _pytorchvideo_name(match)
    return f"backbone.{name}" if name.startswith("blocks.") else name


def _pytorchvideo_name(match: re.Match[str]) -> str:
    """pytorchvideo's name for a tensor of mmaction2's SlowFast, matched by `MMACTION_SLOWFAST`."""
    norm = match["kind"] == "bn"
    stage = int(match["stage"] or match["layer"] or 0)
    if match["place"].endswith("_lateral"):
        place = "multipathway_fusion." + ("norm" if norm else "conv_fast_to_slow")
    else:
        place = f"multipathway_blocks.{('slow', 'fast').index(match['pathway'])}."
        kind = "norm" if norm else "conv"
        if match["part"] is None:  # the stem
            place += kind
        elif match["part"] == "downsample":
            place += f"res_blocks.{match['block']}.branch1_{kind}"
        else:
            letter = "abc"[int(match["part"][-1]) - 1]
            place += f"res_blocks.{match['block']}.branch2.{kind}_{letter}"
    return f"blocks.{stage}.{place}.{match['leaf']}"


# -- files --------------------------------------------------------------------------------------


class _Placeholder:
    """Stands for everything in a file that is no tensor and no plain data; it does nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file by their names in the file, on the CPU.

    Raises: UserError: if it cannot be read, holds no tensor, or one with NaN or inf.
    """
    try:
        safe = path.suffix == ".safetensors"
        content = safetensors.torch.load_file(path) if safe else _unpickle(path)
    except UNREADABLE as error:
        # torch's own text recommends to run the code in the file.
        raise UserError(
            f"weights {path}: cannot be read as tensors alone ({type(error).__name__}); fetch the "
            "file again, or save its tensors with safetensors.torch.save_file and name that file"
        ) from None
    tensors = _largest_table(content, path)
    if not tensors:
        raise UserError(f"weights {path}: holds no tensors by name; name a network's state dict")
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"weights {path}: {name} holds NaN or inf; fetch the file again")
    return tensors


def _largest_table(content: Any, path: Path) -> dict[str, Tensor]:
    """The table of a file with the most tensors, wherever it stands: `state_dict` (mmaction2),
    `model_state` (pytorchvideo), `model`; of about equal ones the first that is no average."""
    tables: dict[str, dict[str, Tensor]] = {}
    todo = [("", content)]
    for place, node in todo:
        if not isinstance(node, dict):
            continue
        tables[place] = {str(n): value for n, value in node.items() if isinstance(value, Tensor)}
        todo += [(f"{place}.{name}".lstrip("."), inner) for name, inner in node.items()]
    most = max(map(len, tables.values()), default=0)
    largest = {place: table for place, table in tables.items() if len(table) > 0.9 * most}
    chosen = min(largest, key=lambda place: "ema" in place, default="")
    if len(largest) > 1:
        log.warning("weights %s: %r is read, not the others of its size in %s", path.name, chosen,
                    ", ".join(map(repr, largest)))  # fmt: skip
    return largest.get(chosen, {})


def _unpickle(path: Path) -> Any:
    """The content of a `torch.save` file, without any code of the file's choice being run.

    mmaction2's files hold logs (classes of mmengine and NumPy, `getattr`) beside the weights.
    """
    # The format before torch 1.6 is no archive, and torch cannot list what is in it.
    foreign = (
        torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if zipfile.is_zipfile(path)
        else []
    )
    with torch.serialization.safe_globals([(_Placeholder, name) for name in foreign]):
        return torch.load(path, map_location="cpu", weights_only=True)
