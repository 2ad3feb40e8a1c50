"""Tiny pipelines of diffusers with random weights, in folders as save_pretrained leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
from diffusers import DiffusionPipeline
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from generator.backbone.text import word_tokenizer
from tests.generator.tiny import CAPTIONS, SHAPE, TEXT_DIM, TRANSFORMER, VIDEO_VAE

TOKENIZER = word_tokenizer(CAPTIONS)
T5 = {
    "vocab_size": len(TOKENIZER), "d_model": TEXT_DIM, "d_kv": 8, "d_ff": 16, "num_layers": 1,
    "num_heads": 2,
}  # fmt: skip
FLOW = {"shift": 3.0}


def t5() -> T5EncoderModel:
    return T5EncoderModel(T5Config(**T5))


def cogvideox(kind: str) -> DiffusionPipeline:
    transformer = TRANSFORMER.build(SHAPE)
    if kind == "CogVideoXImageToVideoPipeline":  # the image's latents beside the noise
        config = dict(transformer.config) | {"in_channels": 2 * VIDEO_VAE.latent_channels}
        transformer = diffusers.CogVideoXTransformer3DModel.from_config(config)
    return getattr(diffusers, kind)(
        tokenizer=TOKENIZER,
        text_encoder=t5(),
        vae=VIDEO_VAE.build(SHAPE),
        transformer=transformer,
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )


def wan(kind: str) -> DiffusionPipeline:
    return getattr(diffusers, kind)(
        tokenizer=TOKENIZER,
        text_encoder=UMT5EncoderModel(UMT5Config(**T5)),
        vae=diffusers.AutoencoderKLWan(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
            temperal_downsample=[False, True, True], latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        transformer=diffusers.WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4,
            text_dim=TEXT_DIM, freq_dim=16, ffn_dim=16, num_layers=1, rope_max_seq_len=32,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**FLOW),
    )  # fmt: skip


def ltx(kind: str) -> DiffusionPipeline:
    return getattr(diffusers, kind)(
        tokenizer=TOKENIZER,
        text_encoder=t5(),
        vae=diffusers.AutoencoderKLLTXVideo(
            latent_channels=4, block_out_channels=(4, 4, 4, 4),
            decoder_block_out_channels=(4, 4, 4, 4), layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
        ),
        transformer=diffusers.LTXVideoTransformer3DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8,
            cross_attention_dim=16, num_layers=1, caption_channels=TEXT_DIM,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**FLOW),
    )  # fmt: skip


def latte(kind: str) -> DiffusionPipeline:
    return getattr(diffusers, kind)(
        tokenizer=TOKENIZER,
        text_encoder=t5(),
        vae=image_vae(),
        transformer=diffusers.LatteTransformer3DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8,
            num_layers=1, cross_attention_dim=16, sample_size=4, patch_size=2,
            num_embeds_ada_norm=1000, norm_type="ada_norm_single", norm_elementwise_affine=False,
            attention_bias=True, caption_channels=TEXT_DIM, video_length=9,
        ),
        scheduler=diffusers.DDIMScheduler(),
    )  # fmt: skip


def image_vae() -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4), norm_num_groups=2, latent_channels=4,
    )  # fmt: skip


def clip_text(folder: Path) -> tuple[CLIPTextModel, CLIPTokenizer]:
    (folder / "vocab.json").write_text('{"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.model_max_length = 16
    config = CLIPTextConfig(
        vocab_size=3, hidden_size=TEXT_DIM, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16, bos_token_id=0, eos_token_id=1,
        pad_token_id=1,
    )  # fmt: skip
    return CLIPTextModel(config), tokenizer


def of_unet(kind: str, folder: Path) -> DiffusionPipeline:
    """Of AnimateDiff, or of images."""
    text_encoder, tokenizer = clip_text(folder)
    unet = diffusers.UNet2DConditionModel(
        sample_size=4, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), cross_attention_dim=TEXT_DIM,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4,
    )  # fmt: skip
    parts = {
        "vae": image_vae(), "text_encoder": text_encoder, "tokenizer": tokenizer, "unet": unet,
        "scheduler": diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
    }  # fmt: skip
    if kind == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None}
    else:
        parts["motion_adapter"] = diffusers.MotionAdapter(
            block_out_channels=(8, 8), motion_layers_per_block=1, motion_norm_num_groups=2,
            motion_num_attention_heads=2,
        )  # fmt: skip
    return getattr(diffusers, kind)(**parts)


MAKERS: dict[str, Callable[[str], DiffusionPipeline]] = {
    "CogVideoXPipeline": cogvideox,
    "CogVideoXImageToVideoPipeline": cogvideox,
    "WanPipeline": wan,
    "LTXPipeline": ltx,
    "LTXImageToVideoPipeline": ltx,
    "LattePipeline": latte,
}


def pipeline_folder(kind: str, root: Path) -> Path:
    """A folder with a pipeline of that class."""
    torch.manual_seed(0)
    root.mkdir(parents=True, exist_ok=True)
    pipeline = MAKERS[kind](kind) if kind in MAKERS else of_unet(kind, root)
    pipeline.save_pretrained(root / kind)
    return root / kind
