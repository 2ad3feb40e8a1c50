"""Trainings that start from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from classifiers.networks import Network
from core.errors import UserError
from tests.classifiers.test_training import (
    TINY_SLOWFAST,
    WILD,
    _bytes,
    kill_in_the_third_epoch,
    stage_in,
)
from tests.classifiers.toy import CLASSES, TINY


def published(path: Path, network: Network = TINY) -> dict[str, torch.Tensor]:
    """Save a checkpoint of the network with a head of other classes; returns its backbone."""
    torch.manual_seed(5)
    state = network.build(9, 8, 16).state_dict()
    torch.save({"state_dict": state}, path)
    return {name: value for name, value in state.items() if name.startswith("backbone.")}


def test_training_starts_from_a_checkpoint_and_the_seed_decides_the_head(tmp_path: Path) -> None:
    backbone = published(tmp_path / "kinetics.pth")
    saved = []
    for seed in (0, 1):
        # What diverges in its first epoch keeps the weights that training started from.
        stage = stage_in(tmp_path, recipe=WILD, seed=seed, start=tmp_path / "kinetics.pth")
        result = stage.run()
        assert result["best_epoch"] == 0
        assert result["start"] == {
            "loaded": len(backbone),
            "interpolated": [],
            "missing": [],
            "unexpected": [],
            "head": ["head.weight", "head.bias"],
        }
        saved.append(safetensors.torch.load_file(stage.folder / "model.safetensors"))
    for weights in saved:
        assert all(torch.equal(weights[name], value) for name, value in backbone.items())
    assert not torch.equal(saved[0]["head.weight"], saved[1]["head.weight"])
    assert saved[0]["head.weight"].shape == (CLASSES, 16)


@pytest.mark.parametrize("network", [TINY, TINY_SLOWFAST], ids=["MViTv2", "SlowFast"])
def test_a_begun_training_does_not_need_its_checkpoint_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    path = tmp_path / "kinetics.pth"
    published(path, network)
    plain = stage_in(tmp_path / "whole", network)
    whole = stage_in(tmp_path / "whole", network, start=path)
    assert whole.run()["start"]["missing"] == [] and "start" not in plain.run()
    assert _bytes(whole)["logits_test.npy"] != _bytes(plain)["logits_test.npy"]
    killed = stage_in(tmp_path / "killed", network, start=path)
    kill_in_the_third_epoch(killed, monkeypatch)
    path.unlink()
    killed.run()
    assert _bytes(killed) == _bytes(whole)
    again = killed.model().state_dict()
    saved = safetensors.torch.load_file(killed.folder / "model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in saved.items())


def test_the_checkpoints_contents_make_the_key_and_not_its_path(tmp_path: Path) -> None:
    published(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes())
    published(tmp_path / "other.pth", TINY.model_copy(update={"embed_dims": 16}))
    starts = [tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "other.pth", None]
    keys = [stage_in(tmp_path, start=start).infra.uid() for start in starts]
    assert keys[0] == keys[1] and len(set(keys)) == 3
    with pytest.raises(UserError, match=r"other\.pth: looks like MViTv2"):
        stage_in(tmp_path, start=tmp_path / "other.pth").run()
    kinds = [type(s).__name__ for s in stage_in(tmp_path, start=tmp_path / "a.pth").tower()]
    assert kinds.count("Checkpoint") == 1 and kinds[-1] == "ClassifierTraining"
