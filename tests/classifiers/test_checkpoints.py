"""Published checkpoints, as real files: the libraries' own networks are the reference."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from classifiers.checkpoints import load_checkpoint, resample
from classifiers.mvit_v2 import MViTv2
from classifiers.networks import Classifier
from classifiers.slowfast import SlowFast

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
