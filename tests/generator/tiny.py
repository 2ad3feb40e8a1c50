"""Tiny but real parts for generator tests: clips on disk, VAE, T5, assembled pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import T5Config, T5EncoderModel

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.optimisation import Optimisation
from core.runtime import Runtime
from core.stage import ClipStage
from core.video import Frames, write_video
from generator.backbone.autoencoder import AutoencoderSettings
from generator.backbone.text import word_tokenizer
from generator.base import ClipShape, GivenWeights
from generator.bora.pipeline import BoraAssembly, STDiTSettings
from generator.diffusion import DenoiserTraining
from generator.encoding import Encoding
from generator.endora.pipeline import EndoraAssembly, EndoraSettings
from generator.endora.transformer import EndoraTransformer
from generator.ophora.pipeline import OphoraAssembly, TransformerSettings
from generator.ophora.training import OphoraTraining

SHAPE = ClipShape(num_frames=9, width=32, height=32)
CAPTIONS = ("a blue square moves left", "a red disc grows slowly", "the green bar turns right")
TEXT_DIM, TEXT_TOKENS = 16, 8
VIDEO_VAE = AutoencoderSettings(
    dimension=3, channels=(4, 4, 4, 4), latent_channels=4, norm_groups=2
)
IMAGE_VAE = VIDEO_VAE.model_copy(update={"dimension": 2})
TRANSFORMER = TransformerSettings(
    num_layers=1,
    num_attention_heads=2,
    attention_head_dim=16,
    time_embed_dim=8,
    text_embed_dim=TEXT_DIM,
    max_text_tokens=TEXT_TOKENS,
    latent_channels=4,
)
STDIT = STDiTSettings(
    depth=1, hidden_size=32, num_heads=2, patch_size=2, text_dim=TEXT_DIM,
    max_text_tokens=TEXT_TOKENS,
)  # fmt: skip
ENDORA = EndoraSettings(depth=4, hidden_size=32, num_heads=2, latent_channels=4)
ENDORA_SIZE = {"num_frames": 3, "height": 4, "width": 8}
ENDORA_SIZE |= {"hidden_size": 32, "depth": 4, "num_heads": 2}


def common(root: Path) -> dict[str, Any]:
    """Machinery of a test's stages."""
    return {"infra": {"folder": str(root / "cache")}, "runtime": Runtime(workers=1, device="cpu")}


def moving_square(colour: int, num_frames: int = 12, size: int = 32) -> Frames:
    """(T, size, size, 3) uint8: a square that moves to the right."""
    frames = np.full((num_frames, size, size, 3), 40, np.uint8)
    for index in range(num_frames):
        frames[index, 8:20, 2 + index : 14 + index, colour] = 220
    return frames


class CaptionedClips(ClipStage):
    """`num_clips` captioned clips; the last is shorter than SHAPE where `last_is_short`."""

    num_clips: int = 6
    last_is_short: bool = False
    broken: tuple[int, ...] = ()

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = []
        for index in range(self.num_clips):
            short = self.last_is_short and index == self.num_clips - 1
            frames = moving_square(index % 3, 5 if short else 12)
            write_video(folder / "clips" / f"c{index}.mp4", frames)
            if index in self.broken:
                (folder / "clips" / f"c{index}.mp4").write_bytes(b"no video")
            caption = CAPTIONS[index % len(CAPTIONS)]
            clips.append(
                Clip(clip_id=f"c{index}", video_id="v", path=f"c{index}.mp4", caption=caption,
                     source="tiny", split="train")
            )  # fmt: skip
        Manifest(root=folder / "clips", clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


def weights(path: Path, root: Path) -> GivenWeights:
    return GivenWeights.at(path, **common(root))


def text_folder(root: Path) -> Path:
    """A random T5 with the captions' words."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer(CAPTIONS)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=TEXT_DIM, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    T5EncoderModel(config).save_pretrained(root / "text" / "text_encoder")
    tokenizer.save_pretrained(root / "text" / "tokenizer")
    return root / "text"


def autoencoder_folder(root: Path, settings: AutoencoderSettings) -> Path:
    torch.manual_seed(0)
    folder = root / f"vae{settings.dimension}"
    settings.build(SHAPE).save_pretrained(folder)
    return folder


def ophora_base(
    root: Path,
    shape: ClipShape = SHAPE,
    transformer: TransformerSettings = TRANSFORMER,
) -> OphoraAssembly:
    return OphoraAssembly(
        autoencoder=weights(autoencoder_folder(root, VIDEO_VAE), root),
        text=weights(text_folder(root), root),
        shape=shape,
        transformer=transformer,
        **common(root),
    )


def bora_base(
    root: Path,
    shape: ClipShape = SHAPE,
    transformer: STDiTSettings = STDIT,
) -> BoraAssembly:
    return BoraAssembly(
        autoencoder=weights(autoencoder_folder(root, IMAGE_VAE), root),
        text=weights(text_folder(root), root),
        shape=shape,
        transformer=transformer,
        **common(root),
    )


def endora_base(
    root: Path, shape: ClipShape = SHAPE, classes: tuple[str, ...] = ()
) -> EndoraAssembly:
    return EndoraAssembly(
        autoencoder=weights(autoencoder_folder(root, IMAGE_VAE), root),
        shape=shape,
        transformer=ENDORA,
        classes=classes,
        **common(root),
    )


def class_endora_base(root: Path) -> EndoraAssembly:
    """Its classes are the captions."""
    return endora_base(root, classes=CAPTIONS)


def endora_network(**fields: Any) -> EndoraTransformer:
    """A small Endora whose outputs are not zero."""
    torch.manual_seed(0)
    model = EndoraTransformer(**ENDORA_SIZE | fields)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def denoiser_training(
    root: Path, kind: type[DenoiserTraining], steps: int, **fields: Any
) -> DenoiserTraining:
    """A training of a tiny Ophora or Bora on real clips; `fields` over `common` and defaults."""
    ophora = issubclass(kind, OphoraTraining)
    base = ophora_base(root) if ophora else bora_base(root)
    encoding = Encoding(
        clips=CaptionedClips(**common(root)),
        parts=base,
        shape=SHAPE,
        max_text_tokens=TEXT_TOKENS,
        mask_padding=not ophora,
        **common(root),
    )
    optimisation = Optimisation(
        steps=steps, batch_size=4, lr=1e-2, ema_decay=0.5, checkpoint_every=1
    )
    settings = {"optimisation": optimisation, "encoding": encoding, **common(root), **fields}
    return kind(name="TPT" if ophora else "fine-tuned", init=base, **settings)
