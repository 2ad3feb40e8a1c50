"""Contracts of this package: where weights come from, and what can turn prompts into video."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import pydantic

from core.errors import UserError
from core.files import read_json, sha256_of_files, share_file
from core.runtime import Runtime
from core.video import Frames
from core.weights import Weights, hub_snapshot
from generator.opening import Wanted, check_folder, check_part
from generator.sampling import Sampling

if TYPE_CHECKING:
    from diffusers import ModelMixin

Denoiser = TypeVar("Denoiser", bound="ModelMixin")
CARD_NAME = "CARD.md"
TRAINING_RECORD = "training.json"  # beside shipped weights: steps, samples, last loss


class ClipShape(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Frames and size in pixels of the clips a generator is trained on and makes."""

    num_frames: int = pydantic.Field(ge=1)
    """8k or 8k + 1, as the video VAE wants it."""
    width: int = pydantic.Field(ge=16)
    """In pixels, a multiple of 16."""
    height: int = pydantic.Field(ge=16)
    """In pixels, a multiple of 16."""

    def __str__(self) -> str:
        return f"{self.num_frames} frames of {self.width}x{self.height}"

    @pydantic.model_validator(mode="after")
    def _fits_the_autoencoder(self) -> ClipShape:
        # The causal video VAE keeps 8k or 8k + 1 frames; others come back longer, without an error.
        if self.num_frames % 8 > 1:
            raise ValueError(f"num_frames {self.num_frames} must be 8k or 8k + 1, e.g. 9, 17, 49")
        if self.width % 16 or self.height % 16:
            raise ValueError(f"{self.width}x{self.height} must divide by 16 (VAE 8, patch 2)")
        return self


class Sampler(Protocol):
    """Loaded weights, ready to make clips."""

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """One clip a prompt: (B, T, H, W, 3) uint8; clip i depends on prompts[i] and seeds[i]."""


class GivenWeights(Weights):
    """Weights that exist already: shipped with the project, or named by the user.

    They enter cache keys by the sha256 of their contents, never by their path.
    """

    is_given: ClassVar[bool] = True
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "path")

    path: Path
    sha256: str

    @classmethod
    def at(
        cls,
        path: Path | str,
        *,
        wanted: Wanted | None = None,
        infra: dict[str, Any],
        runtime: Runtime,
    ) -> GivenWeights:
        """Name the weights at `path`.

        Raises: UserError: if there is no such folder, or what `check_folder` finds in it.
        """
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"weights {path}: no such folder; give a folder in diffusers' layout")
        check_folder(path, wanted)
        files = [file for file in path.rglob("*") if file.is_file() and file.name != CARD_NAME]
        digest = sha256_of_files(path, files)
        return cls(path=path, sha256=digest, infra=infra, runtime=runtime)

    def execute(self, folder: Path) -> dict[str, Any]:
        result = {"loaded": self.path.name, "sha256": self.sha256}
        record = self.path / TRAINING_RECORD
        return {**result, **read_json(record)} if record.is_file() else result

    def weights(self) -> Path:
        self.run()
        return self.path

    def at_hand(self) -> Path:
        return self.path


class Generator(Weights):
    """A trained text-to-video generator.

    shape: of the clips that it makes; a field, or a property of what it is trained on.
    """

    if TYPE_CHECKING:

        @property
        def shape(self) -> ClipShape: ...

    @abstractmethod
    def sampler(self, sampling: Sampling) -> Sampler:
        """Load the weights (training them first if need be) as `sampling` says (precision,
        scheduler, faster ways) and return the sampler."""


class GivenGenerator(Generator):
    """A trained generator that the user names; nothing is trained. shape: of the clips it makes."""

    given: Weights
    shape: ClipShape

    def execute(self, folder: Path) -> dict[str, Any]:
        return {"init": self.given.run()}

    def weights(self) -> Path:
        return self.given.weights()


