"""Video transformers: every class against its own library, and folders that are refused."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants

from benchmarks.config.files import load_config
from benchmarks.plan.data import Data, Inputs
from classifiers.prediction import penultimate_features, predict
from classifiers.transformers import FAMILY, TransformerWeights, VideoTransformer
from core.errors import UserError
from core.files import read_json, write_json
from tests.classifiers.tiny_transformers import FRAMES, MODELS, SIDE, saved

CLIPS = np.random.default_rng(0).integers(0, 256, (2, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)


def opened(weights: Path | str, cache: Path) -> tuple[Any, Any]:
    """The network and the stage that loads it."""
    place = Data(load_config("smoke"), Inputs(cache))
    field = "classifiers.transformers.weights"
    return FAMILY.open(VideoTransformer(), str(weights), field, (8, 64), place)


def loaded(weights: Path | str, cache: Path) -> Any:
    network, start = opened(weights, cache)
    assert network.shape(8, 64) == (FRAMES, SIDE)
    model = network.build(3, FRAMES, SIDE).eval()
    report = start.load_into(model)
    assert report.loaded and not report.missing
    return model


def pixels_of(name: str) -> torch.Tensor:
    """What the library's processor makes of the clips."""
    processor: Any = MODELS[name][1]()
    videos = [list(clip) for clip in CLIPS]
    if "V-JEPA" in name:  # it enlarges and cuts; the clips are of the cut's size
        videos = [torch.from_numpy(clip).permute(0, 3, 1, 2) for clip in CLIPS]
        found = processor(videos, do_resize=False, do_center_crop=False, return_tensors="pt")
        pixels: torch.Tensor = found["pixel_values_videos"]
    elif "ViViT" in name:
        pixels = processor(videos, return_tensors="pt")["pixel_values"]
    else:
        of_each = [processor(video, return_tensors="pt")["pixel_values"][0] for video in videos]
        pixels = torch.stack(of_each)
    return pixels


@pytest.mark.parametrize("name", MODELS)
def test_pixels_and_features_are_the_librarys(name: str, tmp_path: Path) -> None:
    model = loaded(saved(name, tmp_path / "model"), tmp_path / "cache")
    pixels = model.prepare(torch.from_numpy(CLIPS)).transpose(1, 2)
    torch.testing.assert_close(pixels, pixels_of(name).float(), rtol=1e-4, atol=1e-4)
    found = penultimate_features(model, CLIPS)
    if "pretrained" in name:
        kind = transformers.AutoModel
    else:
        kind = transformers.AutoModelForVideoClassification
    library = kind.from_pretrained(tmp_path / "model").eval()
    with torch.inference_mode():
        said = library(**{library.main_input_name: pixels})
        if "pretrained" in name:
            expected, own = said.last_hidden_state.mean(1), torch.from_numpy(found)
        else:  # its head on our features gives its logits
            expected, own = said.logits, library.classifier(torch.from_numpy(found))
        tokens = model.tokens(model.prepare(torch.from_numpy(CLIPS)))
    torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)
    assert predict(model, CLIPS).shape == (2, 3) and tokens.shape[::2] == (2, found.shape[1])
    assert not np.allclose(found[0], found[1])


def test_what_is_no_video_transformer_is_refused_in_one_line(tmp_path: Path) -> None:
    def fault(weights: Path | str) -> str:
        with pytest.raises(UserError) as found:
            opened(weights, tmp_path)
        assert "\n" not in str(found.value)
        return str(found.value)

    text = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    for name, config in (
        ("bert", transformers.BertConfig(**text)), ("vit", transformers.ViTConfig()),
    ):  # fmt: skip
        config.save_pretrained(tmp_path / name)
        line = fault(tmp_path / name)
        assert f"classifiers.transformers.weights {tmp_path / name}, config.json" in line
        assert f"model_type {name!r} is no video transformer: name one of" in line
        assert "videomae" in line and "vjepa2" in line
    assert "no such folder; give a folder or a hub id" in fault(tmp_path / "absent")
    model = saved("VideoMAE", tmp_path / "model")
    state = transformers.AutoModelForVideoClassification.from_pretrained(model).state_dict()
    del state["fc_norm.weight"]
    transformers.VideoMAEForVideoClassification.from_pretrained(model).save_pretrained(
        tmp_path / "part", state_dict=state
    )
    shutil.copy(model / "preprocessor_config.json", tmp_path / "part")
    assert "'fc_norm.weight' is not in them" in fault(tmp_path / "part")
    (model / "preprocessor_config.json").rename(tmp_path / "kept.json")
    assert "no preprocessor_config.json: how pixels are normalised" in fault(model)
    shutil.copy(tmp_path / "kept.json", model / "preprocessor_config.json")
    said = read_json(model / "config.json")
    write_json(model / "config.json", said | {"image_size": [32, 48]})
    assert "image_size [32, 48]; name a square model" in fault(model)
    write_json(model / "config.json", said | {"num_channels": 1})
    assert "1 channels; name a model of RGB" in fault(model)
    write_json(model / "config.json", said | {"hidden_size": "wide"})
    assert "no videomae can be built" in fault(model)
    write_json(model / "config.json", said)
    (model / "model.safetensors").write_bytes(b"cut short")
    assert "cannot be read" in fault(model)
    with pytest.raises(UserError, match=r"weights null: name a video transformer"):
        VideoTransformer().shape(8, 64)


def test_the_library_is_imported_where_it_is_used() -> None:
    lines = Path(str(inspect.getsourcefile(VideoTransformer))).read_text().splitlines()
    assert any("from transformers import" in line for line in lines)
    assert not any(line.startswith(("import transformers", "from transformers")) for line in lines)


def test_weights_are_known_by_their_contents(tmp_path: Path) -> None:
    first = saved("TimeSformer", tmp_path / "first")
    shutil.copytree(first, tmp_path / "moved")
    other = saved("TimeSformer", tmp_path / "other")
    said = read_json(other / "config.json")
    write_json(other / "config.json", said | {"layer_norm_eps": 1e-3})
    (_, one), (_, moved), (network, changed) = (
        opened(tmp_path / name, tmp_path / "cache") for name in ("first", "moved", "other")
    )
    assert one.infra.uid() == moved.infra.uid() != changed.infra.uid()
    assert network.architecture["layer_norm_eps"] == 1e-3 and "id2label" not in network.architecture


def test_a_hub_id_is_looked_at_before_it_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"lab/model: not in the hub's cache"):
        opened("lab/model", tmp_path)
    repository = tmp_path / "hub" / "models--lab--model"
    saved("ViViT", repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    network, start = opened("lab/model", tmp_path / "cache")
    assert network.shape(8, 64) == (FRAMES, SIDE)
    assert isinstance(start, TransformerWeights) and not start.weights.is_done()
    loaded("lab/model", tmp_path / "cache")
    assert start.weights.is_done()
