"""OphCLIP-nano: an image tower and a text tower trained contrastively on captioned clips.

Its image features serve FID, both towers serve CLIPScore. The text tower is another model than the
generators' (T5), with its own word-level tokenizer.
Source: Radford et al. 2021 (CLIP, arXiv 2103.00020), Sec. 2.3; the sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import timm
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.metrics.encoders import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    EncoderTraining,
    FramedClips,
    as_trained,
    load_weights,
    mirror_half,
    save_encoder,
    split_held_out,
)
from benchmarks.metrics.frames import FrameProtocol, batches
from classifiers.prediction import normalise
from core.batch import Batch
from core.clip import Clip, Manifest
from core.errors import UserError
from core.files import read_object, sha256_of_file, write_text
from core.fitting import LossFunction, fit
from core.runtime import seed_everything

TOKENIZER_NAME = "tokenizer.json"
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
FRAMES_A_STEP = 2  # frames of each clip that a training step looks at
MAX_LOGIT_SCALE = 100.0  # Source: CLIP, Sec. 2.5


class OphClipNetwork(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Sizes of both towers. The image tower is a timm ResNet with one block a stage."""

    channels: tuple[int, int, int, int] = (16, 32, 64, 128)
    embedding_dim: int = pydantic.Field(default=128, ge=8)
    text_dim: int = pydantic.Field(default=128, ge=8, multiple_of=4)
    text_layers: int = pydantic.Field(default=2, ge=1)
    max_tokens: int = pydantic.Field(default=64, ge=4)


class OphClipModel(nn.Module):
    """frames -> image tower -> features -> projection; tokens -> text tower -> projection."""

    def __init__(self, network: OphClipNetwork, vocabulary: int) -> None:
        super().__init__()
        self.image = timm.create_model(
            "resnet18",
            pretrained=False,
            num_classes=0,
            layers=(1, 1, 1, 1),
            channels=network.channels,
        ).to(memory_format=torch.channels_last)
        text = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=network.text_dim,
            intermediate_size=4 * network.text_dim,
            num_hidden_layers=network.text_layers,
            num_attention_heads=4,
            max_position_embeddings=network.max_tokens,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
        self.text = CLIPTextModel(text)
        self.image_projection = nn.Linear(network.channels[-1], network.embedding_dim, bias=False)
        self.text_projection = nn.Linear(network.text_dim, network.embedding_dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())  # Source: CLIP, Sec. 2.5

    def frame_features(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W) float32, normalised -> (B, D)."""
        features: Tensor = self.image(frames.contiguous(memory_format=torch.channels_last))
        return features

    def text_embeddings(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, L) token ids and their mask -> (B, E)."""
        pooled = self.text(input_ids=tokens, attention_mask=mask).pooler_output
        embeddings: Tensor = self.text_projection(pooled)
        return embeddings


def _images(frames: NDArray[np.uint8], device: torch.device) -> Tensor:
    # (B, T, H, W, 3) uint8 -> (B * T, 3, H, W) float32, normalised
    return normalise(torch.from_numpy(frames).to(device)).transpose(1, 2).flatten(0, 1)


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE with every clip of an equal caption as a positive.

    Args: images, texts: (B, E); scale: scalar; same: (B, B) bool, whether captions are equal.
    Source: CLIP, Fig. 3; several positives as in Khosla et al. 2020 (arXiv 2004.11362), Eq. 2.
    """
    unit = nn.functional.normalize
    logits = scale.clamp(max=MAX_LOGIT_SCALE) * unit(images, dim=-1) @ unit(texts, dim=-1).T
    targets = same.float() / same.sum(dim=1, keepdim=True)
    by_image = nn.functional.cross_entropy(logits, targets)
    return (by_image + nn.functional.cross_entropy(logits.T, targets)) / 2


def build_tokenizer(captions: Sequence[str], max_tokens: int) -> Tokenizer:
    """Word-level tokenizer of all words in `captions`, lower case, in alphabetical order."""
    normalizer = normalizers.Lowercase()
    splitter = pre_tokenizers.Whitespace()
    words = {
        word
        for caption in captions
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption))
    }
    vocabulary = {
        word: index for index, word in enumerate([PAD, UNKNOWN, START, END, *sorted(words)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, 2), (END, 3)]
    )
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=0, pad_token=PAD, length=max_tokens)
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Texts -> token ids and mask, both (N, L) int64."""
    encoded = tokenizer.encode_batch(list(texts))
    ids = torch.tensor([item.ids for item in encoded])
    return ids, torch.tensor([item.attention_mask for item in encoded])


