"""Do loading and training of classifiers keep up with mmaction2's tools and with their own limits?

    python -m benchmarks.perf.classifier_training
    python -m benchmarks.perf.classifier_training --network mvit_v2 --frame-size 480 320

Ways take turns. Loading: passes over cached clips, over files decoded first, of mmaction2's
pipeline, of decord alone. Training: steps of our loop, of mmengine's, of the network alone, and
epochs of our loop. Prints JSON: medians, and beside every ratio the target that it should reach.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any

import decord
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from augment import training_set
from benchmarks.config.files import load_config
from benchmarks.config.sections import ClassifierSection
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim
from benchmarks.datasets.taxonomy import NUM_CLASSES
from benchmarks.perf import mmaction_peer as peer
from benchmarks.perf.turns import clips_per_s, per_unit, speed_ratio, take_turns
from benchmarks.plan import PROJECT_ROOT
from classifiers.data import Batches, LabelledSplit, TrainingClips
from classifiers.fitting import Fitting
from classifiers.prediction import normalise
from classifiers.training import ClassifierTraining
from core.frame_cache import open_frames
from core.runtime import Runtime, commit_of
from core.video import probe, uniform_indices

OPHSIM_LEAST = NUM_CLASSES["phase"]  # one clip each


def training_of(
    clips: peer.TrimmedClips, section: ClassifierSection, num_classes: int, size: int
) -> ClassifierTraining:
    """The stage that would train on `clips`, with the same folder and runtime."""
    common: dict[str, Any] = {"infra": {"folder": clips.infra.folder}, "runtime": clips.runtime}
    return ClassifierTraining(
        task=clips.task,
        num_classes=num_classes,
        network=section.network,
        recipe=section.recipe,
        mixture=training_set.TrainingSet(sources=(clips,), task=clips.task, **common),
        evaluation=clips,
        size=size,
        **common,
    )


def cached_clips(training: ClassifierTraining) -> TrainingClips:
    """The clips of the mixture's only source, in their cache."""
    table = training.cache_of(training.evaluation).table()
    return TrainingClips([table], training.mixture.chosen(), training.num_classes)


def compare_loading(
    clips: peer.TrimmedClips, training: ClassifierTraining, rounds: int, workers: int
) -> dict[str, Any]:
    """Clips a second of the four ways; `training` gives batch, frames, size and augmentation.

    Batches are uint8; ours are one array, mmaction2 stacks its clips only in the training step.
    """
    recipe, num_frames = training.recipe, training.num_frames
    cache, cached = training.cache_of(clips), cached_clips(training)
    chosen = training.mixture.chosen()
    dataset = peer.video_dataset(clips, peer.training_pipeline(num_frames, training.size, recipe))
    loader = peer.video_loader(dataset, recipe.batch_size, workers, training.runtime.threads)
    manifest, passes = clips.manifest(), count()
    files = [str(manifest.path_of(clip)) for clip in manifest.clips]

    def one_pass(data: TrainingClips) -> int:
        batches, steps = Batches(data, recipe, training.seed), recipe.steps_per_pass(len(data))
        start = next(passes) * steps  # another order each time
        return sum(len(batches[step][1]) for step in range(start, start + steps))

    def from_mp4() -> int:
        folder = Path(tempfile.mkdtemp(dir=caches))  # deleting it is no part of loading
        cache.execute(folder)
        return one_pass(TrainingClips([open_frames(folder)], chosen, training.num_classes))

    def mmaction2() -> int:
        return sum(len(batch["inputs"]) for batch in loader)

    def bare_decode() -> int:
        for path in files:
            reader = decord.VideoReader(path, num_threads=1)
            reader.get_batch(uniform_indices(len(reader), num_frames).tolist()).asnumpy()
        return len(files)

    ways = {
        "ours_cached": per_unit(lambda: one_pass(cached)),
        "ours_from_mp4": per_unit(from_mp4),
        "mmaction2": per_unit(mmaction2),
        "bare_decode": per_unit(bare_decode),
    }
    with tempfile.TemporaryDirectory() as caches:
        seconds = take_turns(ways, rounds, "loading")
    targets = {
        ("ours_cached", "mmaction2"): "at least 5",
        ("ours_from_mp4", "mmaction2"): "at least 1",
        ("ours_from_mp4", "bare_decode"): "none, it is the limit",
    }
    ratios = {
        f"{ours} / {other}": {"value": speed_ratio(seconds, ours, other), "target": target}
        for (ours, other), target in targets.items()
    }
    return {"clips_per_s": clips_per_s(seconds, 1), "ratios": ratios}


