"""Heads on frozen networks: features computed once and shared, seconds of training, same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classifiers.checkpoints import Checkpoint
from classifiers.features import FEATURES_NAME, PART_NAME, FrozenFeatures
from classifiers.fitting import LOG_NAME
from classifiers.networks import Classifier, Network
from classifiers.prediction import penultimate_features, predict
from classifiers.probe import ProbeHead, ProbeTraining
from classifiers.recipe import Recipe
from classifiers.slowfast import SlowFast
from classifiers.starts import Start
from classifiers.trained import MODEL_NAME
from classifiers.training import ClassifierTraining
from core.errors import UserError
from core.files import read_json
from core.runtime import Runtime
from tests.classifiers.test_transformers import opened
from tests.classifiers.tiny_transformers import FRAMES, SIDE, saved
from tests.classifiers.toy import CLASSES, TINY, ToyClips, ToyMixture

TINY_SLOWFAST = SlowFast(depth=18, stem_dim_outs=(8, 1), stem_kernel=3)
NETWORKS: dict[str, Network] = {"SlowFast": TINY_SLOWFAST, "MViTv2": TINY}
RECIPE = Recipe(
    optimiser="adamw", lr=0.03, weight_decay=0.0, epochs=12, batch_size=8, val_interval=12
)


def common(folder: Path) -> dict[str, Any]:
    return {"infra": {"folder": str(folder)}, "runtime": Runtime(workers=1)}


def trained(folder: Path, network: Network) -> Start:
    """A file with weights of the network; drawn, which features do not mind."""
    torch.manual_seed(5)
    path = folder / f"{type(network).__name__}.pth"
    torch.save({"state_dict": network.build(9, 8, 16).state_dict()}, path)
    return Checkpoint.at(path, **common(folder / "cache"))


def probe_in(
    folder: Path,
    network: Network,
    weights: Start,
    sources: tuple[dict[str, int], ...] = ({},),
    shape: tuple[int, int] = (8, 16),
    **fields: Any,
) -> ProbeTraining:
    """A probe on toy data; `sources`: fields of each ToyClips, the first evaluates."""
    place = common(folder / "cache")
    toys = [ToyClips(**each, infra=place["infra"]) for each in sources]
    return ProbeTraining(
        task="phase",
        num_classes=CLASSES,
        network=network,
        weights=weights,
        mixture=ToyMixture(sources=toys, infra=place["infra"]),
        evaluation=toys[0],
        num_frames=shape[0],
        size=shape[1],
        **({"recipe": RECIPE} | fields),
        **place,
    )


@pytest.mark.parametrize(("name", "head"), [("SlowFast", "linear"), ("MViTv2", "attentive")])
def test_a_head_learns_and_is_the_same_again(tmp_path: Path, name: str, head: str) -> None:
    network = NETWORKS[name]
    weights = trained(tmp_path, network)
    stage, other = (probe_in(tmp_path, network, weights, head=head, seed=s) for s in (0, 1))
    result = stage.run()
    again = tmp_path / "again"
    again.mkdir()
    stage.execute(again)
    for file in (MODEL_NAME, LOG_NAME, "logits_val.npy", "logits_test.npy"):
        assert (again / file).read_bytes() == (stage.folder / file).read_bytes()
    logits, labels = (np.load(stage.folder / f"{n}_train.npy") for n in ("logits", "labels"))
    assert np.mean(logits.argmax(1) == labels) == 1.0  # eight clips; chance is 0.25
    table = stage.inputs_of(stage.evaluation).table()
    clips = read_json(stage.folder / "clips_train.json")
    rows = [table.rows[clip["clip_id"]] for clip in clips]
    np.testing.assert_array_equal(predict(stage.model(), table.frames, rows), logits)
    assert result["parameters"] == sum(p.numel() for p in stage.model().parameters()) < 100_000
    assert not torch.equal(stage.build().head.weight, other.build().head.weight)


def test_features_are_computed_once_for_all_arms_and_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    plain = FrozenFeatures._of

    def counted(self: FrozenFeatures, model: Classifier, frames: Any) -> Any:
        runs.append(len(frames))
        return plain(self, model, frames)

    monkeypatch.setattr(FrozenFeatures, "_of", counted)
    weights = trained(tmp_path, TINY)
    both = ({}, {"seed": 7, "splits": 0, "videos": 2})
    for seed in (0, 1):
        for sources in (({},), both):
            probe_in(tmp_path, TINY, weights, sources, seed=seed).run()
    # 24 real clips and 8 of the arm, in batches of 16, and one more clip to learn the shape.
    assert sum(runs) == 24 + 1 + 8 + 1
    other = probe_in(tmp_path, TINY, weights, head="attentive")
    assert not other.inputs_of(other.evaluation).is_done()  # it reads tokens


def test_features_are_the_frozen_networks_own(tmp_path: Path) -> None:
    for name, network in NETWORKS.items():
        weights = trained(tmp_path, network)
        stage = probe_in(tmp_path, network, weights).inputs_of(ToyClips(**common(tmp_path)))
        model = network.build(2, 8, 16).eval()
        weights.load_into(model)
        frames = stage.frames.table().frames
        table = stage.table()
        np.testing.assert_allclose(
            table.frames, penultimate_features(model, frames), rtol=1e-4, atol=1e-5
        )
        assert table.rows == stage.frames.table().rows and len(table.rows) == 24, name
        clips = model.prepare(torch.from_numpy(np.array(frames[:2])))
        with torch.inference_mode():
            tokens, features = model.tokens(clips), model.features(clips)
        assert tokens.shape[1] > 1
        said = tokens.mean(1) if name == "SlowFast" else tokens[:, 0]
        torch.testing.assert_close(said, features, rtol=1e-4, atol=1e-5)


def test_killed_features_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    weights = trained(tmp_path, TINY)
    stage = probe_in(tmp_path, TINY, weights).inputs_of(ToyClips(**common(tmp_path)))
    whole = stage.run() and (stage.folder / FEATURES_NAME).read_bytes()
    part = stage.folder / PART_NAME
    for length in (5, 200, len(whole) // 2 + 3):  # in the header, behind it, within a row
        part.write_bytes(whole[:length])
        stage.execute(stage.folder)
        assert (stage.folder / FEATURES_NAME).read_bytes() == whole and not part.exists()


def test_a_video_transformer_is_probed_and_trained(tmp_path: Path) -> None:
    model = saved("VideoMAE", tmp_path / "model")
    network, weights = opened(model, tmp_path / "cache")
    stage = probe_in(tmp_path, network, weights, shape=network.shape(8, 16))
    result = stage.run()
    assert (stage.num_frames, stage.size) == (FRAMES, SIDE) and result["train_clips"] == 8
    assert isinstance(stage.model(), ProbeHead)
    fields = {name: getattr(stage, name) for name in ClassifierTraining.model_fields}
    recipe = RECIPE.model_copy(update={"epochs": 1, "val_interval": 1})
    whole = ClassifierTraining(**fields | {"start": weights, "recipe": recipe})
    assert whole.run()["start"]["head"] == ["classifier.weight", "classifier.bias"]
    table = whole.inputs_of(whole.evaluation).table()
    rows = [table.rows[c["clip_id"]] for c in read_json(whole.folder / "clips_test.json")]
    logits = predict(whole.model(), table.frames, rows)
    np.testing.assert_array_equal(logits, np.load(whole.folder / "logits_test.npy"))
    attentive = probe_in(
        tmp_path, network, weights, shape=network.shape(8, 16), head="attentive"
    ).inputs_of(stage.evaluation)
    assert attentive.table().frames.shape == (24, 8, 16)
    assert attentive.table().frames.dtype == np.float16


def test_nothing_is_augmented_and_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    weights = trained(tmp_path, TINY)
    moving = RECIPE.model_copy(update={"max_shift": 0.25, "colour": 0.5})
    plain, moved = (probe_in(tmp_path, TINY, weights, recipe=r) for r in (RECIPE, moving))
    assert plain.infra.uid() == moved.infra.uid() and not moved.recipe.flip
    stage = plain.inputs_of(ToyClips(**common(tmp_path)))
    model = TINY.build(2, 8, 16).eval()
    for parameter in model.parameters():
        parameter.data.fill_(torch.inf)
    with pytest.raises(UserError, match="NaN or inf"):
        stage._of(model, stage.frames.table().frames[:1])