def load_denoiser(kind: type[Denoiser], folder: Path, part: str = "transformer") -> Denoiser:
    """The network (a diffusers model of that class) in a part of a generator's folder.

    Raises: UserError: if the folder holds none, or a part of one.
    """
    check_part(folder / part)
    try:
        model, info = kind.from_pretrained(folder / part, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"weights {folder}: no {kind.__name__} can be read: {reason}") from None
    if info["missing_keys"]:  # diffusers draws them at random
        lacking = min(info["missing_keys"])
        raise UserError(f"weights {folder / part}: {lacking!r} is not in it: fetch it again")
    return model


def check_frame_latents(folder: Path, config: Any, shape: ClipShape) -> None:
    """Compare a denoiser of single frames' latents (8x in space) with the clips asked for.

    Args: config: its num_frames, height and width.  Raises: UserError: if it makes others.
    """
    made = ClipShape(num_frames=config.num_frames, width=8 * config.width, height=8 * config.height)
    if made != shape:
        raise UserError(f"weights {folder}: made for clips of {made}, not of {shape}")


class BeforehandTraining(Weights):
    """A generator that was trained beforehand, kept as its `transformer/` alone: all other parts
    are those of the weights that it was trained from."""

    is_given: ClassVar[bool] = True

    base: Weights
    transformer: Weights

    def execute(self, folder: Path) -> dict[str, Any]:
        source = self.transformer.weights()
        if not (source / "transformer").is_dir():
            raise UserError(f"weights {source}: no folder `transformer` in it")
        share_folder(self.base.weights(), folder / "weights", leave_out="transformer")
        share_folder(source / "transformer", folder / "weights" / "transformer")
        return {**self.transformer.run(), "base": self.base.run()}


def share_folder(source: Path, target: Path, *, leave_out: str | None = None) -> None:
    """Make `target` hold the files of `source`, but not those below `source/leave_out`, nor what is
    said of `source` alone (card, record): hard links where the file system allows, copies
    elsewhere. Frozen parts (a T5 of 9 GB) are thus not stored once for every training."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        inside = file.relative_to(source)
        if inside.parts[0] == leave_out or str(inside) in (CARD_NAME, TRAINING_RECORD):
            continue
        share_file(file.resolve(), target / inside)  # hub caches hold links


class HubWeights(Weights):
    """Weights of a public hub repository ("org/name"), downloaded when the stage first runs, or
    found in the hub's own cache (HF_HOME), with HF_HUB_OFFLINE=1 there alone.

    revision: a commit of the repository; with a branch's name the key does not see what changes.
    wanted: what must be in it.
    """

    is_given: ClassVar[bool] = True
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "wanted")

    repository: str = pydantic.Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    wanted: Wanted | None = None

    def execute(self, folder: Path) -> dict[str, Any]:
        snapshot = hub_snapshot(self.repository, self.revision)
        check_folder(snapshot, self.wanted)
        share_folder(snapshot, folder / "weights")
        return {"loaded": self.repository, "revision": self.revision}

    def described(self) -> Path:
        return hub_snapshot(self.repository, self.revision, only="*.json")

    def cost(self) -> str:
        return "download"


def weights_named(
    name: str,
    *,
    field: str,
    root: Path,
    wanted: Wanted | None = None,
    infra: dict[str, Any],
    runtime: Runtime,
) -> Weights:
    """The weights that a configuration names in `field`: a folder (absolute, or relative to the
    working folder or to `root`), else a hub id "org/name"; wanted: see `check_folder`.

    Raises: UserError: if it is neither, or a folder that does not hold what is wanted.
    """
    for path in (Path(name), root / name):
        if path.is_dir():
            return GivenWeights.at(path, wanted=wanted, infra=infra, runtime=runtime)
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return HubWeights(repository=name, wanted=wanted, infra=infra, runtime=runtime)
    raise UserError(f"{field} {name}: no such folder; give a folder or a hub id, org/name")
