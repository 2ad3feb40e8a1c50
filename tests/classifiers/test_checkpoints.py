"""Published checkpoints, as real files: the libraries' own networks are the reference."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from classifiers.checkpoints import Checkpoint, load_checkpoint, read_tensors, resample
from classifiers.mvit_v2 import MViTv2
from classifiers.networks import Classifier
from classifiers.slowfast import SlowFast
from core.errors import UserError
from core.runtime import Runtime

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SMALL = SlowFast(depth=18, stem_dim_outs=(16, 2), stem_kernel=3)
TINY = MViTv2(embed_dims=8, num_layers=2, downscale_indices=(1,), kv_stride=(1, 2, 2))


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode with no weight, bias or statistic at a value that hides a
    mistake (all ones, all zeros)."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        for tensor in [*module.parameters(False), *module.buffers(False)]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.data.add_(noise, alpha=0.1 * tensor.std().item() if tensor.ndim > 1 else 0.1)
        if isinstance(module, nn.BatchNorm3d):
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.3, 0.8, generator=generator)
    return network.eval()


def mmaction_file(path: Path, backbone: nn.Module, dim: int) -> Path:
    """A checkpoint as mmaction2 saves it: names with prefixes, a head, its configuration, logs."""
    from mmengine.logging import HistoryBuffer

    names = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    head = {"cls_head.fc_cls.weight": torch.ones(400, dim), "cls_head.fc_cls.bias": torch.ones(400)}
    logs = {"log_scalars": {"train/loss": HistoryBuffer([0.5, 0.25], [1, 1])}}
    meta = {"epoch": 256, "cfg": "model = dict()", "dataset_meta": {"classes": ["abseiling"]}}
    torch.save({"meta": meta, "state_dict": names | head, "message_hub": logs}, path)
    return path


def mmaction_slowfast(*, lateral_norm: bool) -> nn.Module:
    """The backbone of mmaction2's configuration slowfast_r50_8xb8-8x8x1-256e; lateral_norm: its
    option to put norm and ReLU behind the lateral convolutions (the published ones have none)."""
    from mmaction.models.backbones.resnet3d_slowfast import ResNet3dSlowFast

    common = {"type": "resnet3d", "depth": 50, "pretrained": None}
    common |= {"conv1_stride_t": 1, "pool1_stride_t": 1, "norm_eval": False}
    slow = {"lateral": True, "conv1_kernel": (1, 7, 7), "dilations": (1, 1, 1, 1)}
    slow |= {"inflate": (0, 0, 1, 1), "fusion_kernel": 7, "lateral_norm": lateral_norm}
    fast = {"lateral": False, "base_channels": 8, "conv1_kernel": (5, 7, 7)}
    return ResNet3dSlowFast(
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=8,
        slow_pathway=common | slow,
        fast_pathway=common | fast,
    )


def mmaction_mvit(**sizes: int) -> nn.Module:
    """The backbone of mmaction2's configuration mvit-small-p244_32xb16-16x4x1-200e."""
    from mmaction.models.backbones.mvit import MViT
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().setLevel(logging.WARNING)
    backbone = MViT(arch="small", drop_path_rate=0.2, **sizes)
    backbone.init_weights()
    return backbone


