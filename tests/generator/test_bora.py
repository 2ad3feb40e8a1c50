"""Bora's own parts: what its network is at first, and the released weights by their own names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from core.errors import UserError
from core.files import write_json
from generator.base import ClipShape
from generator.bora.given import ReleasedBora, load_released, read_checkpoint, theirs_of
from generator.bora.pipeline import STDiTSettings
from generator.bora.stdit import STDiT
from generator.bora.training import GivenBora
from generator.sampling import Sampling
from tests.generator.released import State, released
from tests.generator.tiny import (
    CAPTIONS,
    IMAGE_VAE,
    SHAPE,
    STDIT,
    autoencoder_folder,
    common,
    text_folder,
    weights,
)


def network() -> STDiT:
    torch.manual_seed(1)
    return STDIT.build(SHAPE).eval()


def inputs(model: STDiT) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Two clips with captions of 3 and 2 tokens; the second clip's is left out."""
    torch.manual_seed(2)
    config = model.config
    latents = torch.randn(2, config.num_frames, config.in_channels, config.height, config.width)
    text = torch.randn(2, config.max_text_tokens, config.text_dim)
    mask = torch.arange(config.max_text_tokens) < torch.tensor([[3], [2]])
    return latents, torch.tensor([3, 700]), text, mask, torch.tensor([False, True])


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """(N, L, D) each: attention by heads, written out."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return (scores @ v).transpose(1, 2).flatten(2)


def reference(state: State, model: STDiT, latents: Tensor, step: Tensor, text: Tensor,
              mask: Tensor, dropped: Tensor) -> Tensor:  # fmt: skip
    """The published network on one clip at a time, with its own names and fused layers.

    Source: what Open-Sora 1.0's STDiT computes (depth-wise: spatial, temporal, cross, MLP).
    """
    config, heads = model.config, model.config.num_heads

    def linear(name: str) -> Callable[[Tensor], Tensor]:
        return lambda x: functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], eps=1e-6)

    def itself(name: str, x: Tensor) -> Tensor:
        return linear(f"{name}.proj")(attend(*linear(f"{name}.qkv")(x).chunk(3, -1), heads))

    def mlp(name: str, x: Tensor) -> Tensor:
        return linear(f"{name}.fc2")(functional.gelu(linear(f"{name}.fc1")(x), approximate="tanh"))

    frequencies = 10000 ** (-torch.arange(128) / 128)
    outputs = []
    for clip, time, words, valid, left_out in zip(latents, step, text, mask, dropped, strict=True):
        words = state["y_embedder.y_embedding"] if left_out else words
        caption = mlp("y_embedder.y_proj", words)[valid][None]
        angles = time * frequencies
        t = linear("t_embedder.mlp.0")(torch.cat([angles.cos(), angles.sin()]))
        t = linear("t_embedder.mlp.2")(functional.silu(t))
        six = linear("t_block.1")(functional.silu(t)).view(6, -1)
        stride = (1, config.patch_size, config.patch_size)
        x = functional.conv3d(
            clip.transpose(0, 1)[None], state["x_embedder.proj.weight"],
            state["x_embedder.proj.bias"], stride
        )[0]  # fmt: skip
        rows, columns = x.shape[-2:]
        x = x.flatten(2).permute(1, 2, 0) + model.space_positions  # (T, S, D)
        for number in range(config.depth):
            block = f"blocks.{number}"
            shift1, scale1, gate1, shift2, scale2, gate2 = state[f"{block}.scale_shift_table"] + six
            x = x + gate1 * itself(f"{block}.attn", norm(x) * (1 + scale1) + shift1)
            along = x.transpose(0, 1) + (model.time_positions if number == 0 else 0)
            x = x + gate1 * itself(f"{block}.attn_temp", along).transpose(0, 1)
            q = linear(f"{block}.cross_attn.q_linear")(x.flatten(0, 1)[None])
            k, v = linear(f"{block}.cross_attn.kv_linear")(caption).chunk(2, -1)
            read = linear(f"{block}.cross_attn.proj")(attend(q, k, v, heads))
            x = x + read.view_as(x)
            x = x + gate2 * mlp(f"{block}.mlp", norm(x) * (1 + scale2) + shift2)
        shift, scale = state["final_layer.scale_shift_table"] + t
        x = linear("final_layer.linear")(norm(x) * (1 + scale) + shift)
        patch = config.patch_size
        x = x.view(len(x), rows, columns, patch, patch, -1).permute(0, 5, 1, 3, 2, 4)
        outputs.append(x.reshape(len(x), -1, rows * patch, columns * patch))
    return torch.stack(outputs)


def test_released_weights_compute_what_the_published_network_does(tmp_path: Path) -> None:
    model = network()
    state = released(model)
    positions = {"pos_embed": model.space_positions[None],
                 "pos_embed_temporal": model.time_positions[None]}  # fmt: skip
    torch.save({"ema": {f"module.{k}": v for k, v in (state | positions).items()}},
               tmp_path / "ema.pt")  # fmt: skip
    torch.save({"raw": torch.zeros(1)}, tmp_path / "model.pt")  # averaged weights come first
    load_released(model, tmp_path)
    given = inputs(model)
    with torch.no_grad():
        found, expected = model(*given), reference(state, model, *given)
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_published_size_and_names() -> None:
    """STDiT-XL/2 with 4,096 wide captions of 120 tokens, on clips of 40 x 256 x 256."""
    with torch.device("meta"):
        model = STDiTSettings().build(ClipShape(num_frames=40, width=256, height=256))
    names = theirs_of(model)
    assert set(names) == set(released_shapes := {k: v.shape for k, v in released(model).items()})
    assert released_shapes["x_embedder.proj.weight"] == (1152, 4, 1, 2, 2)
    assert released_shapes["blocks.27.cross_attn.kv_linear.weight"] == (2304, 1152)
    ours = model.state_dict()
    for theirs, several in names.items():
        assert sum(ours[name].numel() for name in several) == released_shapes[theirs].numel()
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == sum(shape.numel() for shape in released_shapes.values())


def test_at_first_frames_do_not_meet_and_captions_are_not_read() -> None:
    """Zero-initialised projections leave out time and text; the last one leaves out everything."""
    model = network()
    latents, step, text, mask, dropped = inputs(model)
    assert not model(latents, step, text, mask, dropped).any()
    torch.nn.init.normal_(model.final.weight)
    plain = model(latents, step, text, mask, dropped)
    assert plain.std() > 0
    assert torch.equal(model(latents, step, text + 1, mask, ~dropped), plain)
    other = latents.clone()
    other[:, 1:] += 1
    assert torch.allclose(model(other, step, text, mask, dropped)[:, 0], plain[:, 0], atol=1e-6)
    for block in model.blocks:
        torch.nn.init.normal_(block.temporal.to_out[0].weight)
        torch.nn.init.normal_(block.cross.to_out[0].weight)
    learned = model(latents, step, text, mask, dropped)
    assert not torch.allclose(model(other, step, text, mask, dropped)[:, 0], learned[:, 0])
    assert not torch.allclose(model(latents, step, text + 1, mask, dropped)[0], learned[0])
    assert torch.equal(model(latents, step, text + 1, mask, dropped)[1], learned[1])  # left out


def shards(state: State, root: Path) -> Path:
    """The same in two files and their index, as a training with ColossalAI leaves it."""
    names = sorted(state)
    parts = {"a.bin": names[::2], "b.bin": names[1::2]}
    (root / "model").mkdir(parents=True)
    for file, part in parts.items():
        torch.save({name: state[name] for name in part}, root / "model" / file)
    table = {name: file for file, part in parts.items() for name in part}
    write_json(root / "model" / "pytorch_model.bin.index.json", {"weight_map": table})
    return root


def test_one_file_or_shards(tmp_path: Path) -> None:
    state = released(network())
    (tmp_path / "one").mkdir()
    save_file(state, tmp_path / "one" / "bora.safetensors")
    for folder in (tmp_path / "one", shards(state, tmp_path / "two")):
        _, found = read_checkpoint(folder)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)


def test_other_weights_are_one_line(tmp_path: Path) -> None:
    model = network()
    state = released(model)

    def refused(name: str, held: State, message: str) -> None:
        (tmp_path / name).mkdir()
        save_file(held, tmp_path / name / "w.safetensors")
        with pytest.raises(UserError, match=message):
            load_released(model, tmp_path / name)

    less = {name: value for name, value in state.items() if name != "t_block.1.bias"}
    refused("less", less, r"another network: 't_block\.1\.bias' is missing$")
    refused("more", state | {"head.bias": torch.zeros(1)}, r"unknown 'head\.bias'$")
    wide = state | {"final_layer.linear.bias": torch.zeros(7)}
    refused("wide", wide, r"'final_layer\.linear\.bias' is \(7,\), wanted for final\.bias")
    elsewhere = {"pos_embed": torch.zeros(1, 256, STDIT.hidden_size)}
    refused("size", state | elsewhere, "'pos_embed' is of clips of another size")
    save_file(state, tmp_path / "less" / "second.safetensors")
    with pytest.raises(UserError, match=r"found second\.safetensors, w\.safetensors: give"):
        load_released(model, tmp_path / "less")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="found no file"):
        load_released(model, tmp_path / "none")
    (tmp_path / "none" / "ema.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"ema\.pt: not a checkpoint"):
        load_released(model, tmp_path / "none")


def test_released_weights_become_a_folder_that_draws(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    save_file(released(network()), tmp_path / "hub" / "bora.safetensors")
    bora = ReleasedBora(
        checkpoint=weights(tmp_path / "hub", tmp_path),
        autoencoder=weights(autoencoder_folder(tmp_path, IMAGE_VAE), tmp_path),
        text=weights(text_folder(tmp_path), tmp_path),
        shape=SHAPE,
        transformer=STDIT,
        **common(tmp_path),
    )
    sampling = Sampling(steps=2, guidance_scale=2.0, batch_size=2)
    sampler = GivenBora(given=bora, shape=SHAPE, **common(tmp_path)).sampler(sampling)
    first, again = (sampler(CAPTIONS[:2], [1, 2], sampling) for _ in range(2))
    assert first.shape == (2, SHAPE.num_frames, SHAPE.height, SHAPE.width, 3)
    assert np.array_equal(first, again)
