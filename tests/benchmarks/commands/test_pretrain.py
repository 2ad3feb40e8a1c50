"""Shipping trained weights: what is kept, in which precision, and that it loads again."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from benchmarks.commands import pretrain
from benchmarks.config.files import load_as, load_yaml
from benchmarks.pretraining.config import PretrainConfig
from benchmarks.pretraining.ship import WEIGHTS_ROOT, samples_seen, ship
from benchmarks.pretraining.stages import Pretraining
from core.errors import UserError
from core.files import read_json
from core.optimisation import Optimisation
from generator.backbone.autoencoder import (
    AutoencoderTraining,
    decode,
    load_autoencoder,
    posterior_of,
    psnr_db,
    to_frames,
    to_network,
)
from generator.base import BeforehandTraining, GivenWeights, Weights
from generator.denoising import DiffusionSettings
from generator.diffusion import DenoiserTraining
from generator.encoding import Encoding
from generator.ophora.training import OphoraTraining
from tests.generator.tiny import SHAPE, TEXT_TOKENS, CaptionedClips, common, ophora_base, weights

DENOISER = "transformer/diffusion_pytorch_model.safetensors"


def two_trainings(root: Path) -> tuple[OphoraTraining, OphoraTraining]:
    """A base model's training and one that goes on from it."""
    start = ophora_base(root)
    encoding = Encoding(
        clips=CaptionedClips(**common(root)),
        parts=start,
        shape=SHAPE,
        max_text_tokens=TEXT_TOKENS,
        **common(root),
    )
    shared = {"encoding": encoding, **common(root)}
    short, long = (Optimisation(steps=steps, batch_size=4, lr=1e-2) for steps in (2, 3))
    base = OphoraTraining(name="base", init=start, optimisation=short, **shared)
    return base, OphoraTraining(name="TPT", init=base, optimisation=long, **shared)


def test_shipped_weights_load_as_they_were_trained(tmp_path: Path) -> None:
    base, further = two_trainings(tmp_path)
    whole = ship("ophora_base", base, "cmd", "abc", tmp_path / "out")
    alone = ship("ophora_tpt", further, "cmd", "abc", tmp_path / "out")
    assert {path.name for path in alone.iterdir()} == {"transformer", "CARD.md", "training.json"}
    assert {"vae", "text_encoder", "tokenizer"} < {path.name for path in whole.iterdir()}
    standing = ship("ophora_tpt", further, "cmd", "a", tmp_path / "all", whole=True)
    assert {path.name for path in standing.iterdir()} == {path.name for path in whole.iterdir()}
    assert (standing / DENOISER).read_bytes() == (alone / DENOISER).read_bytes()
    assert str(tmp_path) not in "".join(path.read_text() for path in whole.rglob("*.json"))
    assert read_json(whole / "training.json")["samples"] == 8
    assert read_json(alone / "training.json")["samples"] == 8 + 12
    card = (alone / "CARD.md").read_text()
    assert "`cmd` at commit abc" in card and "OphoraTraining" in card

    given = {path: weights(path, tmp_path) for path in (whole, alone)}
    joined = BeforehandTraining(base=given[whole], transformer=given[alone], **common(tmp_path))
    found = load_file(joined.weights() / DENOISER)
    trained = load_file(further.weights() / DENOISER)
    assert all(torch.equal(found[name], trained[name].half()) for name in trained)
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (joined.weights() / vae).read_bytes() == (whole / vae).read_bytes()
    assert joined.run()["samples"] == 20 and joined.run()["base"]["samples"] == 8


def test_single_frames_are_counted_apart_from_clips(tmp_path: Path) -> None:
    base, further = two_trainings(tmp_path)
    settings = DiffusionSettings(frames=1)
    shared = {"encoding": base.encoding, **common(tmp_path)}
    stills = OphoraTraining(
        name="TPT", init=base, optimisation=base.optimisation, diffusion=settings, **shared
    )
    clips = OphoraTraining(name="TPT", init=stills, optimisation=further.optimisation, **shared)
    shipped = ship("ophora_tpt", clips, "cmd", "abc", tmp_path / "out")
    record = read_json(shipped / "training.json")
    assert record["samples"] == 8 + 12 and record["stills"] == 8
    raw = load_yaml("_pretrain_nano")
    whole = ship("ophora_base", base, "cmd", "abc", tmp_path / "out")
    raw["ophora_base"]["given"] = str(whole)
    raw["ophora_tpt"] |= {"start": str(shipped), "earlier": []}
    again = Pretraining(PretrainConfig.model_validate(raw), tmp_path).ophora_tpt
    seen = 8 + 12 + again.optimisation.samples
    before = {"samples": 8 + 12, "stills": 8}
    assert samples_seen(again) == {"samples": seen, "stills": 8, "before": before}


def test_a_folder_without_a_transformer_is_refused(tmp_path: Path) -> None:
    base = ophora_base(tmp_path)
    (tmp_path / "empty").mkdir()
    wrong = GivenWeights.at(tmp_path / "empty", **common(tmp_path))
    with pytest.raises(UserError, match=r"empty: no folder `transformer` in it$"):
        BeforehandTraining(base=base, transformer=wrong, **common(tmp_path)).run()


def pretrain_samples(training: DenoiserTraining) -> list[tuple[int | None, int]]:
    """Samples of a training and of those that it goes on from: (frames of each, how many)."""
    found: list[tuple[int | None, int]] = []
    begun: Weights = training
    while isinstance(begun, DenoiserTraining):
        found.append((begun.diffusion.frames, begun.optimisation.samples))
        begun = begun.init
    return found


