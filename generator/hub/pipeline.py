"""A pipeline of diffusers as a generator: a prompt, a seed and, where its class starts from an
image, a first frame -> a clip of the size that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from core.clip import Clip
from core.errors import UserError
from core.runtime import dtype_of, seed_everything
from core.stage import ClipStage
from core.video import Frames, read_frames, resize, timeline_of
from generator.base import ClipShape, GivenGenerator
from generator.hub.call import Call, described, size_asked
from generator.opening import check_folder
from generator.sampling import Sampling

Start = tuple[Path, Clip]  # the span of a file whose first frame a clip goes on from


class PipelineGenerator(GivenGenerator):
    """A video pipeline that the user names; nothing is trained.

    first_frames: for a class that starts from an image: by its `seed`, the clip whose first frame
    a generated one goes on from.
    """

    first_frames: ClipStage | None = None

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if the class needs first frames and there are none."""
        made = super().execute(folder)
        call = Call.of(self.weights())
        if call.needs_first_frame and self.first_frames is None:
            raise UserError(f"weights {self.weights()}: a {call.kind} needs first frames")
        if self.first_frames is not None:
            made |= {"first_frames": self.first_frames.run()}
        return made | {"pipeline": call.kind}

    def sampler(self, sampling: Sampling) -> PipelineSampler:
        self.run()
        starts: dict[int, Start] = {}
        if self.first_frames is not None:
            manifest = self.first_frames.manifest()
            starts = {clip.seed or 0: (manifest.path_of(clip), clip) for clip in manifest.clips}
        pipeline = load_pipeline(self.weights(), self.runtime.torch_device(), sampling)
        return PipelineSampler(pipeline, Call.of(self.weights()), self.shape, starts)


def load_pipeline(folder: Path, device: torch.device, sampling: Sampling) -> DiffusionPipeline:
    """Raises: UserError: if it cannot be read, or a part of it is missing."""
    check_folder(folder)
    dtype = dtype_of(sampling.precision, device)
    try:
        pipeline = DiffusionPipeline.from_pretrained(folder, dtype=dtype)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"weights {folder}: the pipeline cannot be read: {reason}") from None
    pipeline.set_progress_bar_config(disable=True)
    if sampling.faster.offload and device.type != "cpu":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    return pipeline


class PipelineSampler:
    """Prompts -> clips, each drawn alone, so that none depends on its batch.

    starts: by the seed of a clip, what it goes on from; empty for text-to-video.
    """

    def __init__(
        self, pipeline: Any, call: Call, shape: ClipShape, starts: Mapping[int, Start]
    ) -> None:
        self.pipeline, self.call, self.shape, self.starts = pipeline, call, shape, starts
        self.asked = size_asked(pipeline, shape)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """See `generator.base.Sampler`.

        Raises: UserError: if the pipeline refuses its arguments, or makes something else.
        """
        drawn = zip(prompts, seeds, strict=True)
        return np.stack([self._clip(prompt, seed, sampling) for prompt, seed in drawn])

    def _clip(self, prompt: str, seed: int, sampling: Sampling) -> Frames:
        frames, height, width = self.asked
        arguments = {
            "prompt": prompt,
            self.call.frames: frames,
            "height": height,
            "width": width,
            "num_inference_steps": sampling.steps,
            "guidance_scale": sampling.guidance_scale,
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "np",
        }
        if self.call.needs_first_frame:
            path, clip = self.starts[seed]
            (image,) = resize(first_frame(path, clip), (width, height))
            arguments["image"] = Image.fromarray(image)
        if (tokens := described(self.pipeline, "max_text_seq_length")) is not None:
            arguments["max_sequence_length"] = tokens  # the call has another default
        seed_everything(seed)  # for what a class draws without the generator
        try:
            made = self.pipeline(**self.call.known(arguments)).frames
        except NameError as error:  # of a module that diffusers imports where it is installed
            raise UserError(
                f"a {self.call.kind} needs a library: {error}; install it: pip install {error.name}"
            ) from error
        except (ValueError, TypeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"a {self.call.kind} makes no clip of {frames} frames of {width}x{height}: {reason}"
            ) from error
        return self._fitted(np.asarray(made, dtype=np.float32)[0])

    def _fitted(self, video: Any) -> Frames:
        """(T, H, W, 3) float32, 0 to 1 -> the first frames of it, as uint8, in the clip's size."""
        shape = self.shape
        if video.ndim != 4 or video.shape[-1] != 3 or len(video) < shape.num_frames:
            raise UserError(
                f"a {self.call.kind} made an array of {video.shape}, no {shape}; set the `clip` of "
                "its section of `pipelines` to one that it was made for"
            )
        if not np.isfinite(video).all():
            raise UserError(f"a {self.call.kind} made no numbers: choose another `precision`")
        frames = np.round(video[: shape.num_frames].clip(0, 1) * 255.0).astype(np.uint8)
        return resize(frames, (shape.width, shape.height))


def first_frame(path: Path, clip: Clip) -> Frames:
    """(1, H, W, 3) uint8.  Raises: UnreadableVideo: if it cannot be decoded."""
    first, _ = timeline_of(path).span(clip.start_s, clip.end_s)
    return read_frames(path, [first])
