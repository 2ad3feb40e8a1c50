"""Can OphSim's 52 phases be told apart by instrument, motion and tissue alone?

The nano SlowFast is trained on many clips of one standard eye (no per-case nuisance) and tested on
others. Run it after any change to the programmes; it must reach at least 85% top-1:

    python -m benchmarks.perf.judge_nuisance_free --train 4000 --test 642 --epochs 12
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.config.files import load_config
from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.render import render_clip
from benchmarks.datasets.taxonomy import OPERATIONS, OTHERS_PHASE, PHASE_OF_OPERATION, PHASES
from classifiers.data import LabelledSplit, TrainingClips
from classifiers.fitting import Fitting
from classifiers.networks import Classifier
from classifiers.prediction import predict
from classifiers.recipe import Recipe
from core.frame_cache import FrameTable
from core.mixture import Chosen
from core.runtime import Runtime

_FRAMES, _SIZE = 8, 64
RECIPE = Recipe(
    optimiser="adamw",
    lr=4e-3,
    weight_decay=0.02,
    epochs=12,
    batch_size=32,
    warmup_epochs=0.5,
    max_shift=0.0,
    flip=False,
)


def make_clips(count: int, first_seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(count, 8, 64, 64, 3) uint8 clips and (count,) phase ids, operations taken in turn."""
    clips = np.empty((count, _FRAMES, _SIZE, _SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    eye = CaseAppearance.standard()
    for index in range(count):
        operation = index % len(OPERATIONS)
        frames = render_clip(operation, eye, first_seed + index, _FRAMES, 96, 64)
        for time, frame in enumerate(frames):
            cv2.resize(frame, (_SIZE, _SIZE), dst=clips[index, time], interpolation=cv2.INTER_AREA)
        phase = PHASE_OF_OPERATION[operation]
        labels[index] = OTHERS_PHASE if phase is None else phase
    return clips, labels


def build() -> Classifier:
    """The nano SlowFast for 8 frames of 64 pixels, with fixed random weights."""
    torch.manual_seed(0)
    network = load_config("ophnet_phase").classifiers["slowfast"].network
    return network.build(len(PHASES), _FRAMES, _SIZE)


def judge(train: int, test: int, epochs: int) -> dict[str, Any]:
    """Train on `train` clips and test on `test` others: top-1 in percent, worst confusions."""
    clips, labels = make_clips(train, first_seed=0)
    others, truth = make_clips(test, first_seed=10_000_000)
    names = [str(index) for index in range(max(train, test))]
    table = FrameTable(clips, {name: row for row, name in enumerate(names[:train])}, {})
    chosen = [
        Chosen(source=0, clip_id=name, label=int(label))
        for name, label in zip(names, labels, strict=False)
    ]
    data = TrainingClips([table], chosen, len(PHASES))
    recipe = RECIPE.model_copy(update={"epochs": epochs, "val_interval": epochs})
    unseen = FrameTable(others, {}, {})
    split = LabelledSplit(np.arange(test), truth, names[:test], names[:test], [])
    with tempfile.TemporaryDirectory() as folder:
        fitting = Fitting(
            build, recipe, data, unseen, split, Path(folder), seed=0, runtime=Runtime()
        )
        fitting.train("training the judge")
    guess = predict(fitting.best_model(), others).argmax(1)
    return {
        "top1": round(100 * float((guess == truth).mean()), 2),
        "train": train,
        "test": test,
        "epochs": epochs,
        "confusions": confusions(truth, guess),
    }


def confusions(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> list[tuple[str, str, int]]:
    """The most frequent (true phase, predicted phase, count), worst first."""
    wrong = truth != guess
    pairs, counts = np.unique(np.stack([truth[wrong], guess[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:20]
    return [(PHASES[pairs[0, i]], PHASES[pairs[1, i]], int(counts[i])) for i in order]


def main() -> None:
    """Train, test, print the result and the worst confusions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--test", type=int, default=642)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--output", type=Path, default=None, help="also write the result as JSON")
    args = parser.parse_args()
    Runtime().apply()
    text = json.dumps(judge(args.train, args.test, args.epochs), indent=1)
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
