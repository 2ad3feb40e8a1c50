"""Endora's DINO prior: what it compares, which blocks it reaches, and the DINO behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from core.batch import Batch, batch_at
from core.errors import UserError
from core.frame_cache import FrameCache
from core.optimisation import Optimisation
from core.training import Training
from generator.denoising import DiffusionSettings, draw_frames
from generator.encoding import Encoding
from generator.endora.dino import DinoTraining, VitSettings, view
from generator.endora.prior import DinoPrior, PriorSettings, load_vit, pearson, save_vit
from generator.endora.training import EndoraTraining, WithPrior
from tests.generator.tiny import (
    SHAPE,
    TEXT_TOKENS,
    CaptionedClips,
    bora_base,
    common,
    endora_base,
    endora_network,
    weights,
)

VIT = {"img_size": (32, 64), "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
VIT |= {"num_classes": 0}
PRIOR = PriorSettings(layers=(0, 2), blocks=(0, 1))


def test_a_vit_of_timms_hub_is_read_at_any_size(tmp_path: Path) -> None:
    vit = timm.create_model("test_vit", num_classes=0)
    save_vit(tmp_path, vit, {"architecture": "test_vit", "num_classes": 0})
    loaded = load_vit(tmp_path).eval()
    image = torch.rand(1, 3, 160, 160)
    assert torch.allclose(loaded(image), vit.eval()(image), atol=1e-5)
    layers = (0, len(vit.blocks) - 1)
    (first, last) = loaded.forward_intermediates(
        torch.rand(2, 3, 64, 96), indices=list(layers), intermediates_only=True
    )
    assert first.shape == last.shape == (2, vit.embed_dim, 4, 6)


@pytest.mark.parametrize("bad", [{"layers": (2, 0)}, {"blocks": (0, 0)}, {"layers": (0, 1, 2)}])
def test_matched_blocks_are_named_once_and_in_order(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"ascending order|as many of each"):
        PriorSettings(**{"layers": (0, 2), "blocks": (0, 1), **bad})


def test_pearson_is_numpys() -> None:
    a, b = torch.randn(4, 9), torch.randn(4, 9)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert pearson(a, b).numpy() == pytest.approx(np.array(expected), abs=1e-6)
    assert pearson(a, torch.ones(4, 9)).abs().max() == 0


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("of", ["features", "attention"])
@pytest.mark.parametrize("reach", ["spatial", "all"])
def test_the_prior_reaches_spatial_blocks_alone(kernel: Any, of: Any, reach: Any) -> None:
    settings = PRIOR.model_copy(update={"kernel": kernel, "of": of, "reach": reach})
    torch.manual_seed(0)
    model = endora_network()
    prior = DinoPrior(VisionTransformer(**VIT), settings, 32, model.grid)
    trained = WithPrior(model, prior).train()
    assert not prior.vit.training
    clip, step = torch.randn(2, 3, 4, 4, 8), torch.tensor([50, 900])
    frames = torch.randint(0, 256, (2, 3, 32, 64, 3), dtype=torch.uint8)
    output, disagreement = trained(clip, step, None, frames)
    assert disagreement is not None and disagreement.shape == (2,)
    assert ((disagreement > 0) & (disagreement < 2 * settings.weight)).all()
    assert torch.equal(output, model(clip, step)[0])
    disagreement.sum().backward()
    moved = {name for name, p in trained.named_parameters() if p.grad is not None and p.grad.any()}
    blocks = {name.split(".")[2] for name in moved if name.startswith("denoiser.blocks")}
    assert "prior.projection.weight" in moved
    assert not any(name.startswith("prior.vit") for name in moved)
    if reach == "spatial":
        assert blocks == {"0", "2"} and all("blocks" in n or "projection" in n for n in moved)
    else:
        assert blocks == {"0", "1", "2"}


def test_training_with_the_prior_brings_the_maps_together(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_vit(tmp_path / "dino", VisionTransformer(**VIT | {"img_size": 32}), VIT | {"img_size": 32})
    assert isinstance(load_vit(tmp_path / "dino"), VisionTransformer)
    clips = CaptionedClips(**common(tmp_path))
    size = {"num_frames": SHAPE.num_frames, "width": SHAPE.width, "height": SHAPE.height}
    encoding = Encoding(
        clips=clips,
        parts=bora_base(tmp_path),
        shape=SHAPE,
        max_text_tokens=TEXT_TOKENS,
        mask_padding=True,
        **common(tmp_path),
    )

    def training(**fields: Any) -> EndoraTraining:
        return EndoraTraining(
            name="fine-tuned",
            init=endora_base(tmp_path),
            encoding=encoding,
            held_out=encoding,
            optimisation=Optimisation(steps=12, batch_size=4, lr=1e-2, checkpoint_every=1),
            **fields,
            **common(tmp_path),
        )

    dino = weights(tmp_path / "dino", tmp_path)
    frames = FrameCache(clips=clips, **size, **common(tmp_path))
    with_prior = training(prior=PRIOR.model_copy(update={"weight": 10.0}), dino=dino, frames=frames)
    log = (with_prior.run(), (with_prior.folder / "loss.jsonl").read_text().splitlines())[1]
    assert with_prior.run()["first_loss"] > with_prior.run()["last_loss"] > 0 and len(log) == 12
    plain = training().run()
    assert plain["held_out_loss"]["before"] == with_prior.run()["held_out_loss"]["before"]
    assert plain["first_loss"] < with_prior.run()["first_loss"] - 1
    names = {file.name for file in (with_prior.weights() / "transformer").iterdir()}
    assert names == {"config.json", "diffusion_pytorch_model.safetensors"}
    with pytest.raises(ValueError, match="give all three or none"):
        training(prior=PRIOR)
    with pytest.raises(UserError, match="spatial blocks are 0 to 1"):
        blocks = PRIOR.model_copy(update={"blocks": (0, 2)})
        training(prior=blocks, dino=dino, frames=frames).run()
    with pytest.raises(UserError, match="the ViT has blocks 0 to 2"):
        layers = PRIOR.model_copy(update={"layers": (0, 3)})
        training(prior=layers, dino=dino, frames=frames).run()


def test_the_prior_sees_the_frame_that_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_vit(tmp_path / "dino", VisionTransformer(**VIT | {"img_size": 32}), VIT | {"img_size": 32})
    clips = CaptionedClips(**common(tmp_path))
    parts = {"parts": endora_base(tmp_path), "shape": SHAPE, "max_text_tokens": 0}
    encoding = Encoding(clips=clips, **parts, **common(tmp_path))
    frames = FrameCache(clips=clips, **SHAPE.model_dump(), **common(tmp_path))
    training = EndoraTraining(
        name="fine-tuned",
        init=endora_base(tmp_path),
        encoding=encoding,
        diffusion=DiffusionSettings(frames=1),
        optimisation=Optimisation(steps=1, batch_size=4, lr=1e-3, seed=3),
        prior=PRIOR,
        dino=weights(tmp_path / "dino", tmp_path),
        frames=frames,
        **common(tmp_path),
    )
    seen = []
    forward = DinoPrior.forward

    def look(self: DinoPrior, shown: torch.Tensor, features: Any) -> torch.Tensor:
        seen.append(shown)
        return forward(self, shown, features)

    monkeypatch.setattr(DinoPrior, "forward", look)
    training.run()
    batch = batch_at(0, 4, training.run()["clips"], seed=3)
    drawn, table = draw_frames(batch, SHAPE.num_frames, 1)[:, 0].tolist(), frames.table()
    names = [encoding.clip_ids()[row] for row in batch.index]
    expected = [
        table.frames[table.rows[name], frame] for name, frame in zip(names, drawn, strict=True)
    ]
    assert len(set(drawn)) > 1 and len(seen) == 1
    assert np.array_equal(seen[0].numpy(), np.stack(expected)[:, None])


def test_missing_dino_weights_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no DINO can be read"):
        load_vit(tmp_path)


def test_a_dino_learns_without_labels_and_resumes(tmp_path: Path) -> None:
    clips = CaptionedClips(num_clips=6, **common(tmp_path))

    def training(name: str, steps: int = 10) -> DinoTraining:
        return DinoTraining(
            clips=(clips,),
            shape=SHAPE,
            settings=VitSettings(patch_size=8, embed_dim=24, depth=2, num_heads=2, outputs=16),
            optimisation=Optimisation(steps=steps, batch_size=6, lr=2e-3, checkpoint_every=1),
            **common(tmp_path) | {"infra": {"folder": str(tmp_path / name)}},
        )

    whole = training("whole")
    result = whole.run()
    assert result["last_loss"] < result["first_loss"] and result["frames"] == 6 * SHAPE.num_frames
    assert 0 <= result["spread"] <= 1
    vit = load_vit(whole.weights())
    assert vit(torch.zeros(1, 3, SHAPE.height, SHAPE.width)).shape == (1, 24)

    killed = training("killed")
    steps = 0
    update = Training.update

    def stop(run: Training, *rest: Any) -> bool:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise KeyboardInterrupt
        return update(run, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "update", stop)
        with pytest.raises(KeyboardInterrupt):
            killed.run()
    killed.run()
    names = ("model.safetensors", "config.json")
    both = [[(s.weights() / name).read_bytes() for name in names] for s in (whole, killed)]
    assert both[0] == both[1]


def test_views_are_crops_that_follow_the_sample(tmp_path: Path) -> None:
    images = torch.rand(4, 3, 16, 24)
    together = view(images, Batch([3, 4, 5, 6], [0, 1, 2, 3], seed=0), "first")
    alone = view(images[1:2], Batch([4], [1], seed=0), "first")
    assert together.shape == images.shape and torch.allclose(together[1:2], alone, atol=1e-6)
    assert not torch.allclose(
        together, view(images, Batch([3, 4, 5, 6], [0] * 4, seed=0), "second")
    )
    flat = view(torch.full((2, 3, 8, 8), 0.5), Batch([0, 1], [0, 1], seed=0), "first")
    assert flat.flatten(2).std(2).max() < 1e-5  # a crop of one colour has one colour
