"""Both sides of the speed comparison do the same work; their speeds are not tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.config.sections import ClassifierSection
from benchmarks.perf import classifier_training, turns
from benchmarks.perf import mmaction_peer as peer
from classifiers.networks import Network
from classifiers.prediction import normalise
from classifiers.recipe import Recipe
from core.frame_cache import FrameCache
from tests.classifiers.toy import CLASSES, ToyClips
from tests.presets import MVITV2_NANO, SLOWFAST_NANO

pytestmark = pytest.mark.slow  # importing mmaction2 and mmengine

FRAMES, SIZE = 8, 32  # toy clips have 8 frames of 32 x 32
RECIPE = Recipe(optimiser="sgd", lr=0.01, weight_decay=1e-4, epochs=2, batch_size=4, grad_clip=1.0)


def toy_clips(folder: Path) -> peer.TrimmedClips:
    infra = {"folder": str(folder)}
    toys = ToyClips(videos=3, splits=False, infra=infra)
    return peer.TrimmedClips(clips=toys, num_clips=8, infra=infra)


def test_both_sides_read_the_same_clips(tmp_path: Path) -> None:
    clips = toy_clips(tmp_path)
    size = SIZE // 2
    infra = {"folder": str(tmp_path)}
    cache = FrameCache(clips=clips, num_frames=FRAMES, width=size, height=size, infra=infra)
    table = cache.table()
    plain = RECIPE.model_copy(update={"max_shift": 0.0, "flip": False})
    # UniformSample draws at random; files of 8 frames are read whole by this one.
    every = peer.transforms.SampleFrames(clip_len=FRAMES, test_mode=True)
    pipeline = [
        every if isinstance(step, peer.transforms.UniformSample) else step
        for step in peer.training_pipeline(FRAMES, size, plain)
    ]
    theirs = peer.video_dataset(clips, pipeline)
    manifest = clips.manifest()
    assert len(theirs) == len(manifest) == 8
    for item, clip in zip(theirs, manifest.clips, strict=True):
        frames = item["inputs"][0].permute(1, 2, 3, 0).numpy()  # (1, 3, T, H, W) -> (T, H, W, 3)
        # At half the size, area and bilinear interpolation average the same four pixels.
        difference = frames.astype(int) - table.frames[table.rows[clip.clip_id]]
        assert np.abs(difference).max() <= 1  # of 255: rounding
        assert item["data_samples"].gt_labels.item.tolist() == [clip.label("phase")]


def test_a_pass_of_mmaction2_has_every_clip_at_our_shape(tmp_path: Path) -> None:
    clips = toy_clips(tmp_path)
    dataset = peer.video_dataset(clips, peer.training_pipeline(FRAMES, SIZE, RECIPE))
    batches = list(peer.video_loader(dataset, 4, workers=0, threads=1))
    inputs = [tensor for batch in batches for tensor in batch["inputs"]]
    samples = [sample for batch in batches for sample in batch["data_samples"]]
    assert {(tensor.shape, tensor.dtype) for tensor in inputs} == {
        ((1, 3, FRAMES, SIZE, SIZE), torch.uint8)
    }
    labels = sorted(sample.gt_labels.item.item() for sample in samples)
    assert labels == sorted(clip.label("phase") for clip in clips.manifest().clips)


@pytest.mark.parametrize(("network", "smoothing"), [(SLOWFAST_NANO, 0.0), (MVITV2_NANO, 0.1)])
def test_the_wrapped_network_has_our_loss(network: Network, smoothing: float) -> None:
    model = network.build(CLASSES, FRAMES, SIZE)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, 4)
    wrapped = peer.recognizer(model, smoothing).train()
    torch.manual_seed(0)  # of dropout
    clips, targets = normalise(torch.from_numpy(frames)), torch.from_numpy(labels)
    ours = functional.cross_entropy(model.train()(clips), targets, label_smoothing=smoothing)
    torch.manual_seed(0)
    batch = wrapped.data_preprocessor(peer.packed(frames, labels), training=True)
    theirs = wrapped(**batch, mode="loss")["loss_cls"]
    assert abs(ours.item() - theirs.item()) <= 1e-5


def test_everything_is_timed_in_turn(tmp_path: Path) -> None:
    clips = toy_clips(tmp_path)
    networks = {"slowfast": SLOWFAST_NANO, "mvit_v2": MVITV2_NANO}
    trainings = {
        name: classifier_training.training_of(
            clips, ClassifierSection(network=network, recipe=RECIPE), CLASSES, SIZE
        )
        for name, network in networks.items()
    }
    found = classifier_training.compare(clips, trainings, rounds=1, steps=2, workers=0)
    assert (found["clips"], found["batch"], found["frame_size"]) == (8, 4, [32, 32])
    ways = {
        "loading": {"ours_cached", "ours_from_mp4", "mmaction2", "bare_decode"},
        "slowfast": {"ours", "mmaction2", "bare_network", "ours_epoch"},
        "mvit_v2": {"ours", "mmaction2", "bare_network", "ours_epoch"},
    }
    for part, names in ways.items():
        assert found[part]["clips_per_s"].keys() == names
        assert all(speed > 0 for speed in found[part]["clips_per_s"].values())
        assert all(ratio["value"] > 0 for ratio in found[part]["ratios"].values())


def test_a_ratio_says_how_many_times_as_fast() -> None:
    seconds = {"ours": [1.0, 2.0, 1.0], "other": [3.0, 4.0, 30.0]}
    assert turns.speed_ratio(seconds, "ours", "other") == 3.0
    assert turns.clips_per_s(seconds, 16) == {"ours": 16.0, "other": 4.0}
