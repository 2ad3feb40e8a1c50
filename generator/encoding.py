"""Pre-encoding: VAE latents and T5 embeddings of captioned clips, computed once.

Clips -> 8 fps frames -> posterior sample x scaling factor -> sharded safetensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from transformers import T5EncoderModel, T5Tokenizer

from core.clip import Clip, Manifest, Split
from core.errors import UnreadableVideo, UserError
from core.files import atomic_path, check_room, read_json, write_json
from core.frame_cache import CURE
from core.left_out import note_left_out
from core.progress import Progress
from core.runtime import Precision, derive_seed, dtype_of
from core.stage import ClipStage, Stage
from core.video import Frames, read_frames, read_span, timeline_of
from core.workers import free_gpus, map_unordered
from generator.backbone.autoencoder import load_autoencoder, posterior_of, to_network
from generator.backbone.text import encode_text
from generator.base import ClipShape, Weights
from generator.latents import LatentDataset, notes_of

SHARD_CLIPS = 64
# At once through the autoencoder, over clips and frames: eight nano clips, one of full size. A CPU
# takes four times as long for a nano clip alone, since its fast convolutions want a batch.
BATCH_PIXELS = 8 * 9 * 64 * 96
FrameRule = Literal["uniform", "floor_stride"]


class Encoding(Stage):
    """Latents (N, T', C, h, w) and text embeddings (N, L, D) of the captioned `clips`, float16.

    parts: a folder with `vae`, `text_encoder` and `tokenizer`; max_text_tokens: of a caption, 0 for
    a generator that reads none, whose parts need no T5. split: encode only that split.
    precision: type that the frozen networks are loaded in. sample_posterior: with a seed per clip
    id, else its mean; scale_latents: multiply by the VAE's scaling factor, which sampling divides
    by; frames: see `training_frames`. The released Ophora code does neither of the two, and strides
    (False, False, "floor_stride"). The empty prompt's embedding is kept for guidance. Shards are
    made in parallel: a process for each core or GPU.
    """

    version: ClassVar[str] = "4"  # frames are found by their presentation timestamps

    clips: ClipStage
    parts: Weights
    shape: ClipShape
    max_text_tokens: int = pydantic.Field(ge=0)
    mask_padding: bool = False
    split: Split | None = None
    precision: Precision = "fp32"
    frames: FrameRule = "uniform"
    sample_posterior: bool = True
    scale_latents: bool = True

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self._manifest()
        if not len(manifest):
            raise UserError(f"no clips to encode (split {self.split}): check the filters before it")
        starts = range(0, len(manifest), SHARD_CLIPS)
        files = [folder / f"shard-{number:05d}.safetensors" for number in range(len(starts))]
        todo = [
            (file, manifest.keep(manifest.clips[start : start + SHARD_CLIPS]))
            for file, start in zip(files, starts, strict=True)
            if not file.is_file()
        ]
        self.parts.run()  # before the clock starts: it may train them first
        left = sum(len(part) for _, part in todo)
        check_room(folder, left * self.bytes_per_clip(), f"{left:,} encoded clips")
        write, unit = partial(_write_shard, self), f"x{SHARD_CLIPS} clips"
        with Progress("encode clips", len(files), unit, len(files) - len(todo)) as shown:
            for _ in map_unordered(write, todo, workers=self.runtime.lanes()):
                shown.advance()
        scaling_factor = self._write_empty_prompt(folder)
        _LOADED.clear()
        free_gpus(self.runtime.torch_device())
        unreadable = dict(
            pair for file in files for pair in read_json(notes_of(file))["unreadable"]
        )
        num_files = len({clip.path for clip in manifest.clips})
        left_out = note_left_out(
            {"unreadable": [unreadable[path] for path in sorted(unreadable)]},
            num_files,
            what=f"video files below {manifest.root}",
            cure=CURE,
        )
        rows = [read_json(notes_of(file))["clips"] for file in files]
        return {
            "clips": sum(rows),
            "rows_per_shard": rows,
            "unreadable": sorted(unreadable),
            "left_out": left_out,
            "scaling_factor": scaling_factor,
        }

    def is_one_piece(self) -> bool:
        return len(self._manifest()) <= SHARD_CLIPS

    def _write_empty_prompt(self, folder: Path) -> float:
        """Also returns the autoencoder's scaling factor."""
        encoder = _encoder_of(self)  # not kept: T5 and the autoencoder would stay on the GPU
        encoder.write_empty_prompt(folder / "empty_prompt.safetensors")
        return encoder.scaling_factor

    def _manifest(self) -> Manifest:
        return self.clips.manifest().of_split(self.split)

    def bytes_per_clip(self) -> int:
        """Of a clip's latents and caption on disk, as float16."""
        parts, shape = self.parts.weights(), self.shape
        vae = read_json(parts / "vae" / "config.json")
        apart = vae.get("temporal_compression_ratio") or 1
        times = (shape.num_frames - 1) // int(apart) + 1
        scale = 2 ** (len(vae["block_out_channels"]) - 1)
        values = times * vae["latent_channels"] * (shape.height // scale) * (shape.width // scale)
        if self.max_text_tokens:
            width = read_json(parts / "text_encoder" / "config.json")["d_model"]
            values += self.max_text_tokens * int(width)
        return 2 * int(values)

    def cost(self) -> str:
        if not self.parts.is_done():
            return ""
        size = f"{self.bytes_per_clip() / 1e6:,.2f} MB a clip"
        if not self.clips.is_done():
            return size
        clips = len(self._manifest())
        return f"{clips:,} clips, {size}, {clips * self.bytes_per_clip() / 1e9:,.2f} GB"

    def clip_ids(self) -> list[str]:
        """Encode if need be; the clips of the rows, in their order."""
        unreadable = set(self.run()["unreadable"])
        return [clip.clip_id for clip in self._manifest().clips if clip.path not in unreadable]

    def load(self) -> LatentDataset:
        """Encode if need be and open the shards."""
        result = self.run()
        return LatentDataset(self.folder, result["rows_per_shard"], result["scaling_factor"])


class _Encoder:
    """The frozen networks of one encoding run."""

    def __init__(self, stage: Encoding) -> None:
        self.stage = stage
        self.device = stage.runtime.torch_device()
        parts = stage.parts.weights()
        dtype = dtype_of(stage.precision, self.device)
        self.vae = load_autoencoder(parts / "vae", dtype).to(self.device)
        self.scaling_factor = float(self.vae.config.scaling_factor) if stage.scale_latents else 1.0
        shape = stage.shape
        self.batch = max(1, BATCH_PIXELS // (shape.num_frames * shape.height * shape.width))
        if stage.max_text_tokens:
            self.tokenizer = T5Tokenizer.from_pretrained(parts / "tokenizer")
            self.text_encoder = load_text_encoder(parts / "text_encoder", dtype).to(self.device)

    def text(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        stage = self.stage
        if stage.max_text_tokens == 0:
            none = torch.zeros(len(captions), 0)
            return none[..., None], none.bool()
        return encode_text(
            self.tokenizer,
            self.text_encoder,
            captions,
            stage.max_text_tokens,
            mask_padding=stage.mask_padding,
        )

    def write_empty_prompt(self, file: Path) -> None:
        embedding, _ = self.text([""])
        with atomic_path(file) as path:
            save_file({"text": embedding[0].half().cpu().contiguous()}, path)

    def write_shard(self, file: Path, manifest: Manifest) -> None:
        """Encode up to SHARD_CLIPS clips; the notes beside the shard are written before it."""
        clips: list[Clip] = []
        frames: list[Frames] = []
        unreadable: dict[str, str] = {}
        for clip in manifest.clips:
            try:
                frames.append(training_frames(manifest, clip, self.stage.shape, self.stage.frames))
            except UnreadableVideo as error:
                unreadable[clip.path] = f"{clip.path}: {error.reason}"
                continue
            clips.append(clip)
        if not clips:
            raise UserError(
                f"none of {len(manifest)} clips can be read: {min(unreadable.values())}"
            )
        captions = [clip.caption or "" for clip in clips]
        text, mask = self.text(captions)
        write_json(
            notes_of(file),
            {
                "clips": len(clips),
                "captions": captions,
                "unreadable": [list(pair) for pair in unreadable.items()],
            },
        )
        seeds = [derive_seed("posterior", clip.clip_id) for clip in clips]
        latents = [
            self.latents(np.stack(frames[start : start + self.batch]), seeds[start:])
            for start in range(0, len(clips), self.batch)
        ]
        tensors = {"latents": torch.cat(latents), "text": text.half().cpu(), "mask": mask.cpu()}
        with atomic_path(file) as path:
            posterior = "sampled" if self.stage.sample_posterior else "mean"
            metadata = {"posterior": posterior, "scaling_factor": str(self.scaling_factor)}
            save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)

    def latents(self, clips: NDArray[np.uint8], seeds: Sequence[int]) -> Tensor:
        """(B, T, H, W, 3) uint8 and a seed each -> (B, T', C, h, w) float16, sampled, scaled."""
        with torch.inference_mode():
            video = to_network(clips).to(self.device, self.vae.dtype)
            posterior = posterior_of(self.vae, video)
        latents = posterior.mean.float()
        if self.stage.sample_posterior:
            rngs = [torch.Generator().manual_seed(seed) for seed in seeds[: len(clips)]]
            noise = torch.stack([torch.randn(latents.shape[1:], generator=rng) for rng in rngs])
            latents = latents + posterior.std.float() * noise.to(self.device)
        return (latents * self.scaling_factor).transpose(1, 2).half().cpu()


# This process's encoder by its stage's key; loading it takes longer than a shard.
_LOADED: dict[str, _Encoder] = {}


def _encoder_of(stage: Encoding) -> _Encoder:
    key = stage.infra.uid()
    if key not in _LOADED:
        _LOADED.clear()
        stage.runtime.apply()
        _LOADED[key] = _Encoder(stage)
    return _LOADED[key]


def _write_shard(stage: Encoding, shard: tuple[Path, Manifest]) -> None:
    _encoder_of(stage).write_shard(*shard)


def load_text_encoder(folder: Path, dtype: torch.dtype = torch.float32) -> T5EncoderModel:
    """A frozen T5 encoder."""
    model = T5EncoderModel.from_pretrained(folder, dtype=dtype)
    return model.eval().requires_grad_(False)


def training_frames(
    manifest: Manifest, clip: Clip, shape: ClipShape, rule: FrameRule = "uniform"
) -> Frames:
    """`shape.num_frames` frames at the training size; a shorter clip ends in zero frames.

    rule: "uniform", over the whole clip; "floor_stride", every n-th frame from its start, n the
    whole part of frames over `num_frames`: the first half of a clip of 97 frames for 49.
    Source: Ophora, Sec. 3.1 (49 uniform frames, all-zero frames for shorter clips); its released
    code for "floor_stride", where shorter clips fail.
    Raises: UnreadableVideo.
    """
    path, size = manifest.path_of(clip), (shape.width, shape.height)
    if rule == "uniform":
        frames = read_span(
            path,
            start_s=clip.start_s,
            end_s=clip.end_s,
            num_frames=shape.num_frames,
            size=size,
            short="keep",
        )
    else:
        first, last = timeline_of(path).span(clip.start_s, clip.end_s)
        stride = max(1, (last - first) // shape.num_frames)
        indices = np.arange(first, last, stride)[: shape.num_frames]
        frames = read_frames(path, indices, size)
    missing = shape.num_frames - len(frames)
    return np.pad(frames, ((0, missing), (0, 0), (0, 0), (0, 0)))
