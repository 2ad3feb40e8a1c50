"""Architectures: the paper's parameter counts, shapes, initialisation, readings of "8 frames"."""

from __future__ import annotations

import pydantic
import pytest
import torch

from classifiers.mvit_v2 import MViTv2
from classifiers.networks import Network
from classifiers.slowfast import SlowFast
from core.errors import UserError
from tests.presets import MVITV2_NANO, SLOWFAST_NANO


def _count(network: Network, num_frames: int, size: int) -> int:
    model = network.build(52, num_frames, size)
    return sum(parameter.numel() for parameter in model.parameters())


def test_paper_presets_have_the_published_parameter_counts() -> None:
    assert _count(SlowFast(), 8, 224) == 33_764_348
    assert _count(MViTv2(), 8, 224) == 34_257_844
    assert _count(MViTv2(), 16, 224) == 34_270_132


@pytest.mark.parametrize("network", [SLOWFAST_NANO, MVITV2_NANO])
@pytest.mark.parametrize(("num_frames", "size"), [(8, 64), (8, 32), (16, 96)])
def test_logits_and_features_have_their_shapes(
    network: Network, num_frames: int, size: int
) -> None:
    model = network.build(7, num_frames, size).eval()
    clips = torch.randn(2, 3, num_frames, size, size)
    with torch.no_grad():
        features, logits = model.features(clips), model(clips)
        expected = model.head(features)
    assert features.shape == (2, model.head.in_features)
    assert logits.shape == (2, 7) and logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected)


def test_slowfast_equals_the_library_with_its_own_head() -> None:
    from pytorchvideo.models.slowfast import create_slowfast

    model = SlowFast(depth=18, stem_dim_outs=(16, 2)).build(7, 8, 64).eval()
    library = create_slowfast(
        model_depth=18,
        stem_dim_outs=(16, 2),
        model_num_class=7,
        head_pool_kernel_sizes=((2, 2, 2), (8, 2, 2)),
    ).eval()
    weights = {name.removeprefix("backbone."): v for name, v in model.state_dict().items()}
    head = {f"blocks.6.proj.{name}": weights.pop(f"head.{name}") for name in ("weight", "bias")}
    library.load_state_dict(weights | head)
    clips = torch.randn(2, 3, 8, 64, 64)
    with torch.inference_mode():
        expected = library([clips[:, :, [0, 7]], clips])
        torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("alpha", "num_frames", "slow"), [(4, 8, 2), (8, 8, 1), (4, 32, 8)], ids=["A", "B", "C"]
)
def test_the_three_readings_of_eight_frames(alpha: int, num_frames: int, slow: int) -> None:
    network = SLOWFAST_NANO.model_copy(update={"alpha": alpha})
    assert network.reading(num_frames) == f"{num_frames} fast and {slow} slow frames"
    model = network.build(3, num_frames, 32).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, num_frames, 32, 32)).shape == (1, 3)


def test_both_pathways_and_the_order_of_frames_matter() -> None:
    torch.manual_seed(0)
    for network in (SLOWFAST_NANO, MVITV2_NANO):
        model = network.build(5, 8, 32).eval()
        clip = torch.randn(1, 3, 8, 32, 32)
        middle = clip.clone()
        middle[:, :, 3:5] = 0  # frames that SlowFast's slow pathway does not see
        with torch.inference_mode():
            plain = model.features(clip)
            assert not torch.allclose(plain, model.features(middle))
            assert not torch.allclose(plain, model.features(clip.flip(2)))


def test_mvit_weights_are_the_papers_initialisation() -> None:
    torch.manual_seed(0)
    weight = MVITV2_NANO.build(5, 8, 32).backbone.blocks[0].attn.qkv.weight
    # truncated normal of 0.02; torch's own default would be uniform with std 0.10
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_building_is_silent_and_depends_on_the_seed(capfd: pytest.CaptureFixture[str]) -> None:
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(MVITV2_NANO.build(5, 8, 32).head.weight)
    assert torch.equal(models[0], models[1]) and not torch.equal(models[0], models[2])
    assert capfd.readouterr() == ("", "")


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="depth 34"):
        SlowFast(depth=34)
    with pytest.raises(pydantic.ValidationError, match="8 times"):
        SlowFast(stem_dim_outs=(16, 4))
    with pytest.raises(pydantic.ValidationError, match="downscale_indices"):
        MViTv2(num_layers=4, downscale_indices=(1, 9))
    with pytest.raises(UserError, match=r"num_frames 6.*multiple of alpha 4"):
        SLOWFAST_NANO.build(5, 6, 64)
    with pytest.raises(UserError, match=r"size 40.*multiple of 32"):
        MVITV2_NANO.build(5, 8, 40)


def test_a_family_field_keeps_the_kind() -> None:
    class Holder(pydantic.BaseModel):
        network: Network

    again = Holder.model_validate({"network": {"kind": "SlowFast", "depth": 18}})
    assert again.network == SlowFast(depth=18)
