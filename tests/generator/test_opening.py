"""Folders of weights as people have them, each made from a real tiny one, and a hub's cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import UserError
from generator.base import GivenWeights, HubWeights, load_denoiser, weights_named
from generator.bora.stdit import STDiT
from generator.opening import COGVIDEOX, ENDORA, STDIT, Wanted, check_folder, read_state
from generator.ophora.pipeline import load_pipeline
from tests.generator.tiny import bora_base, common, endora_base, ophora_base

State = dict[str, Tensor]
FILE = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def ophora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ophora_base(tmp_path_factory.mktemp("ophora")).weights()


@pytest.fixture
def copy(ophora: Path, tmp_path: Path) -> Path:
    shutil.copytree(ophora, tmp_path / "copy")
    return tmp_path / "copy"


def as_shards(file: Path, state: State) -> Path:
    """The file in two, with their index; returns the second."""
    names, files = sorted(state), [file.with_name(f"part-{n}.safetensors") for n in (1, 2)]
    placed = {name: files[n % 2].name for n, name in enumerate(names)}
    for shard in files:
        save_file({n: state[n] for n in names if placed[n] == shard.name}, shard)
    index = {"metadata": {"total_size": 1}, "weight_map": placed}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps(index))
    file.unlink()
    return files[1]


def test_whole_folders_pass_and_load(copy: Path, tmp_path: Path) -> None:
    file = copy / "transformer" / FILE
    state = load_file(file)
    check_folder(copy, Wanted(COGVIDEOX))
    as_shards(file, state)
    for _ in range(2):
        check_folder(copy, Wanted(COGVIDEOX))
        loaded = load_pipeline(copy).transformer.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())
        for left in (copy / "transformer").glob("*.safetensors*"):
            left.unlink()
        torch.save(state, copy / "transformer" / "diffusion_pytorch_model.bin")
    check_folder(bora_base(tmp_path).weights(), Wanted(STDIT))
    check_folder(endora_base(tmp_path).weights(), Wanted(ENDORA))


def lora(copy: Path, file: Path, state: State) -> None:
    shutil.rmtree(copy)
    copy.mkdir()
    update = {"transformer.a.lora_A.weight": torch.ones(2, 2)}
    save_file(update, copy / "pytorch_lora_weights.safetensors")


def peft(copy: Path, file: Path, state: State) -> None:
    lora(copy, file, state)
    (copy / "pytorch_lora_weights.safetensors").rename(copy / "adapter_model.safetensors")
    (copy / "adapter_config.json").write_text("{}")


def variant(copy: Path, file: Path, state: State) -> None:
    half = {n: v.half() for n, v in state.items()}
    save_file(half, file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    file.unlink()


def missing_shard(copy: Path, file: Path, state: State) -> None:
    as_shards(file, state).unlink()


def lacking(copy: Path, file: Path, state: State) -> None:
    save_file({n: v for n, v in state.items() if "transformer_blocks.0.ff" not in n}, file)


def other_width(copy: Path, file: Path, state: State) -> None:
    save_file(state | {"proj_out.bias": torch.zeros(99)}, file)


def torn(copy: Path, file: Path, state: State) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def pointer(copy: Path, file: Path, state: State) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\n")


def no_file(copy: Path, file: Path, state: State) -> None:
    file.unlink()


def no_vae(copy: Path, file: Path, state: State) -> None:
    shutil.rmtree(copy / "vae")


def other_text(copy: Path, file: Path, state: State) -> None:
    held = load_file(copy / "text_encoder" / "model.safetensors")
    some = {n: v for n, v in held.items() if "block.0" not in n}
    save_file(some, copy / "text_encoder" / "model.safetensors", {"format": "pt"})


def no_object(copy: Path, file: Path, state: State) -> None:
    file.with_name("config.json").write_text("[]")


def odd_value(copy: Path, file: Path, state: State) -> None:
    configure(file, patch_size="2")


def endless(copy: Path, file: Path, state: State) -> None:
    configure(file, num_layers=10**9)


def no_map(copy: Path, file: Path, state: State) -> None:
    as_shards(file, state)
    file.with_name(f"{file.name}.index.json").write_text('{"weight_map": ["a"]}')


def shard_elsewhere(copy: Path, file: Path, state: State) -> None:
    as_shards(file, state)
    file.with_name(f"{file.name}.index.json").write_text('{"weight_map": {"a": "../a.bin"}}')


def configure(file: Path, **values: object) -> None:
    config = file.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | values))


FAULTS: dict[Callable[[Path, Path, State], None], str] = {
    lora: r"copy: pytorch_lora_weights\.safetensors is a LoRA adapter.*name it as ophora\.lora",
    peft: r"copy: adapter_config\.json is a LoRA adapter.*name that folder",
    variant: r"transformer: diffusion_pytorch_model\.fp16\.safetensors is a variant: save the",
    missing_shard: r"index\.json: shard part-2\.safetensors is missing: fetch it again",
    lacking: r"model\.safetensors: \d of the \d+ tensors of a CogVideoX.*blocks\.0\.ff\.net.*again",
    other_width: r"'proj_out\.bias' is \(99,\), config\.json beside it says \(\d+,\): name",
    torn: r"transformer/diffusion_pytorch_model\.safetensors: cannot be read",
    pointer: r"transformer/diffusion_pytorch_model\.safetensors: cannot be read",
    no_file: r"transformer: config\.json and no weights, diffusion_pytorch_model\.safetensors",
    no_vae: r"copy: no folder 'vae' in it; give a CogVideoXTransformer3DModel as save_pretrained",
    no_object: r"transformer/config\.json: list instead of names and values",
    odd_value: r"config\.json: no CogVideoXTransformer3DModel can be built from it \(\w+Error: ",
    endless: r"config\.json: num_layers 1000000000, and \d+ tensors in all beside it: name weights",
    no_map: r"index\.json: no `weight_map` of tensors and files",
    shard_elsewhere: r"path '\.\./a\.bin' points outside its root",
    other_text: r"text_encoder/model\.safetensors: \d+ of the \d+ tensors of a T5EncoderModel",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_not_whole_is_refused_when_it_is_named(
    copy: Path, tmp_path: Path, fault: Callable[[Path, Path, State], None]
) -> None:
    file = copy / "transformer" / FILE
    fault(copy, file, load_file(file))
    machinery = common(tmp_path)
    with pytest.raises(UserError, match=FAULTS[fault]) as error:
        weights_named(
            str(copy), field="ophora.base", root=tmp_path, wanted=Wanted(COGVIDEOX), **machinery
        )
    assert "\n" not in str(error.value)


def test_a_folder_of_another_generator_is_refused(copy: Path) -> None:
    with pytest.raises(UserError, match="holds a CogVideoXTransformer3DModel, a STDiT is wanted"):
        check_folder(copy, Wanted(STDIT))
    check_folder(copy)  # where anything may be named


def test_nothing_is_drawn_where_a_block_is_missing(copy: Path, tmp_path: Path) -> None:
    file = copy / "transformer" / FILE
    lacking(copy, file, load_file(file))
    with pytest.raises(UserError, match="are not in it"):
        load_pipeline(copy)
    bora = tmp_path / "bora"
    shutil.copytree(bora_base(tmp_path).weights(), bora)
    state = load_file(bora / "transformer" / FILE)
    save_file({n: v for n, v in state.items() if "temporal" not in n}, bora / "transformer" / FILE)
    with pytest.raises(UserError, match="tensors of a STDiT are not in it"):
        load_denoiser(STDiT, bora)


def test_names_of_an_older_diffusers_are_those_of_the_vae(tmp_path: Path) -> None:
    part = tmp_path / "vae"
    shutil.copytree(bora_base(tmp_path).weights() / "vae", part)
    state = load_file(part / FILE)
    pairs = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
    for now, then in pairs:
        state = {n.replace(f".{now}.", f".{then}."): v for n, v in state.items()}
    assert any(".query." in name for name in state)
    save_file(state, part / FILE)
    GivenWeights.at(part, **common(tmp_path))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"ema": state, "model": {"a.weight": torch.zeros(2)}, "epoch": 3},
        lambda state: {"state_dict": {f"model.{n}": v for n, v in state.items()}},
        lambda state: {"module": {f"_orig_mod.module.{n}": v for n, v in state.items()}},
        lambda state: {"n_averaged": torch.ones(())} | {f"module.{n}": v for n, v in state.items()},
    ],
)
@pytest.mark.parametrize("old_format", [False, True])
def test_a_trainings_checkpoint_is_read_through_its_wrappers(
    tmp_path: Path, wrap: Callable[[State], Any], old_format: bool
) -> None:
    state = {"a.weight": torch.ones(2), "b.c.bias": torch.zeros(1)}
    path = tmp_path / "c.pt"
    torch.save(wrap(state), path, _use_new_zipfile_serialization=not old_format)
    found = read_state(path)
    assert found.keys() == state.keys() and torch.equal(found["a.weight"], torch.ones(2))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, without a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub: Path, source: Path, commit: str = "0" * 40) -> Path:
    """`source` as the hub's cache holds it: links to blobs, and the commit of a branch."""
    repository = hub / "models--lab--ophora"
    for number, file in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        blob = repository / "blobs" / f"{number:040x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link = repository / "snapshots" / commit / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return repository / "snapshots" / commit


