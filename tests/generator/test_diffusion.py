"""What diffusion generators share: timestep strata, single frames, the matrices that Muon has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from core.batch import Batch
from core.errors import UserError
from core.optimisation import Optimisation, build_optimisers, matrices_of
from generator.bora.stdit import STDiT
from generator.denoising import draw_frames, draw_timesteps, frames_of
from tests.generator.tiny import bora_base, ophora_base


@pytest.mark.parametrize("strata", [1, 4, 16])
def test_timesteps_stay_in_the_stratum_of_their_sample(strata: int) -> None:
    batch = Batch(list(range(64)), [0] * 64, seed=0)
    steps = draw_timesteps(batch, 1000, strata)
    assert steps.min() >= 0 and steps.max() < 1000
    for number, step in zip(batch.number, steps.tolist(), strict=True):
        low = (number % strata) * 1000 // strata
        assert low <= step < low + 1000 / strata + 1
    if strata == 1:
        assert steps.float().std() > 200  # uniform: 289


def test_single_frames_are_drawn_anew_for_each_sample() -> None:
    latents = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(64, 5, 2, 3, 4)
    batch = Batch(list(range(64)), [0] * 64, seed=0)
    drawn = frames_of(latents, draw_frames(batch, 5, 1))
    assert drawn.shape == (64, 1, 2, 3, 4)
    frames = drawn[:, 0, 0, 0, 0].tolist()
    assert set(frames) == {0, 1, 2, 3, 4} and (drawn == drawn[:, :, :1, :1, :1]).all()
    one = draw_frames(Batch([17], [0], seed=0), 5, 1)
    assert one.tolist() == [[frames[17]]]  # whatever else is in the batch


def test_a_few_frames_are_evenly_spaced_from_any_start() -> None:
    batch = Batch(list(range(64)), [0] * 64, seed=0)
    drawn = draw_frames(batch, 9, 3)
    assert {tuple(row) for row in drawn.tolist()} == {(0, 3, 6), (1, 4, 7), (2, 5, 8)}
    assert draw_frames(batch, 9, 9).tolist() == [list(range(9))] * 64
    with pytest.raises(UserError, match=r"diffusion.frames 4: the clips have 3 latent frames"):
        draw_frames(batch, 3, 4)


def test_muon_has_the_blocks_matrices_of_both_generators_and_no_others(tmp_path: Path) -> None:
    settings = Optimisation(steps=1, batch_size=1, lr=1e-2, optimiser="muon")
    folder = ophora_base(tmp_path / "ophora").weights() / "transformer"
    ophora = CogVideoXTransformer3DModel.from_pretrained(folder)
    bora = STDiT.from_pretrained(bora_base(tmp_path / "bora").weights() / "transformer")
    for model in (ophora, bora):
        chosen = {id(matrix) for matrix in matrices_of(model)}
        names = {name for name, p in model.named_parameters() if id(p) in chosen}
        assert names and all("blocks." in name and name.endswith("weight") for name in names)
        assert not any("norm" in name for name in names)
        adamw, muon = build_optimisers(model, settings)
        held = [id(p) for o in (adamw, muon) for group in o.param_groups for p in group["params"]]
        assert len(held) == len(set(held)) == len(list(model.parameters()))
