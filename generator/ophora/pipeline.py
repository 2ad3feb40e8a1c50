"""The CogVideoX pipeline at any size: assembled from trained parts, loaded, sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydantic
import torch
from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from torch import Tensor
from transformers import T5Tokenizer

from core.errors import UserError
from core.files import write_text
from core.runtime import dtype_of, seed_everything
from core.video import Frames
from generator.backbone.autoencoder import load_autoencoder
from generator.base import ClipShape, Sampling, Weights
from generator.encoding import load_text_encoder
from generator.opening import check_folder
from generator.ophora.faster import prepare

# Source: scheduler config of THUDM/CogVideoX-2b
COGVIDEOX_2B_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "snr_shift_scale": 3.0,
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
    "clip_sample": False,
}


class TransformerSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """CogVideoXTransformer3DModel's widths and depths. Defaults: THUDM/CogVideoX-2b."""

    num_layers: int = pydantic.Field(default=30, ge=1)
    """Transformer blocks."""
    num_attention_heads: int = pydantic.Field(default=30, ge=1)
    """Times `attention_head_dim`, they make the width of the tokens."""
    attention_head_dim: int = pydantic.Field(default=64, ge=8)
    """Width of one head."""
    time_embed_dim: int = pydantic.Field(default=512, ge=8)
    """Width of the embedded timestep."""
    text_embed_dim: int = pydantic.Field(default=4096, ge=8)
    """Width of T5's embeddings."""
    max_text_tokens: int = pydantic.Field(default=226, ge=1)
    """Of a caption; what is longer is cut."""
    latent_channels: int = pydantic.Field(default=16, ge=1)
    """Of the VAE; CogVideoX's has 16."""
    snr_shift_scale: float = pydantic.Field(default=3.0, gt=0)
    """The schedule's signal-to-noise ratio is divided by it. The fewer latents a clip has, the less
    noise hides what it shows, so smaller clips need a smaller one (arXiv 2301.10972;
    docs/log.md)."""

    def schedule(self) -> dict[str, Any]:
        """CogVideoX-2b's schedule of noise, shifted."""
        return COGVIDEOX_2B_SCHEDULE | {"snr_shift_scale": self.snr_shift_scale}

    def build(self, shape: ClipShape, temporal_compression: int = 4) -> CogVideoXTransformer3DModel:
        """A freshly initialised transformer for clips of `shape` whose autoencoder shrinks them 8x
        in space and `temporal_compression` times in time; patches of 2 x 2 latents.

        Positions span the same range at every size, that of CogVideoX-2b: on a grid of a few
        patches its own step would leave all sines and cosines but the first ones constant.
        """
        columns = shape.width // 16
        latent_frames = (shape.num_frames - 1) // temporal_compression + 1
        return CogVideoXTransformer3DModel(
            num_layers=self.num_layers,
            num_attention_heads=self.num_attention_heads,
            attention_head_dim=self.attention_head_dim,
            time_embed_dim=self.time_embed_dim,
            text_embed_dim=self.text_embed_dim,
            max_text_seq_length=self.max_text_tokens,
            in_channels=self.latent_channels,
            out_channels=self.latent_channels,
            sample_width=shape.width // 8,
            sample_height=shape.height // 8,
            sample_frames=shape.num_frames,
            temporal_compression_ratio=temporal_compression,
            spatial_interpolation_scale=1.875 * columns / 45,
            temporal_interpolation_scale=latent_frames / 13,
        )


class OphoraAssembly(Weights):
    """A CogVideoXPipeline folder from a trained VAE and T5 and a transformer that knows nothing.

    The starting point of the nano base model's pre-training.
    """

    version: ClassVar[str] = "2"  # positions span the same range at every size

    autoencoder: Weights
    text: Weights
    shape: ClipShape
    transformer: TransformerSettings
    seed: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        seed_everything(self.seed)
        autoencoder = load_autoencoder(self.autoencoder.weights())
        compression = autoencoder.config.temporal_compression_ratio
        transformer = self.transformer.build(self.shape, compression)
        text = self.text.weights()
        pipeline = CogVideoXPipeline(
            tokenizer=T5Tokenizer.from_pretrained(text / "tokenizer"),
            text_encoder=load_text_encoder(text / "text_encoder"),
            vae=autoencoder,
            transformer=transformer,
            scheduler=CogVideoXDPMScheduler(**self.transformer.schedule()),
        )
        pipeline.save_pretrained(folder / "weights")
        write_usage(folder / "weights", transformer)
        return {"parameters": sum(p.numel() for p in transformer.parameters())}