def test_a_hubs_cache_serves_without_a_network(ophora: Path, offline: Path, tmp_path: Path) -> None:
    snapshot = cached(offline, ophora)
    place = {"field": "ophora.base", "root": tmp_path, **common(tmp_path)}
    named = weights_named("lab/ophora", wanted=Wanted(COGVIDEOX), **place)
    assert isinstance(named, HubWeights)
    shutil.copytree(snapshot, tmp_path / "by_path", symlinks=True)
    check_folder(tmp_path / "by_path", Wanted(COGVIDEOX))
    assert load_pipeline(named.weights()).transformer is not None
    shutil.rmtree(offline)  # what a stage has left does not hang on the cache
    assert load_pipeline(named.weights(), text=False).vae is not None


def test_a_hub_out_of_reach_and_a_part_of_a_snapshot_are_named(
    ophora: Path, offline: Path, tmp_path: Path
) -> None:
    def hub() -> HubWeights:
        return HubWeights(repository="lab/ophora", wanted=Wanted(COGVIDEOX), **common(tmp_path))

    with pytest.raises(
        UserError, match="not in the hub's cache, and cannot be downloaded"
    ) as error:
        hub().run()
    assert "\n" not in str(error.value)
    snapshot = cached(offline, ophora)
    (snapshot / "transformer" / FILE).unlink()
    with pytest.raises(UserError, match=r"transformer: config\.json and no weights"):
        hub().run()


def test_what_is_wanted_is_no_part_of_the_key(tmp_path: Path) -> None:
    plain = HubWeights(repository="lab/ophora", **common(tmp_path))
    wanted = HubWeights(repository="lab/ophora", wanted=Wanted(STDIT), **common(tmp_path))
    assert plain.infra.uid() == wanted.infra.uid()