@pytest.mark.parametrize("name", ["_pretrain_plain"])
def test_going_on_is_fair_too(name: str, tmp_path: Path) -> None:
    stages = Pretraining(load_as(PretrainConfig, name), tmp_path)
    seen = [
        pretrain_samples(getattr(stages, row))
        for row in ("ophora_tpt", "cogvideox_ophvl", "bora_tuned", "endora_tuned")
    ]
    assert all(samples == seen[0] for samples in seen)
    assert [frames for frames, _ in seen[0]] == [None, 3, 1]


def test_every_name_is_a_stage_of_the_configuration(tmp_path: Path) -> None:
    config = PretrainConfig.model_validate(load_yaml("_pretrain_nano"))
    stages = {name: getattr(Pretraining(config, tmp_path), name) for name in pretrain.NAMES}
    keys = {stage.infra.uid() for stage in stages.values()}
    assert len(keys) == len(pretrain.NAMES)
    # The fine-tuned rows are compared: as many samples, parameters within 10% (on their cards).
    # Ophora's base stands for CogVideoX-2b, which has seen far more than the baselines' own bases.
    ophora, bora, endora = (
        pretrain_samples(stages[name]) for name in ("ophora_base", "bora_base", "endora_base")
    )
    assert bora == endora
    assert sum(count for _, count in ophora) >= 1_000_000
    seen = [
        pretrain_samples(stages[name])[:2]  # clips, and the single frames before them
        for name in ("ophora_tpt", "cogvideox_ophvl", "bora_tuned", "endora_tuned")
    ]
    assert all(samples == seen[0] for samples in seen)
    assert [frames for frames, _ in seen[0]] == [None, 1]


def test_what_ships_is_trained_on_without_its_bases_being_trained_again(tmp_path: Path) -> None:
    pretraining = Pretraining(load_as(PretrainConfig, "_pretrain_onward"), tmp_path)
    for name in ("ophora_tpt", "cogvideox_ophvl", "bora_tuned", "endora_tuned"):
        trained = [
            stage for stage in getattr(pretraining, name).tower() if hasattr(stage, "optimisation")
        ]
        assert len(trained) == 2  # on single frames, then on clips
    for name in ("ophora_base", "bora_base", "endora_base", "dino_nano"):
        stages = getattr(pretraining, name).tower()
        assert not any(hasattr(stage, "optimisation") for stage in stages)


def test_what_ships_has_seen_as_much_and_is_as_large() -> None:
    names = ("ophora_tpt", "cogvideox_ophvl", "bora_tuned", "endora_tuned")
    records = [read_json(WEIGHTS_ROOT / name / "training.json") for name in names]
    own = {
        tuple(record[kind] - record["before"].get(kind, 0) for kind in ("samples", "stills"))
        for record in records
    }
    assert len(own) == 1
    sizes = []
    for name in names:
        with safe_open(WEIGHTS_ROOT / name / DENOISER, "pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
        sizes.append(sum(math.prod(shape) for shape in shapes))
    assert max(sizes) < 1.1 * min(sizes)


def test_a_training_goes_on_from_shipped_weights(tmp_path: Path) -> None:
    base, further = two_trainings(tmp_path)
    folders = {
        name: str(ship(name, stage, "cmd", "abc", tmp_path / "out"))
        for name, stage in (("ophora_base", base), ("ophora_tpt", further))
    }
    raw = load_yaml("_pretrain_nano")
    raw["ophora_base"]["given"] = folders["ophora_base"]
    raw["ophora_tpt"] |= {"start": folders["ophora_tpt"], "earlier": []}
    found = Pretraining(PretrainConfig.model_validate(raw), tmp_path).ophora_tpt
    assert not any(isinstance(stage, AutoencoderTraining) for stage in found.tower())
    assert str(found.encoding.parts.weights()) == folders["ophora_base"]
    assert found.init.run()["samples"] == 8 + 12
    begun = load_file(found.init.weights() / DENOISER)
    shipped = load_file(tmp_path / "out" / "ophora_tpt" / DENOISER)
    assert all(torch.equal(begun[name], shipped[name]) for name in shipped)
    given = Pretraining(PretrainConfig.model_validate(raw), tmp_path).ophora_base
    with pytest.raises(UserError, match="the configuration gives these weights"):
        ship("ophora_base", given, "cmd", "abc", tmp_path / "out")


def test_the_shipped_autoencoder_is_what_pretraining_starts_from(tmp_path: Path) -> None:
    config = PretrainConfig.model_validate(load_yaml("_pretrain_nano"))
    parts = Pretraining(config, tmp_path).ophora_assembly
    assert isinstance(parts.autoencoder, GivenWeights)
    model = load_autoencoder(parts.autoencoder.weights())
    assert model.config.temporal_compression_ratio == 1 and model.config.scaling_factor > 1
    clip = np.zeros((1, config.clip.num_frames, config.clip.height, config.clip.width, 3), np.uint8)
    clip[:, :, 16:48, 32:64] = (200, 60, 30)
    with torch.inference_mode():
        latents = posterior_of(model, to_network(clip)).mean
        back = to_frames(decode(model, latents))
    assert latents.shape == (1, 16, 9, 8, 12)
    assert psnr_db(back, clip) > 20


def test_an_unknown_name_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["pretrain", "ophora_bse", "--cache", str(tmp_path)])
    assert pretrain.main() == 2
    line = capsys.readouterr().err
    assert line == "error: ophora_bse: no such network; did you mean 'ophora_base'?\n"


def test_shipped_configurations_name_no_folder() -> None:
    for file in WEIGHTS_ROOT.rglob("config.json"):
        assert "_name_or_path" not in read_json(file), file
