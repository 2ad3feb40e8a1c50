"""Choice of clips, order, augmentation and prediction on frames in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from classifiers.data import Batches, TrainingClips, augment, labelled_split, recolour
from classifiers.prediction import MEAN, STD, normalise, penultimate_features, predict
from classifiers.recipe import FixMatch, Recipe
from core.clip import Clip, Manifest
from core.errors import UserError
from core.frame_cache import FrameTable
from core.mixture import Chosen
from tests.presets import MVITV2_NANO

RECIPE = Recipe(optimiser="sgd", lr=0.1, weight_decay=0.0, epochs=2, batch_size=4)


def _table(count: int, lost: tuple[str, ...] = ()) -> FrameTable:
    frames = np.zeros((count, 2, 8, 8, 3), np.uint8)
    frames += np.arange(count, dtype=np.uint8)[:, None, None, None, None]
    ids = [f"c{i}" for i in range(count)]
    rows = {clip_id: row for row, clip_id in enumerate(ids) if clip_id not in lost}
    return FrameTable(frames, rows, dict.fromkeys(lost, "cut"))


def _set(count: int, lost: tuple[str, ...] = ()) -> TrainingClips:
    chosen = [Chosen(source=0, clip_id=f"c{i}", label=i % 3) for i in range(count)]
    return TrainingClips([_table(count, lost)], chosen, num_classes=3)


def test_a_pass_sees_every_clip_once_and_the_next_pass_another_order() -> None:
    data = _set(12)
    first, second = data.order(0, 0), data.order(0, 1)
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second) and not np.array_equal(first, data.order(1, 0))
    batches = Batches(data, RECIPE.model_copy(update={"max_shift": 0.0, "flip": False}), seed=0)
    seen = np.concatenate([batches[step][0][:, 0, 0, 0, 0] for step in range(3)])
    np.testing.assert_array_equal(seen, first)  # a frame's value is its clip's number
    np.testing.assert_array_equal(batches[1][1], first[4:8] % 3)


def test_a_batch_depends_on_seed_and_step_only() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (12, 2, 8, 8, 3), dtype=np.uint8)
    table = FrameTable(frames, {f"c{i}": i for i in range(12)}, {})
    chosen = [Chosen(source=0, clip_id=f"c{i}", label=0) for i in range(12)]
    data = TrainingClips([table], chosen, 2)
    forward = [Batches(data, RECIPE, seed=3)[step][0] for step in range(5)]
    again = Batches(data, RECIPE, seed=3)
    for step in (4, 0, 2):
        np.testing.assert_array_equal(again[step][0], forward[step])
    assert not np.array_equal(Batches(data, RECIPE, seed=4)[0][0], forward[0])


@pytest.mark.parametrize("parts", [2, 3])
def test_processes_share_a_batch_without_changing_it(parts: int) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (24, 2, 8, 8, 3), dtype=np.uint8)
    table = FrameTable(frames, {f"c{i}": i for i in range(24)}, {})
    chosen = [Chosen(source=0, clip_id=f"c{i}", label=i % 2) for i in range(24)]
    data = TrainingClips([table], chosen, 2)
    batches = Batches(data, RECIPE.model_copy(update={"batch_size": 6, "colour": 0.3}), seed=1)
    whole, labels = batches[3]
    shares = [batches.part(3, rank, parts) for rank in range(parts)]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in shares]), whole)
    np.testing.assert_array_equal(np.concatenate([part for _, part in shares]), labels)


def test_clips_without_labels_are_drawn_beside_the_others_in_two_views() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (24, 2, 8, 8, 3), dtype=np.uint8)
    table = FrameTable(frames, {f"c{i}": i for i in range(24)}, {})
    chosen = [Chosen(source=0, clip_id=f"c{i}", label=i % 2) for i in range(8)]
    chosen += [Chosen(source=0, clip_id=f"c{i}", label=0, unlabelled=True) for i in range(8, 24)]
    data = TrainingClips([table], chosen, 2)
    assert len(data) == 8 and sorted(data.order(0, 0)) == list(range(8))
    plain = {"flip": False, "max_shift": 0.0, "fixmatch": FixMatch(ratio=3, colour=0.9)}
    batches = Batches(data, RECIPE.model_copy(update=plain), seed=1)
    weak, strong = batches.unlabelled_part(3, 0, 1)
    assert weak.shape == strong.shape == (12, 2, 8, 8, 3)
    for clip in weak:  # one of them, as it is
        assert any(np.array_equal(clip, frames[i]) for i in range(8, 24))
    assert not any(np.array_equal(*views) for views in zip(weak, strong, strict=True))
    shares = [batches.unlabelled_part(3, rank, 2) for rank in range(2)]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in shares]), weak)
    np.testing.assert_array_equal(np.concatenate([part for _, part in shares]), strong)
    assert not np.array_equal(batches.unlabelled_part(4, 0, 1)[0], weak)
    with pytest.raises(UserError, match="no readable training clip"):
        TrainingClips([table], chosen[8:], 2)


def test_clips_for_a_part_of_the_steps_make_room_for_the_others() -> None:
    chosen = [Chosen(source=0, clip_id=f"c{i}", label=i % 3) for i in range(9)]
    chosen += [Chosen(source=0, clip_id=f"c{i}", label=i % 3, until=0.4) for i in range(9, 15)]
    data = TrainingClips([_table(15)], chosen, num_classes=3)
    plain = RECIPE.model_copy(update={"max_shift": 0.0, "flip": False})
    batches = Batches(data, plain, seed=0, steps=15)  # 6 steps, then 9
    seen = [batches[step][0][:, 0, 0, 0, 0] for step in range(15)]
    passes = [np.concatenate(seen[start : start + 3]) for start in (0, 3)]
    assert all(len(set(values)) == 12 and values.max() >= 9 for values in passes)
    late = [np.concatenate(seen[start : start + 2]) for start in range(6, 14, 2)]
    assert all(len(set(values)) == 8 and values.max() < 9 for values in late)
    assert len({tuple(values) for values in late}) == len(late)
    again = Batches(data, plain, seed=0, steps=15)
    for step in (14, 2, 7, 5):  # after a kill at any step
        np.testing.assert_array_equal(again[step][0][:, 0, 0, 0, 0], seen[step])
    for_all = TrainingClips([_table(15)], [c.model_copy(update={"until": 1.0}) for c in chosen], 3)
    np.testing.assert_array_equal(seen[1], Batches(for_all, plain, seed=0)[1][0][:, 0, 0, 0, 0])
    with pytest.raises(UserError, match="no readable real clip to end with"):
        Batches(TrainingClips([_table(15)], chosen[9:], 3), plain, seed=0, steps=15)


def test_unreadable_clips_drop_out_and_unknown_ones_are_errors() -> None:
    data = _set(6, lost=("c2", "c4"))
    assert len(data) == 4 and data.unreadable == ["c2", "c4"]
    with pytest.raises(UserError, match="no clip 'other'"):
        TrainingClips([_table(2)], [Chosen(source=0, clip_id="other", label=0)], 3)
    with pytest.raises(UserError, match="source 1"):
        TrainingClips([_table(2)], [Chosen(source=1, clip_id="c0", label=0)], 3)
    with pytest.raises(UserError, match="label 3 is out of range for num_classes 3"):
        TrainingClips([_table(2)], [Chosen(source=0, clip_id="c0", label=3)], 3)
    with pytest.raises(UserError, match="no readable training clip"):
        _set(1, lost=("c0",))


def test_a_split_keeps_the_manifests_order_and_drops_unreadable_clips(tmp_path) -> None:
    clips = [
        Clip(
            clip_id=f"c{i}",
            video_id=f"v{i}",
            path="v.mp4",
            source="toy",
            labels={"phase": i},
            split="val",
        )
        for i in (3, 1, 2)
    ]
    manifest = Manifest(root=tmp_path, clips=tuple(clips))
    val = labelled_split(manifest, _table(4, lost=("c1",)), "val", "phase", 5)
    assert val.clip_ids == ["c3", "c2"] and val.video_ids == ["v3", "v2"]
    assert val.rows.tolist() == [3, 2] == val.labels.tolist() and val.unreadable == ["c1"]
    with pytest.raises(UserError, match="no readable clip in the test split"):
        labelled_split(manifest, _table(4), "test", "phase", 5)
    with pytest.raises(UserError, match="label 3 is out of range"):
        labelled_split(manifest, _table(4), "val", "phase", 3)


def test_augmentation_moves_all_frames_of_a_clip_alike_and_mirrors_half() -> None:
    frames = np.zeros((200, 2, 16, 16, 3), np.uint8)
    frames[:, :, 5, 3] = 200  # one bright pixel, off centre
    moved = augment(frames, np.random.default_rng(0), max_shift=1 / 8, flip=True)
    np.testing.assert_array_equal(moved[:, 0], moved[:, 1])
    places = np.argwhere(moved[:, 0, :, :, 0] == 200)
    assert len(places) == 200  # shifts of at most 2 pixels lose none
    rows, columns = places[:, 1], places[:, 2]
    assert set(rows) == set(range(3, 8))
    mirrored = columns > 8
    assert set(columns[~mirrored]) == set(range(1, 6))
    assert set(columns[mirrored]) == set(range(10, 15))
    assert 0.4 < mirrored.mean() < 0.6
    same = augment(frames, np.random.default_rng(0), max_shift=0.0, flip=False)
    np.testing.assert_array_equal(same, frames)


def test_recolouring_keeps_places_and_times_and_stays_within_its_limits() -> None:
    frames = np.full((300, 2, 4, 4, 3), 127, np.uint8)
    frames[:, :, 0, 0] = 200
    changed = recolour(frames, np.random.default_rng(0), 0.2).astype(int)
    np.testing.assert_array_equal(changed[:, 0], changed[:, 1])
    ground, spot = changed[:, 0, 1, 1], changed[:, 0, 0, 0]
    np.testing.assert_array_equal(changed[:, 0, 3, 2], ground)
    assert (spot > ground).all()
    # 127.5 +- 20%, and 73 levels of contrast times 0.8..1.2 (contrast) times 0.9..1.1 (a colour).
    assert ground.min() >= 101 and ground.max() <= 154 and np.ptp(ground) > 40
    contrast = spot - ground
    assert 73 * 0.8 * 0.9 - 2 <= contrast.min() < contrast.max() <= 73 * 1.2 * 1.1 + 2
    assert np.ptp(contrast, axis=1).max() > 5  # colours change apart
    np.testing.assert_array_equal(recolour(frames, np.random.default_rng(0), 0.0), frames)


def test_normalise_maps_the_mean_to_zero_without_moving_memory() -> None:
    frames = torch.zeros(2, 4, 8, 8, 3, dtype=torch.uint8)
    frames[..., 1] = 255
    clips = normalise(frames)
    assert clips.shape == (2, 3, 4, 8, 8) and clips.dtype == torch.float32
    assert clips.is_contiguous(memory_format=torch.channels_last_3d)
    assert clips[0, 0].unique().item() == pytest.approx(-MEAN / STD)
    assert clips[0, 1].unique().item() == pytest.approx((1 - MEAN) / STD)
    assert not frames[..., 0].any()  # the input is left alone


def test_prediction_is_in_order_and_free_of_dropout() -> None:
    torch.manual_seed(0)
    model = MVITV2_NANO.build(3, 8, 32).train()
    frames = np.random.default_rng(0).integers(0, 255, (5, 8, 32, 32, 3), dtype=np.uint8)
    logits = predict(model, frames, batch_size=2)
    assert logits.shape == (5, 3) and logits.dtype == np.float32 and model.training
    np.testing.assert_array_equal(logits, predict(model, frames, batch_size=2))
    picked = predict(model, frames, rows=[4, 0], batch_size=2)
    np.testing.assert_allclose(picked, logits[[4, 0]], atol=1e-5)
    features = penultimate_features(model, frames)
    assert features.shape == (5, model.head.in_features)
    with torch.no_grad():
        expected = model.head(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(expected, logits, atol=1e-5)
    with pytest.raises(ValueError, match="no clip"):
        predict(model, frames[:0])