class OphClip:
    """A trained OphCLIP, read from its folder."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        config = read_object(folder / CONFIG_NAME)
        if config.get("encoder") != "image_text":
            raise UserError(f"{folder / CONFIG_NAME}: not an image-text encoder")
        self.sha256 = sha256_of_file(folder / WEIGHTS_NAME)
        self.device = device
        with as_trained(folder):
            self.name = str(config["name"])
            self.protocol = FrameProtocol.model_validate(config["protocol"])
            self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_NAME))
            network = OphClipNetwork.model_validate(config["network"])
            model = OphClipModel(network, self.tokenizer.get_vocab_size())
            self.model: Any = load_weights(folder, model, device)

    @property
    def logit_scale(self) -> float:
        """What the training multiplied cosines by."""
        return float(self.model.log_scale.exp().clamp(max=MAX_LOGIT_SCALE).item())

    @torch.inference_mode()
    def frames(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, T, H, W, 3) uint8 -> features (B, T, D) and embeddings (B, T, E), float32."""
        batch, length = frames.shape[:2]
        features = self.model.frame_features(_images(frames, self.device))
        embeddings = self.model.image_projection(features)
        shape = (batch, length, -1)
        return features.view(shape).cpu().numpy(), embeddings.view(shape).cpu().numpy()

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """B texts -> embeddings (B, E) float32. Words never seen in training become `<unk>`."""
        tokens, mask = tokenize(self.tokenizer, texts)
        embeddings = self.model.text_embeddings(tokens.to(self.device), mask.to(self.device))
        result: NDArray[np.float32] = embeddings.cpu().numpy()
        return result


class OphClipTraining(EncoderTraining):
    """Train OphCLIP-nano on captioned clips."""

    name: str = pydantic.Field(default="ophclip_nano", pattern="[a-z0-9_]+")
    network: OphClipNetwork = OphClipNetwork()

    def execute(self, folder: Path) -> dict[str, Any]:
        """Train, save, and report top-5 caption retrieval on the held-out clips (percent)."""
        device = self.runtime.torch_device()
        train = self.training_clips()
        captions = captions_of(train.clips)
        tokenizer = build_tokenizer(captions, self.network.max_tokens)
        write_text(folder / TOKENIZER_NAME, tokenizer.to_str(pretty=True))
        seed_everything(self.optimisation.seed)
        model = OphClipModel(self.network, tokenizer.get_vocab_size()).to(device)
        result = fit(
            model,
            _loss_on(model, train, captions, tokenize(tokenizer, captions), device),
            len(captions),
            self.optimisation,
            folder,
            description=f"training {self.name}",
            device=device,
        )
        config = {
            "encoder": "image_text",
            "name": self.name,
            "network": self.network.model_dump(mode="json"),
            "protocol": self.protocol.model_dump(),
        }
        sha256 = save_encoder(folder, model, config)
        _, held_out = split_held_out(self.clips.manifest())
        top5 = retrieval_top5(OphClip(folder, device), held_out)
        return {**result, "sha256": sha256, "train_clips": len(captions), "held_out_top5": top5}


def captions_of(clips: Sequence[Clip]) -> list[str]:
    """The captions of all clips, in order.  Raises: UserError: naming a clip without one."""
    for clip in clips:
        if not clip.caption:
            raise UserError(f"clip {clip.clip_id!r} has no caption: this encoder needs one each")
    return [clip.caption or "" for clip in clips]


def _loss_on(
    model: OphClipModel,
    train: FramedClips,
    captions: Sequence[str],
    tokens: tuple[Tensor, Tensor],
    device: torch.device,
) -> LossFunction:
    text_ids = torch.from_numpy(np.unique(list(captions), return_inverse=True)[1])

    def loss(batch: Batch) -> Tensor:
        clips = train.frames(batch.index)
        order = torch.rand(clips.shape[1], generator=next(batch.rngs("frames"))).argsort()
        frames = mirror_half(clips[:, order[:FRAMES_A_STEP].numpy()], batch)
        features = model.frame_features(_images(frames, device))
        images = model.image_projection(features).view(len(clips), FRAMES_A_STEP, -1)
        images = nn.functional.normalize(images, dim=-1).mean(dim=1)
        ids, mask = (part[batch.index].to(device) for part in tokens)
        same = text_ids[batch.index][:, None] == text_ids[batch.index][None, :]
        texts = model.text_embeddings(ids, mask)
        return contrastive_loss(images, texts, model.log_scale.exp(), same.to(device))

    return loss


def retrieval_top5(encoder: OphClip, held_out: Manifest) -> float | None:
    """Percent of clips whose own caption is among the five nearest of all distinct captions.

    None without clips or with fewer than six distinct captions.
    """
    captions = captions_of(held_out.clips)
    distinct, own = np.unique(captions, return_inverse=True)
    if len(distinct) < 6:
        return None
    texts = encoder.texts([str(caption) for caption in distinct])
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    right = done = 0
    for _, frames in batches(held_out, encoder.protocol):
        embeddings = encoder.frames(frames)[1]
        clips = (embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)).mean(axis=1)
        nearest = np.argsort(-(clips @ texts.T), axis=1, kind="stable")[:, :5]
        right += int((nearest == own[done : done + len(clips), None]).any(axis=1).sum())
        done += len(clips)
    return round(100.0 * right / done, 2)
