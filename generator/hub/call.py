"""How a pipeline of diffusers is called, read from its class: nothing is loaded.

model_index.json -> the class -> the names and defaults of its arguments -> what it needs
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diffusers

from core.errors import UserError
from core.files import read_object
from core.runtime import Precision
from generator.base import ClipShape
from generator.sampling import Faster, Sampling

INDEX_NAME: Final = "model_index.json"
FRAMES: Final = ("num_frames", "video_length", "frames")  # the number of frames, by class
STEPS, GUIDANCE = 50, 1.0  # where a class has no default of its own
# Attributes of a loaded pipeline: how many frames, rows and columns make one of its latents.
TEMPORAL: Final = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio")
SPATIAL: Final = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_scale_factor")


@dataclass(frozen=True)
class Call:
    """A class of diffusers that makes videos from prompts or from first frames.

    takes: its arguments by name, each with its default.
    """

    kind: str
    takes: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Call:
        """Of a pipeline's folder, of which the json files suffice.

        Raises: UserError: if it is no pipeline of diffusers', or one that makes no videos, or needs
        more than a prompt or a first frame.
        """
        if not (folder / INDEX_NAME).is_file():
            raise UserError(
                f"weights {folder}: no {INDEX_NAME} in it, so no pipeline; give one as "
                "save_pretrained of diffusers leaves it"
            )
        named = read_object(folder / INDEX_NAME).get("_class_name")
        found = getattr(diffusers, named, None) if isinstance(named, str) else None
        if not isinstance(found, type) or not issubclass(found, diffusers.DiffusionPipeline):
            raise UserError(
                f"weights {folder / INDEX_NAME}: _class_name {named!r} is no pipeline of diffusers "
                f"{diffusers.__version__}; name one that is"
            )
        kind = found.__name__
        arguments = list(inspect.signature(found.__call__).parameters.values())[1:]
        _refuse_others(kind, arguments, folder)
        return cls(kind, {each.name: each.default for each in arguments})

    @property
    def needs_first_frame(self) -> bool:
        """Whether its clips go on from an image."""
        return "image" in self.takes

    @property
    def frames(self) -> str:
        """The argument that is the number of frames."""
        return next(name for name in FRAMES if name in self.takes)

    def known(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those that the class takes."""
        return {name: value for name, value in arguments.items() if name in self.takes}

    def sampling(
        self,
        steps: int | None,
        guidance_scale: float | None,
        precision: Precision,
        *,
        offload: bool = False,
    ) -> Sampling:
        """How it is sampled; None: as its own call has it. One clip at a time, with the scheduler
        of its folder."""
        own = self.takes.get("guidance_scale") or GUIDANCE
        return Sampling(
            steps=steps or self.takes.get("num_inference_steps") or STEPS,
            guidance_scale=guidance_scale or max(own, 1.0),
            batch_size=1,
            precision=precision,
            scheduler="folder",
            faster=Faster(offload=offload),
        )


def _refuse_others(kind: str, arguments: list[inspect.Parameter], folder: Path) -> None:
    names = [each.name for each in arguments]
    if not set(FRAMES) & set(names):
        raise UserError(
            f"weights {folder}: a {kind} takes no number of frames: it makes images, or changes a "
            "video; name a text-to-video or image-to-video pipeline"
        )
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [each.name for each in arguments if each.kind in plain and each.default is each.empty]
    # Those that start from a video say None of it, and fail without one.
    odd = [name for name in (names[0], *needed) if name not in ("prompt", "image", *FRAMES)]
    if odd:
        raise UserError(
            f"weights {folder}: a {kind} needs `{odd[0]}`; name a pipeline that makes videos from "
            "a prompt or a first frame alone"
        )


def size_asked(pipeline: Any, shape: ClipShape) -> tuple[int, int, int]:
    """(frames, height, width) that a loaded pipeline can make and that hold a clip of `shape`.

    Frames are k times the autoencoder's step plus 1 where it has one; sides are multiples of the
    autoencoder's and the denoiser's patch.
    """
    frames, step = shape.num_frames, _first_of(pipeline, TEMPORAL)
    if step is not None:
        frames = -(-(frames - 1) // step) * step + 1
    patch = described(pipeline, "patch_size") or 1
    side = (_first_of(pipeline, SPATIAL) or 1) * (patch if isinstance(patch, int) else patch[-1])
    return frames, -(-shape.height // side) * side, -(-shape.width // side) * side


def described(pipeline: Any, name: str) -> Any:
    """What the configuration of a pipeline's transformer says; None if nothing."""
    transformer = getattr(pipeline, "transformer", None)
    return None if transformer is None else transformer.config.get(name)


def _first_of(pipeline: Any, names: tuple[str, ...]) -> int | None:
    found = (getattr(pipeline, name, None) for name in names)
    return next((value for value in found if value is not None), None)
