"""Endora's own parts: the released names, what is zero at first, and classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from core.errors import UserError
from generator.base import ClipShape, Sampling, load_denoiser
from generator.endora.given import ReleasedEndora, load_released
from generator.endora.pipeline import EndoraSettings
from generator.endora.training import GivenEndora
from generator.endora.transformer import EndoraTransformer
from generator.iddpm import noise_and_bound_loss
from tests.generator.tiny import (
    CAPTIONS,
    ENDORA,
    ENDORA_SIZE,
    SHAPE,
    class_endora_base,
    common,
    endora_base,
    endora_network,
)


def test_the_published_size() -> None:
    with torch.device("meta"):
        model = EndoraSettings().build(ClipShape(num_frames=16, width=128, height=128), None)
    assert sum(p.numel() for p in model.parameters()) == 673_681_568
    assert model.blocks[3].mlp.fc1.weight.shape == (4608, 1152)


def test_new_blocks_are_the_identity_and_the_output_is_zero() -> None:
    torch.manual_seed(0)
    model = EndoraTransformer(**ENDORA_SIZE, num_classes=3)
    x, condition = torch.randn(2, 5, 32), torch.randn(2, 32)
    for block in model.blocks:
        assert torch.equal(block(x, condition), x)
    output, _ = model(torch.randn(2, 3, 4, 4, 8), torch.tensor([5, 900]), torch.tensor([0, 3]))
    assert output.shape == (2, 3, 8, 4, 8) and not output.any()


def test_frames_meet_in_the_temporal_blocks_alone() -> None:
    model = endora_network()
    clip, step = torch.randn(1, 3, 4, 4, 8), torch.tensor([100])
    changed = clip.clone()
    changed[:, 2] += 1
    whole, other = model(clip, step)[0], model(changed, step)[0]
    assert not torch.allclose(whole[:, 0], other[:, 0])
    for number in (1, 3):  # without them, a frame knows nothing of the others
        model.blocks[number] = _Nothing()
    whole, other = model(clip, step)[0], model(changed, step)[0]
    assert torch.equal(whole[:, :2], other[:, :2]) and not torch.equal(whole[:, 2], other[:, 2])


def test_without_temporal_blocks_frames_never_meet() -> None:
    model = endora_network(temporal=False)
    clip, step = torch.randn(1, 3, 4, 4, 8), torch.tensor([100])
    changed = clip.clone()
    changed[:, 2] += 1
    whole, other = model(clip, step)[0], model(changed, step)[0]
    assert torch.equal(whole[:, :2], other[:, :2]) and not torch.equal(whole[:, 2], other[:, 2])


def test_without_a_learned_variance_the_loss_is_the_noise_s_alone() -> None:
    settings = EndoraSettings(depth=4, hidden_size=32, num_heads=2, learned_variance=False)
    model = settings.build(SHAPE, None)
    clip = torch.randn(2, 9, 4, 4, 4)
    output = model(clip, torch.tensor([5, 900]))[0]
    assert output.shape == clip.shape
    noise = torch.randn_like(clip)
    loss = noise_and_bound_loss(output, clip, clip, noise, torch.tensor([5, 900]), torch.ones(1))
    assert torch.allclose(loss, (output - noise).square().mean((1, 2, 3, 4)))


class _Nothing(nn.Module):
    def forward(self, x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return x


def test_labels_change_the_prediction_and_no_label_is_a_label_of_its_own() -> None:
    model = endora_network(num_classes=3)
    clip, step = torch.randn(1, 3, 4, 4, 8).repeat(2, 1, 1, 1, 1), torch.tensor([100, 100])
    first, second = model(clip, step, torch.tensor([0, 3]))[0]
    assert not torch.allclose(first, second)


def test_a_released_checkpoint_loads_by_its_own_names(tmp_path: Path) -> None:
    released, model = endora_network(), EndoraTransformer(**ENDORA_SIZE)
    state = {f"module.{name}": value for name, value in released.state_dict().items()}
    state |= {"module.linear.weight": torch.zeros(32, 16), "module.cov.weight": torch.zeros(1)}
    names = ("blocks.0.attn.qkv.weight", "blocks.0.adaLN_modulation.1.weight",
             "final_layer.adaLN_modulation.1.bias", "t_embedder.mlp.2.weight",
             "x_embedder.proj.weight", "temp_embed")  # fmt: skip
    assert all(f"module.{name}" in state for name in names)
    torch.save({"ema": state}, tmp_path / "endora.pt")
    load_released(model, tmp_path / "endora.pt")
    clip, step = torch.randn(1, 3, 4, 4, 8), torch.tensor([7])
    assert torch.equal(model(clip, step)[0], released(clip, step)[0])
    with pytest.raises(UserError, match="made for another network: 'y_embedder"):
        load_released(EndoraTransformer(**ENDORA_SIZE, num_classes=2), tmp_path / "endora.pt")
    torch.save({"ema": state | {"module.head.weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"unknown 'head\.weight'"):
        load_released(model, tmp_path / "other.pt")
    (tmp_path / "no.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"no\.pt: not a checkpoint"):
        load_released(model, tmp_path / "no.pt")


def test_a_released_checkpoint_becomes_a_folder_that_draws(tmp_path: Path) -> None:
    released = ENDORA.build(SHAPE, None)
    torch.save({"ema": released.state_dict()}, tmp_path / "endora.pt")
    autoencoder = endora_base(tmp_path).autoencoder
    fields = {"autoencoder": autoencoder, "shape": SHAPE, "transformer": ENDORA}
    stage = ReleasedEndora(path=tmp_path / "endora.pt", **fields, **common(tmp_path))
    loaded = load_denoiser(EndoraTransformer, stage.weights()).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in released.state_dict().items())
    given = GivenEndora(given=stage, shape=SHAPE, **common(tmp_path))
    plain = Sampling(steps=2, guidance_scale=1.0)
    clips = given.sampler(plain)(["", ""], [1, 2], plain)
    assert clips.shape == (2, 9, 32, 32, 3)
    moved = tmp_path / "moved.pt"
    moved.write_bytes((tmp_path / "endora.pt").read_bytes())
    again = ReleasedEndora(path=moved, **fields, **common(tmp_path))
    assert again.infra.uid() == stage.infra.uid()  # its contents make the key, not its path


def test_a_prompt_that_is_no_class_is_refused(tmp_path: Path) -> None:
    base = class_endora_base(tmp_path)
    given = GivenEndora(given=base, shape=SHAPE, **common(tmp_path))
    sampling = Sampling(steps=2, guidance_scale=2.0)
    assert given.sampler(sampling)(CAPTIONS, [1, 2, 3], sampling).shape[0] == 3
    with pytest.raises(UserError, match="not a class of this Endora"):
        given.sampler(sampling)(["a red disk grows slowly"], [1], sampling)
