"""Encoders by path: tiny modules with the call signatures of the published files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from benchmarks.metrics.clip_features import load_encoders
from benchmarks.metrics.clip_score import class_probabilities
from benchmarks.metrics.encoders import CONFIG_NAME, WEIGHTS_NAME, EncoderFolder
from benchmarks.metrics.frechet import frechet_distance, gaussian_of
from benchmarks.metrics.torchscript_encoders import (
    I3d,
    InceptionV3,
    ScriptProtocol,
    TorchScriptEncoder,
    VideoProtocol,
    short_side_crop,
)
from benchmarks.metrics.transformers_clip import TransformersClip
from core.errors import UserError
from core.files import sha256_of_file
from tests.benchmarks.metrics.tiny_scripts import TinyI3d, TinyInception, save

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (3, 4, 32, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("protocol", ["stylegan_v", "videogpt"])
def test_i3d_is_called_as_its_protocol_says(protocol: VideoProtocol, tmp_path: Path) -> None:
    path = save(TinyI3d(), tmp_path / "i3d.pt")
    encoder = I3d(path, protocol, CPU)
    rows = encoder.features(FRAMES)
    inside = protocol == "stylegan_v"
    expected = FRAMES.reshape(3, -1).astype(np.float64)
    if inside:  # untouched: the file resizes and rescales
        np.testing.assert_allclose(rows[:, 0], expected.mean(1), rtol=1e-6)
        np.testing.assert_array_equal(rows[:, 1:3], [[0, 255]] * 3)
        assert rows[0, 3:].tolist() == [1, 1, 1, 3, 4, 32, 48]
    else:
        assert rows[:, 1].min() >= -1 and rows[:, 2].max() <= 1 and rows[:, 1].max() < -0.5
        assert rows[0, 3:].tolist() == [0, 0, 1, 3, 4, 224, 224]
    assert encoder.sha256 == sha256_of_file(path) and encoder.name == f"i3d_{protocol}"
    np.testing.assert_allclose(encoder.probabilities(rows).sum(axis=1), 1, rtol=1e-5)


def test_videogpt_cuts_the_centre_of_the_resized_clip() -> None:
    ramp = torch.arange(8.0).expand(1, 3, 2, 4, 8)  # columns 0 ... 7, four rows
    cut = short_side_crop(ramp, side=4)
    assert cut.shape == (1, 3, 2, 4, 4) and cut[0, 0, 0, 0].tolist() == [2, 3, 4, 5]
    upright = short_side_crop(ramp.transpose(3, 4), side=4)
    assert upright[0, 0, 0, :, 0].tolist() == [2, 3, 4, 5]
    assert short_side_crop(ramp[..., :7], side=8).shape == (1, 3, 2, 8, 8)


def test_inception_gives_features_and_probabilities_of_every_frame(tmp_path: Path) -> None:
    path = save(TinyInception(), tmp_path / "inception.pt")
    encoder = InceptionV3(path, CPU)
    colours = FRAMES.mean(axis=(2, 3))
    np.testing.assert_allclose(encoder.features(FRAMES), colours, rtol=1e-5)
    found = encoder.probabilities(FRAMES)
    expected = torch.from_numpy(colours).softmax(dim=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # without the bias
    assert encoder.sha256 == sha256_of_file(path)


def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(b"no zip archive")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "state.pt")
    save(TinyInception(), tmp_path / "inception.pt")
    cases: list[tuple[str, ScriptProtocol, str]] = [
        ("absent.pt", "stylegan_v", "no such file"),
        ("noise.pt", "stylegan_v", "not a torchscript file"),
        ("state.pt", "inception_v3", "not a torchscript file"),
        ("inception.pt", "stylegan_v", "no rescale, resize: not stylegan_v"),
    ]
    for name, protocol, message in cases:
        with pytest.raises(UserError, match=message) as raised:
            TorchScriptEncoder.identify(tmp_path / name, protocol)
        assert "\n" not in str(raised.value) and name in str(raised.value)


def test_a_file_is_identified_by_content_and_protocol(tmp_path: Path) -> None:
    one = save(TinyI3d(), tmp_path / "one.pt")
    (tmp_path / "two.pt").write_bytes(one.read_bytes())

    def stage(name: str, protocol: VideoProtocol) -> TorchScriptEncoder:
        found = TorchScriptEncoder.identify(tmp_path / name, protocol)
        return TorchScriptEncoder(**found, infra={"folder": tmp_path / "cache"})

    first, second = stage("one.pt", "stylegan_v"), stage("two.pt", "stylegan_v")
    assert first.infra.uid() == second.infra.uid() != stage("one.pt", "videogpt").infra.uid()
    assert first.weights() == one and first.sha256 == sha256_of_file(one)
    one.write_bytes(b"other")
    changed = TorchScriptEncoder(
        path=one, sha256=first.sha256, protocol="stylegan_v", infra={"folder": tmp_path / "other"}
    )
    with pytest.raises(UserError, match="expected"):
        changed.run()


def clip_folder(folder: Path) -> Path:
    """A CLIP of two small towers, saved as `transformers` does."""
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    vision = {**tower, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "b</w>", "a", "b"]
    text = {**tower, "num_attention_heads": 2, "vocab_size": 6, "max_position_embeddings": 6}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    CLIPModel(
        CLIPConfig(text_config={**text, **marks}, vision_config=vision, projection_dim=8)
    ).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder)
    vocabulary = {word: index for index, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    return folder


def test_clip_of_a_folder_equals_the_library(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "clip")
    clip = TransformersClip(folder, CPU)
    features, embeddings = clip.frames(FRAMES)
    assert features.shape == (3, 4, 16) and embeddings.shape == (3, 4, 8)
    model = CLIPModel.from_pretrained(folder).eval()
    pixels = clip.processor(images=[FRAMES[1, 2]], return_tensors="pt")["pixel_values"]
    texts = clip.tokenizer(["a b"], return_tensors="pt")
    with torch.inference_mode():
        image = model.get_image_features(pixel_values=pixels).pooler_output
        text = model.get_text_features(**texts).pooler_output
    np.testing.assert_allclose(embeddings[1, 2], image[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(clip.texts(["a b", "b"])[0], text[0], rtol=1e-4, atol=1e-6)
    # One frame, one text a class: the library's own zero-shot probabilities.
    rows = [clip.texts(["a b"]), None, clip.texts(["b"])]
    chances = class_probabilities(embeddings[1:2, 2:3], rows, clip.logit_scale)
    tokens = clip.tokenizer(["a b", "b"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(pixel_values=pixels, **tokens).logits_per_image
    assert chances[0, 1] == 0
    np.testing.assert_allclose(chances[0, [0, 2]], logits.softmax(dim=1)[0], rtol=1e-4)
    assert clip.texts(["a b " * 50]).shape == (1, 8)  # cut
    assert clip.sha256 == sha256_of_file(folder / WEIGHTS_NAME)
    assert clip.name == "clip_16_patch8_16"


def test_a_clip_whose_weights_are_pickled_is_refused(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path)
    model = CLIPModel.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors in it: other files can run code"):
        TransformersClip(folder, CPU)


def test_stages_of_published_encoders_load_by_kind(tmp_path: Path) -> None:
    infra = {"folder": tmp_path / "cache"}

    def script(module: nn.Module, protocol: ScriptProtocol) -> TorchScriptEncoder:
        path = save(module, tmp_path / f"{protocol}.pt")
        return TorchScriptEncoder(**TorchScriptEncoder.identify(path, protocol), infra=infra)

    folder = clip_folder(tmp_path / "clip")
    image_text = EncoderFolder(**EncoderFolder.identify(folder), infra=infra)
    encoders = load_encoders(
        script(TinyI3d(), "stylegan_v"), image_text, script(TinyInception(), "inception_v3"), CPU
    )
    arrays = encoders.encode(FRAMES, ["a", "b", "a b"])
    assert arrays["frames"].shape == (3, 4, 3)
    assert {name: len(rows) for name, rows in arrays.items()} == dict.fromkeys(arrays, 3)
    named = {key: each["name"] for key, each in encoders.describe().items()}
    assert named == {
        "video_encoder": "i3d_stylegan_v",
        "image_text_encoder": "clip_16_patch8_16",
        "image_encoder": "inception_v3",
    }
    (folder / CONFIG_NAME).write_text('{"encoder": "video"}')
    other = EncoderFolder(**EncoderFolder.identify(folder), infra=infra)
    with pytest.raises(UserError, match="not an image-text encoder"):
        load_encoders(script(TinyI3d(), "stylegan_v"), other, None, CPU)


@pytest.mark.slow
@pytest.mark.skipif("OPHORA_I3D" not in os.environ, reason="OPHORA_I3D: path of i3d_torchscript.pt")
@pytest.mark.parametrize("protocol", ["stylegan_v", "videogpt"])
def test_black_and_white_clips_are_as_far_apart_as_published(protocol: VideoProtocol) -> None:
    """Source: common_metrics_on_video_quality, README: 8 clips of zeros against 8 of ones."""
    encoder = I3d(Path(os.environ["OPHORA_I3D"]), protocol, CPU)
    black = np.zeros((8, 30, 64, 64, 3), np.uint8)
    sides = [gaussian_of([encoder.features(clips)]) for clips in (black, black + 255)]
    assert frechet_distance(*sides) == pytest.approx(151.26, abs=0.01)