def load_pipeline(
    folder: Path, dtype: torch.dtype = torch.float32, *, text: bool = True
) -> CogVideoXPipeline:
    """Load a CogVideoX pipeline folder, without its T5 (19 GB at paper scale) if `text` is False.

    Raises: UserError: if it holds another architecture, or a part of one.
    """
    check_folder(folder)
    without: dict[str, None] = {} if text else {"text_encoder": None, "tokenizer": None}
    try:
        pipeline = CogVideoXPipeline.from_pretrained(folder, dtype=dtype, **without)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"weights {folder}: no CogVideoX pipeline can be read: {reason}") from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


USAGE = """---
library_name: diffusers
pipeline_tag: text-to-video
---
A CogVideoX pipeline for clips of {frames} frames of {width}x{height} pixels.

diffusers' own call needs `max_sequence_length`: its default is longer than the captions read here.

```python
from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline

pipeline = CogVideoXPipeline.from_pretrained(".")
pipeline.scheduler = CogVideoXDPMScheduler.from_config(
    pipeline.scheduler.config, timestep_spacing="trailing"
)
video = pipeline("a caption", max_sequence_length={tokens}).frames[0]
```
"""


def write_usage(folder: Path, transformer: CogVideoXTransformer3DModel) -> None:
    """Write the folder's README.md: how diffusers samples it without this suite."""
    config = transformer.config
    text = USAGE.format(
        frames=config.sample_frames,
        width=8 * config.sample_width,
        height=8 * config.sample_height,
        tokens=config.max_text_seq_length,
    )
    write_text(folder / "README.md", text)


def reading(model: CogVideoXTransformer3DModel, text_tokens: int) -> CogVideoXTransformer3DModel:
    """The same weights for captions of another length; text has no positions in CogVideoX-2b.

    Raises: UserError: if positions are learned (CogVideoX-5b's image models), for one length.
    """
    if model.config.max_text_seq_length == text_tokens:
        return model
    if model.config.use_learned_positional_embeddings:
        length = model.config.max_text_seq_length
        raise UserError(f"{text_tokens} text tokens: these weights have positions for {length}")
    config = {**model.config, "max_text_seq_length": text_tokens}
    other = CogVideoXTransformer3DModel.from_config(config)
    other.load_state_dict(model.state_dict())
    return other.to(model.dtype)


class OphoraSampler:
    """Prompts -> clips with the pipeline's own scheduler, guidance and decoding."""

    def __init__(self, pipeline: CogVideoXPipeline, shape: ClipShape) -> None:
        self.pipeline, self.shape = pipeline, shape
        self.vae = pipeline.vae

    @classmethod
    def load(
        cls, folder: Path, shape: ClipShape, device: torch.device, sampling: Sampling
    ) -> OphoraSampler:
        """The sampler of a pipeline folder."""
        pipeline = load_pipeline(folder, dtype_of(sampling.precision, device))
        return cls(prepare(pipeline, sampling, device), shape)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> Frames:
        """See `generator.base.Sampler`."""
        return self._draw(seeds, sampling, prompt=list(prompts))

    def from_embeddings(
        self, text: Tensor, mask: Tensor, empty: Tensor, seeds: Sequence[int], sampling: Sampling
    ) -> Frames:
        """See `generator.preview.EmbeddingSampler`; CogVideoX attends to padding, too."""
        place = {"device": self.pipeline.transformer.device, "dtype": self.vae.dtype}
        text, empty = text.to(**place), empty.to(**place).expand_as(text)
        return self._draw(seeds, sampling, prompt_embeds=text, negative_prompt_embeds=empty)

    def _draw(self, seeds: Sequence[int], sampling: Sampling, **text: Any) -> Frames:
        by_index = sampling.guidance_mode == "step_index"

        def set_guidance(pipeline: Any, step: int, *_: Any) -> dict[str, Any]:
            # Called at the end of a step: the scale of the next one. There is no public setter.
            if by_index:
                pipeline._guidance_scale = guidance_at(step + 1, sampling)
            return {}

        video = self.pipeline(
            **text,
            num_frames=self.shape.num_frames,
            width=self.shape.width,
            height=self.shape.height,
            num_inference_steps=sampling.steps,
            guidance_scale=guidance_at(0, sampling) if by_index else sampling.guidance_scale,
            use_dynamic_cfg=sampling.guidance_mode == "official",
            callback_on_step_end=set_guidance,
            max_sequence_length=self.pipeline.transformer.config.max_text_seq_length,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).frames
        return np.round(np.asarray(video, dtype=np.float32) * 255.0).astype(np.uint8)


def guidance_at(step: int, sampling: Sampling) -> float:
    """Guidance of step 0 .. steps - 1 in mode "step_index": 1 + g (1 - cos(pi (1 - step/n)^5)) / 2.

    Source: CogVideoX's DynamicCFG (exponent 5), with the step's number.
    """
    left = 1.0 - step / sampling.steps
    return 1.0 + sampling.guidance_scale * (1.0 - math.cos(math.pi * left**5)) / 2.0