class _OneBatch(Batches):
    """The same batch at every step, from memory."""

    def __init__(self, batches: Batches) -> None:
        super().__init__(batches.data, batches.recipe, batches.seed)
        self.batch = batches[0]

    def part(self, step: int, rank: int, parts: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        return self.batch


def compare_training(training: ClassifierTraining, rounds: int, steps: int) -> dict[str, Any]:
    """Clips a second of the two loops, of the network alone and of whole epochs.

    The overhead is what an epoch takes beyond as many steps of the network alone: loading,
    normalising, clipping of gradients, learning rate, seeds, log and checkpoint.
    """
    device, name = training.runtime.torch_device(), type(training.network).__name__
    data = cached_clips(training)

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        loop, epochs = (fitting_of(training, data, Path(folder)) for _ in range(2))
        loop.batches = _OneBatch(loop.batches)
        frames, labels = loop.batches[0]
        bare, batch = bare_step(training, frames, labels), peer.packed(frames, labels)

        def our_steps(count: int = steps) -> int:
            return run_on(loop, lambda loss: None, count)

        def bare_steps() -> int:
            for _ in range(steps):
                bare()
            return steps

        def mmengine_steps() -> float:
            model = training.build().to(device)
            return peer.seconds_per_step(model, training.recipe, batch, steps, now)

        ways = {
            # mmengine's first step does not count either: see `seconds_per_step`.
            "ours": per_unit(our_steps, now, lambda: our_steps(1)),
            "mmaction2": mmengine_steps,
            "bare_network": per_unit(bare_steps, now, bare),
            "ours_epoch": per_unit(lambda: run_on(epochs, epochs.follow), now),
        }
        seconds = take_turns(ways, rounds, f"training {name}")
    step = speed_ratio(seconds, "ours", "mmaction2")
    overhead = round(100 * (1 - speed_ratio(seconds, "ours_epoch", "bare_network")), 1)
    return {
        "clips_per_s": clips_per_s(seconds, len(labels)),
        "ratios": {"ours / mmaction2": {"value": step, "target": "at least 0.97"}},
        "epoch_overhead_percent": {"value": overhead, "target": "below 10"},
    }


def fitting_of(training: ClassifierTraining, data: TrainingClips, folder: Path) -> Fitting:
    """The training loop. Its val split is one clip: prediction is not what is timed."""
    val = LabelledSplit(data.rows[:1], data.labels[:1], [""], [""], [])
    machinery: dict[str, Any] = {"seed": training.seed, "runtime": training.runtime}
    frames = data.tables[0]
    return Fitting(training.build, training.recipe, data, frames, val, folder, **machinery)


def run_on(fitting: Fitting, follow: Callable[[float], None], steps: int = 0) -> int:
    """So many more steps of the training loop, 0: an epoch's; how many they are."""
    steps = steps or fitting.steps_per_epoch
    until = fitting.training.step + steps
    fitting.training.run(fitting.losses, follow, "", until=until, quiet=True)
    assert fitting.training.step == until  # it would have ended early if it diverged
    return steps


def bare_step(
    training: ClassifierTraining, frames: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Callable[[], None]:
    """Forward, backward and optimiser alone, on tensors that stay where they are.

    Args: frames: (B, T, size, size, 3) uint8. labels: (B,) int64.
    """
    device, recipe = training.runtime.torch_device(), training.recipe
    model = training.build().to(device).train()
    optimiser = recipe.build_optimiser(model)
    clips = normalise(torch.from_numpy(frames).to(device))
    targets = torch.from_numpy(labels).to(device)

    def step() -> None:
        logits = model(clips)
        loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def compare(
    clips: peer.TrimmedClips,
    trainings: dict[str, ClassifierTraining],
    *,
    rounds: int,
    steps: int,
    workers: int,
) -> dict[str, Any]:
    """The whole report: loading (as the first training loads), then every training.

    workers: processes of mmaction2's loader, 0 for this one alone; the frame cache has as many as
    its runtime says and so many clips deserve; cached clips and decord alone have this one.
    """
    first = next(iter(trainings.values()))
    manifest = clips.manifest()
    video = probe(manifest.path_of(manifest.clips[0]))
    return {
        "commit": commit_of(PROJECT_ROOT),
        "device": str(first.runtime.torch_device()),
        "threads": first.runtime.threads,
        "workers": workers,
        "rounds": rounds,
        "steps": steps,
        "clips": len(manifest),
        "frame_size": [video.width, video.height],
        "batch": first.recipe.batch_size,
        "input": [first.num_frames, first.size, first.size],
        "loading": compare_loading(clips, first, rounds, workers),
        **{name: compare_training(each, rounds, steps) for name, each in trainings.items()},
    }


def main() -> None:
    """Print the measurement as JSON."""
    config = load_config("ophnet_phase")
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--steps", type=int, default=10, help="of one batch, a round")
    command.add_argument("--clips", type=int, default=896, help="a multiple of the batch")
    command.add_argument("--batch", type=int, default=16)
    command.add_argument("--network", choices=list(config.classifiers), help="default: all")
    command.add_argument("--workers", type=int, default=0, help="processes; 0: none but this")
    command.add_argument("--frame-size", type=int, nargs=2, default=(96, 64), help="of the files")
    options = command.parse_args()
    if options.clips % options.batch or options.clips < OPHSIM_LEAST:
        command.error(f"--clips: must be a multiple of --batch and at least {OPHSIM_LEAST}")
    runtime = Runtime(workers=max(1, options.workers))
    runtime.apply()
    # Libraries print notices; standard output is for the JSON.
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        infra: dict[str, Any] = {"infra": {"folder": folder}}
        others = {f"{split}_clips": OPHSIM_LEAST for split in ("val", "test")}  # nobody reads them
        width, height = options.frame_size
        drawn = OphSim(
            seed=1, train_clips=options.clips, val_cases=1, test_cases=1, **others,
            minimum=1, width=width, height=height, **infra,
        )  # fmt: skip
        cases = OphNet(task="phase", name="OphSim", written_by=drawn, runtime=runtime, **infra)
        clips = peer.TrimmedClips(clips=cases, num_clips=options.clips, runtime=runtime, **infra)
        trainings: dict[str, ClassifierTraining] = {}
        for name, section in config.classifiers.items():
            if options.network in (None, name):
                recipe = section.recipe.model_copy(update={"batch_size": options.batch})
                own = section.model_copy(update={"recipe": recipe})
                trainings[name] = training_of(clips, own, cases.num_classes, config.size)
        counts = {"rounds": options.rounds, "steps": options.steps, "workers": options.workers}
        found = compare(clips, trainings, **counts)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
