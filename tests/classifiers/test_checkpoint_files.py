"""Checkpoints as files: what is read of them, reported and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from classifiers.checkpoints import Checkpoint, load_checkpoint, read_tensors
from classifiers.networks import Classifier
from core.errors import UserError
from core.runtime import Runtime
from tests.classifiers.test_checkpoints import SMALL, TINY, shaken


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
