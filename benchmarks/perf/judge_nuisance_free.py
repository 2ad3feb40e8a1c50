"""Can OphSim's 52 phases be told apart by instrument, motion and tissue alone?

A small SlowFast is trained on many clips of one standard eye (no per-case nuisance) and tested on
others. Run it after any change to the programmes; it must reach at least 85% top-1:

    python -m benchmarks.perf.judge_nuisance_free --train 4000 --test 642 --epochs 12
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pytorchvideo.models.slowfast import create_slowfast
from torch import Tensor, nn

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.render import render_clip
from benchmarks.datasets.taxonomy import OPERATIONS, OTHERS_PHASE, PHASE_OF_OPERATION, PHASES

_FRAMES, _SIZE = 8, 64


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


def small_slowfast(num_classes: int) -> nn.Module:
    """SlowFast depth 18 with thin stems for 8 frames of 64 pixels (0.7 M parameters)."""
    pools = ((_FRAMES // 4, _SIZE // 32, _SIZE // 32), (_FRAMES, _SIZE // 32, _SIZE // 32))
    model: nn.Module = create_slowfast(
        model_depth=18,
        model_num_class=num_classes,
        stem_dim_outs=(16, 2),
        head_pool_kernel_sizes=pools,
    )
    return model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _inputs(clips: NDArray[np.uint8]) -> list[Tensor]:
    """(N, 8, 64, 64, 3) uint8 -> [slow (N, 3, 2, 64, 64), fast (N, 3, 8, 64, 64)] float32."""
    video = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float().div(127.5).sub(1.0)
    video = video.contiguous(memory_format=torch.channels_last_3d)
    slow = torch.linspace(0, _FRAMES - 1, _FRAMES // 4).long()
    return [video[:, :, slow], video]


def train(
    clips: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, batch: int = 32
) -> nn.Module:
    """AdamW, one-cycle schedule, no augmentation."""
    torch.manual_seed(0)
    model = small_slowfast(len(PHASES))
    steps = len(clips) // batch
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps * epochs)
    rng = np.random.default_rng(0)
    model.train()
    for epoch in range(epochs):
        order = rng.permutation(len(clips))
        total = 0.0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            loss = nn.functional.cross_entropy(
                model(_inputs(clips[rows])), torch.from_numpy(labels[rows])
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}/{epochs} loss {total / steps:.3f}", flush=True)
    return model


@torch.inference_mode()
def predict(model: nn.Module, clips: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(N,) predicted phase ids."""
    model.eval()
    parts = [model(_inputs(clips[i : i + 64])).argmax(1) for i in range(0, len(clips), 64)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.int64)


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
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--output", type=Path, default=None, help="also write the result as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = train(*make_clips(args.train, first_seed=0), epochs=args.epochs)
    clips, labels = make_clips(args.test, first_seed=10_000_000)
    guess = predict(model, clips)
    result = {
        "top1": round(100 * float((guess == labels).mean()), 2),
        "train": args.train,
        "test": args.test,
        "epochs": args.epochs,
        "confusions": confusions(labels, guess),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