def slowfast_clips() -> Tensor:
    """(2, 3, 8, 64, 64). mmaction2's slow pathway takes frames 0 and 4, pytorchvideo's the first
    and the last: they are made alike, since weights alone are compared."""
    clips = torch.randn(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    clips[:, :, 7] = clips[:, :, 4]
    return clips


def slowfast_features(backbone: nn.Module, clips: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([pathway.mean((2, 3, 4)) for pathway in backbone(clips)], dim=1)


def features(model: Classifier, clips: Tensor) -> Tensor:
    with torch.inference_mode():
        return model.eval().features(clips)


def test_mmaction_slowfast_equals_ours_where_its_laterals_have_a_norm(tmp_path: Path) -> None:
    theirs = shaken(mmaction_slowfast(lateral_norm=True))
    path = mmaction_file(tmp_path / "slowfast.pth", theirs, 2304)
    model = SlowFast().build(52, 8, 64)
    head = model.head.weight.clone()
    report = load_checkpoint(path, model)
    assert len(report.loaded) == len(theirs.state_dict()) == len(model.state_dict()) - 2
    assert report.missing == report.unexpected == report.interpolated == ()
    assert report.head == ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    assert torch.equal(model.head.weight, head)
    clips = slowfast_clips()
    expected = slowfast_features(theirs, clips)
    torch.testing.assert_close(features(model, clips), expected, **CLOSE)


def test_the_published_mmaction_slowfast_lacks_the_norms_of_the_fusion(tmp_path: Path) -> None:
    theirs = shaken(mmaction_slowfast(lateral_norm=False))
    model = SlowFast().build(52, 8, 64)
    report = load_checkpoint(mmaction_file(tmp_path / "slowfast.pth", theirs, 2304), model)
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    fusions = [f"backbone.blocks.{block}.multipathway_fusion" for block in range(4)]
    assert report.missing == tuple(f"{fusion}.norm.{kind}" for fusion in fusions for kind in kinds)
    assert report.unexpected == () and len(report.loaded) == len(theirs.state_dict())
    clips = slowfast_clips()
    expected = slowfast_features(theirs, clips)
    distance = (features(model, clips) - expected).norm() / expected.norm()
    assert distance > 0.01  # the ReLU that mmaction2 does not have
    for fusion in fusions:
        module = model.get_submodule(fusion)
        module.norm, module.activation = nn.Identity(), nn.Identity()
    torch.testing.assert_close(features(model, clips), expected, **CLOSE)


def test_pytorchvideo_slowfast_equals_ours(tmp_path: Path) -> None:
    from pytorchvideo.models.slowfast import create_slowfast

    theirs = shaken(create_slowfast(head_pool_kernel_sizes=((2, 2, 2), (8, 2, 2))))
    path = tmp_path / "SLOWFAST_8x8_R50.pyth"
    # The format before torch 1.6, as files of that age may have it.
    torch.save({"model_state": theirs.state_dict()}, path, _use_new_zipfile_serialization=False)
    model = SlowFast().build(52, 8, 64)
    report = load_checkpoint(path, model)
    assert report.missing == report.unexpected == report.interpolated == ()
    assert report.head == ("blocks.6.proj.weight", "blocks.6.proj.bias")
    clips = slowfast_clips()
    with torch.inference_mode():
        expected = theirs([clips[:, :, [0, 7]], clips])  # logits of its 400 classes
        found = theirs.blocks[6].proj(features(model, clips))
    torch.testing.assert_close(found, expected, **CLOSE)


def test_mmaction_mvit_equals_ours_at_16_and_at_8_frames(tmp_path: Path) -> None:
    theirs = shaken(mmaction_mvit())
    path = mmaction_file(tmp_path / "mvit.pth", theirs, 768)
    same, short = MViTv2().build(52, 16, 224), MViTv2().build(52, 8, 64)
    report = load_checkpoint(path, same)
    assert report.missing == report.unexpected == report.interpolated == ()
    assert len(report.loaded) == len(theirs.state_dict())
    report = load_checkpoint(path, short)
    assert report.missing == report.unexpected == ()
    assert set(report.interpolated) == {n for n in short.state_dict() if ".rel_pos_" in n}
    assert short.backbone.blocks[0].attn.rel_pos_t.shape == (7, 96)
    # Given smaller clips, mmaction2's network resamples its tables by itself at every pass.
    generator = torch.Generator().manual_seed(1)
    for model, num_frames in ((same, 16), (short, 8)):
        clips = torch.randn(1, 3, num_frames, 64, 64, generator=generator)
        with torch.inference_mode():
            expected = theirs(clips)[0][1]
        torch.testing.assert_close(features(model, clips), expected, **CLOSE)


@pytest.mark.slow
def test_mvit_gives_the_logits_of_torchvisions(tmp_path: Path) -> None:
    from torchvision.models.video import mvit_v2_s

    theirs = shaken(mvit_v2_s(num_classes=52))
    renamed: dict[str, Tensor] = {}
    for name, value in theirs.state_dict().items():
        for pattern, ours in {
            r"^conv_proj": "patch_embed.projection",
            r"^pos_encoding.class_token": "cls_token",
            r"^norm": "norm3",
            r"attn.project.0": "attn.proj",
            r"(pool_[qkv]).pool": r"\1",
            r"pool_([qkv]).norm_act.0": r"norm_\1",
            r"mlp.0": "mlp.fc1",
            r"mlp.3": "mlp.fc2",
            r"(blocks.\d+).project": r"\1.proj",
        }.items():
            name = re.sub(pattern, ours, name)
        renamed[name] = value.reshape(1, 1, -1) if name == "cls_token" else value
    head = {name: renamed.pop(f"head.1.{name}") for name in ("weight", "bias")}
    path = tmp_path / "mvit.safetensors"
    safetensors.torch.save_file({f"backbone.{name}": v for name, v in renamed.items()}, path)
    model = MViTv2().build(52, 16, 224).eval()
    assert len(load_checkpoint(path, model).loaded) == len(model.state_dict()) - 2
    model.head.load_state_dict(head)
    clips = torch.randn(1, 3, 16, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), theirs(clips), **CLOSE)


def test_tables_are_linear_between_their_rows() -> None:
    table = torch.arange(15.0)[:, None] * torch.tensor([1.0, -2.0])
    places = (torch.arange(7) + 0.5) * 15 / 7 - 0.5  # the middle stays the middle: 3 -> 7
    expected = places[:, None] * torch.tensor([1.0, -2.0])
    torch.testing.assert_close(resample(table, 7), expected)


def ours_as_file(path: Path, model: Classifier, **changes: Tensor) -> Path:
    """Our own names are those of a checkpoint, too; `changes`: tensors by name, "__" for "."."""
    renamed = {name.replace("__", "."): value for name, value in changes.items()}
    torch.save({"state_dict": model.state_dict() | renamed}, path)
    return path


def test_names_without_a_place_are_reported(tmp_path: Path) -> None:
    model = SMALL.build(5, 8, 32)
    state = {n: v for n, v in model.state_dict().items() if "num_batches_tracked" not in n}
    path = tmp_path / "more.pth"
    torch.save(state | {"data_preprocessor.mean": torch.zeros(3)}, path)
    report = load_checkpoint(path, model)
    assert report.unexpected == ("data_preprocessor.mean",)
    assert report.missing and all("num_batches_tracked" in name for name in report.missing)
    assert report.summary() == {
        "loaded": len(report.loaded),
        "interpolated": [],
        "missing": list(report.missing),
        "unexpected": ["data_preprocessor.mean"],
        "head": ["head.weight", "head.bias"],
    }


def test_other_networks_are_refused_and_change_nothing(tmp_path: Path) -> None:
    small, tiny = SMALL.build(5, 8, 32), TINY.build(5, 8, 32)
    deeper = SMALL.model_copy(update={"depth": 50}).build(5, 8, 32)
    wider = SMALL.model_copy(update={"stem_dim_outs": (32, 4)}).build(5, 8, 32)
    files = {
        name: ours_as_file(tmp_path / f"{name}.pth", model)
        for name, model in {"small": small, "tiny": tiny, "deeper": deeper, "wider": wider}.items()
    }
    files["gap"] = tmp_path / "gap.pth"
    state = dict(small.state_dict())
    del state["backbone.blocks.3.multipathway_blocks.0.res_blocks.0.branch2.conv_b.weight"]
    torch.save(state, files["gap"])
    cases = {
        ("tiny", small): r"tiny\.pth: looks like MViTv2; 0 of the \d+ tensors of our SlowFast fit",
        ("small", tiny): r"small\.pth: looks like SlowFast; 0 of the \d+ tensors of our MViTv2 fit",
        ("deeper", small): r"looks like SlowFast; \d+ of the \d+ .*res_blocks\.1.* does not; name",
        ("small", deeper): r"res_blocks\.1.* does not",
        ("wider", small): r"multipathway_blocks\.0\.conv\.weight does not",
        ("gap", small): r"blocks\.3\..*conv_b\.weight does not",
    }
    for (name, model), message in cases.items():
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(UserError, match=message) as error:
            load_checkpoint(files[name], model)
        assert "\n" not in str(error.value)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_tensor_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    model = TINY.build(5, 8, 32)
    token = torch.zeros(1, 1, 8)
    token[0, 0, 3] = value
    path = ours_as_file(tmp_path / "bad.pth", model, backbone__cls_token=token)
    with pytest.raises(UserError, match=r"bad\.pth: backbone\.cls_token holds NaN or inf"):
        load_checkpoint(path, model)


class Calls:
    """Pickles as a call of `function` when the file is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    mark, plain, nested = (tmp_path / name for name in ("mark", "plain.pth", "nested.pth"))
    weights = {"weight": torch.ones(2)}
    call = Calls(eval, f"open({str(mark)!r}, 'w')")
    torch.save({"state_dict": weights, "meta": call}, plain)
    torch.save({"state_dict": weights, "meta": Calls(Path.touch, mark)}, nested)
    for path in (plain, nested):
        torch.load(path, weights_only=False)
        assert mark.exists()  # what the file would do
        mark.unlink()
    assert torch.equal(read_tensors(plain)["weight"], torch.ones(2))
    assert not mark.exists()
    torch.save({"meta": call}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for path in (nested, tmp_path / "old.pth"):
        with pytest.raises(UserError, match=r"UnpicklingError.*safetensors\.torch\.save_file"):
            read_tensors(path)
        assert not mark.exists()


def test_files_that_are_no_checkpoints_are_the_users_error(tmp_path: Path) -> None:
    whole = ours_as_file(tmp_path / "whole.pth", TINY.build(5, 8, 32)).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.safetensors").write_bytes(whole)
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    (tmp_path / "empty.pth").touch()
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    torch.save({"state_dict": np.ones(2)}, tmp_path / "array.pth")
    for name in ("cut.pth", "cut.safetensors", "text.pth", "empty.pth", "list.pth", "array.pth"):
        with pytest.raises(UserError, match=f"weights .*{re.escape(name)}: ") as error:
            read_tensors(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_checkpoint_is_known_by_its_contents_and_not_by_its_path(tmp_path: Path) -> None:
    common: dict[str, Any] = {"infra": {"folder": str(tmp_path / "cache")}, "runtime": Runtime()}
    model = TINY.build(5, 8, 32)
    first = ours_as_file(tmp_path / "first.pth", model)
    moved = tmp_path / "moved.pth"
    moved.write_bytes(first.read_bytes())
    other = ours_as_file(tmp_path / "other.pth", model, backbone__cls_token=torch.ones(1, 1, 8))
    keys = [Checkpoint.at(path, **common).infra.uid() for path in (first, moved, other)]
    assert keys[0] == keys[1] != keys[2]
    stage = Checkpoint.at(first, **common)
    first.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match=r"sha256 \w+, expected"):
        stage.load_into(model)
    with pytest.raises(UserError, match=r"absent\.pth: no such file; give"):
        Checkpoint.at(tmp_path / "absent.pth", **common)


WRAPPED: dict[str, Any] = {
    "DataParallel": lambda state: {"model_state": {f"module.{n}": v for n, v in state.items()}},
    "torch.compile": lambda state: {"state_dict": {f"_orig_mod.{n}": v for n, v in state.items()}},
    "both": lambda state: {"module": {f"module._orig_mod.{n}": v for n, v in state.items()}},
    "Lightning": lambda state: {
        "state_dict": {f"model.{n}": v for n, v in state.items()} | {"loss.weight": torch.ones(2)},
        "hyper_parameters": {"lr": 0.1},
    },
    "pytorchvideo in Lightning": lambda state: {
        "state_dict": {f"model.{n.removeprefix('backbone.')}": v for n, v in state.items()}
    },
    "an average alone": lambda state: {
        "ema": {"n_averaged": torch.tensor(3)} | {f"module.{n}": v for n, v in state.items()}
    },
    "one level deeper": lambda state: {"checkpoint": {"model": state}, "epoch": 3},
    "half precision": lambda state: {n: v.half() if v.is_floating_point() else v
                                     for n, v in state.items()},
    "beside an optimizer": lambda state: {
        "optimizer": {"state": {n: {"exp_avg": v, "step": torch.ones(())}
                                for n, v in enumerate(state.values())}},
        "net": state,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_trainings_wrap_a_network_in_is_taken_off(tmp_path: Path, kind: str) -> None:
    trained = shaken(SMALL.build(5, 8, 32))
    torch.save(WRAPPED[kind](trained.state_dict()), tmp_path / "wrapped.pth")
    model = SMALL.build(7, 8, 32)
    head = model.head.weight.clone()
    report = load_checkpoint(tmp_path / "wrapped.pth", model)
    assert report.missing == report.interpolated == ()
    assert len(report.loaded) == len(model.state_dict()) - 2
    assert torch.equal(model.head.weight, head)
    close = {"rtol": 1e-3, "atol": 1e-3} if kind == "half precision" else {"rtol": 0.0, "atol": 0.0}
    for name, value in trained.state_dict().items():
        if name.startswith("backbone."):
            torch.testing.assert_close(model.state_dict()[name], value, **close)


@pytest.mark.parametrize("names", [("model", "model_ema"), ("ema_state_dict", "state_dict")])
def test_of_weights_and_their_average_the_weights_are_read_and_it_is_said(
    tmp_path: Path, names: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    trained, average = shaken(SMALL.build(5, 8, 32)), shaken(SMALL.build(5, 8, 32), seed=1)
    held = {n: average if "ema" in n else trained for n in names}
    states: dict[str, Any] = {name: network.state_dict() for name, network in held.items()}
    ema = next(name for name in names if "ema" in name)
    states[ema] = {"steps": torch.zeros(())} | states[ema]
    torch.save(states, tmp_path / "ema.pth")
    model = SMALL.build(5, 8, 32)
    load_checkpoint(tmp_path / "ema.pth", model)
    kept = "backbone.blocks.0.multipathway_blocks.0.conv.weight"
    assert torch.equal(model.state_dict()[kept], trained.state_dict()[kept])
    read = next(name for name in names if "ema" not in name)
    assert f"weights ema.pth: '{read}' is read, not the others of its size" in caplog.text


def test_names_of_the_authors_own_code_are_called_so(tmp_path: Path) -> None:
    state = {"s1.pathway0_stem.conv.weight": torch.zeros(8, 3, 1, 7, 7)}
    torch.save({"model_state": state}, tmp_path / "theirs.pyth")
    with pytest.raises(UserError, match=r"its authors' own code.*of mmaction2 or pytorchvideo"):
        load_checkpoint(tmp_path / "theirs.pyth", SMALL.build(5, 8, 32))
