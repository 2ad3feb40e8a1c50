"""The other side of `classifier_training`: mmaction2's loading of clips, mmengine's training loop.

Both sides get the same files, network, weights and optimiser. The rest is what a user of mmaction2
has by default: hooks, logging, collation, accuracy in every step.
"""

from __future__ import annotations

import copy
import io
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.datasets.taxonomy import Task
from classifiers.networks import Classifier
from classifiers.prediction import MEAN, STD
from classifiers.recipe import Recipe
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.files import write_text
from core.progress import track
from core.runtime import limit_threads
from core.stage import ClipStage
from core.video import read_span, write_video

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmcv-lite has no compiled operators; none is used here
    from mmaction.datasets import VideoDataset, transforms
    from mmaction.models import ActionDataPreprocessor, BaseHead, Recognizer3D
    from mmaction.structures import ActionDataSample
    from mmengine.dataset import pseudo_collate
    from mmengine.hooks import Hook
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner

LIST_NAME = "videos.txt"
Transform = Callable[[dict[str, Any]], dict[str, Any]]


class TrimmedClips(ClipStage):
    """The first `num_clips` training clips of a source, each cut into an mp4 of its own.

    mmaction2 reads whole files, the suite spans of files; here both are the same. Beside the
    manifest lies `videos.txt`, a file's name and its class id a line, which `VideoDataset` reads.
    """

    clips: ClipStage
    task: Task = "phase"
    num_clips: int

    def execute(self, folder: Path) -> dict[str, Any]:
        source = self.clips.manifest().of_split("train")
        chosen = source.clips[: self.num_clips]
        cut: list[Clip] = []
        for clip in track(chosen, total=len(chosen), description="cutting clips", unit="clips"):
            name = f"{len(cut):06d}.mp4"
            frames = read_span(source.path_of(clip), start_s=clip.start_s, end_s=clip.end_s)
            write_video(folder / name, frames)
            cut.append(clip.model_copy(update={"path": name, "start_s": None, "end_s": None}))
        lines = [f"{clip.path} {clip.label(self.task)}\n" for clip in cut]
        write_text(folder / LIST_NAME, "".join(lines))
        Manifest(root=folder, clips=tuple(cut)).save(folder / MANIFEST_NAME)
        return {"clips": len(cut)}


def training_pipeline(num_frames: int, size: int, recipe: Recipe) -> list[Transform]:
    """mmaction2's transforms that do what `FrameCache` and `Batches` do: frames spread over the
    whole clip, whole frames resized to a square, a shift by at most `max_shift`, a mirror image."""
    resized = size + 2 * round(recipe.max_shift * size)
    return [
        transforms.DecordInit(),
        transforms.UniformSample(clip_len=num_frames),
        transforms.DecordDecode(),
        transforms.Resize(scale=(resized, resized), keep_ratio=False),
        transforms.RandomCrop(size=size),
        transforms.Flip(flip_ratio=0.5 if recipe.flip else 0.0),
        transforms.FormatShape(input_format="NCTHW"),
        transforms.PackActionInputs(),
    ]


def video_dataset(clips: TrimmedClips, pipeline: Sequence[Transform]) -> Any:
    """mmaction2's data set of the clips, in their order; an item is a dict of `inputs`,
    (1, 3, T, size, size) uint8, and `data_samples` with the label."""
    root = clips.manifest().root
    return VideoDataset(str(root / LIST_NAME), list(pipeline), data_prefix={"video": str(root)})


def video_loader(dataset: Any, batch_size: int, workers: int, threads: int) -> DataLoader[Any]:
    """Shuffled batches of whole size, collated as mmengine does; 0 workers: in this process."""
    return DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=pseudo_collate,
        persistent_workers=workers > 0,
        # decord does not survive a fork
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=partial(_start_worker, threads=threads),
    )


def _start_worker(_number: int, threads: int) -> None:
    limit_threads(threads)
    sys.stdout = sys.stderr  # mmengine prints warnings; standard output is for the report


def packed(frames: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, Any]:
    """A batch of `Batches`, (B, T, size, size, 3) uint8 and (B,), in the form and the memory layout
    that `video_loader` yields: B tensors (1, 3, T, size, size) uint8 and B samples."""
    return {
        "inputs": [torch.from_numpy(clip).permute(3, 0, 1, 2)[None] for clip in frames],
        "data_samples": [ActionDataSample().set_gt_labels(int(label)) for label in labels],
    }


class _Head(BaseHead):
    """Features (B, D) -> Dropout -> Linear -> logits (B, num_classes)."""

    def __init__(self, dropout: nn.Dropout, linear: nn.Linear, label_smoothing: float) -> None:
        super().__init__(linear.out_features, linear.in_features, label_smooth_eps=label_smoothing)
        self.dropout, self.linear = dropout, linear

    def forward(self, features: Tensor, **_: Any) -> Tensor:
        return cast(Tensor, self.linear(self.dropout(features)))


def recognizer(classifier: Classifier, label_smoothing: float = 0.0) -> Any:
    """A copy of `classifier` as a `Recognizer3D`: same modules, weights and memory layouts; it
    normalises uint8 clips itself."""
    backbone = copy.deepcopy(classifier)
    head = _Head(backbone.dropout, backbone.head, label_smoothing)
    backbone.dropout = backbone.head = nn.Identity()  # type: ignore[assignment]
    return Recognizer3D(
        # It builds its parts from mappings only; a function may stand for the class.
        backbone={"type": lambda: backbone},
        cls_head={"type": lambda: head},
        data_preprocessor=ActionDataPreprocessor(
            mean=[255 * MEAN] * 3, std=[255 * STD] * 3, format_shape="NCTHW"
        ),
    )


class _Stopwatch(Hook):
    """Notes the time when the steps with the given numbers end, all other hooks included."""

    priority = "LOWEST"

    def __init__(self, steps: tuple[int, int], now: Callable[[], float]) -> None:
        self.steps, self.now = steps, now
        self.times: list[float] = []

    def after_train_iter(self, _runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        if batch_idx + 1 in self.steps:
            self.times.append(self.now())


def seconds_per_step(
    classifier: Classifier,
    recipe: Recipe,
    batch: dict[str, Any],
    steps: int,
    now: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds that a step of mmengine's `Runner` takes on `batch`, after one that does not count.

    The loop, hooks and logging are those of mmaction2's own recipes; what they write is removed
    again and what they print is not shown. `now` is a clock that waits for the device.
    """
    model = recognizer(classifier, recipe.label_smoothing)
    clip = None if recipe.grad_clip is None else {"max_norm": recipe.grad_clip}
    watch = _Stopwatch((1, 1 + steps), now)
    data: DataLoader[Any] = DataLoader([batch] * (1 + steps), collate_fn=_only_item)  # type: ignore[arg-type]
    settings = {  # what it would otherwise change for the whole process
        "mp_start_method": multiprocessing.get_start_method(),
        "opencv_num_threads": cv2.getNumThreads(),
    }
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        Runner(
            model,
            folder,
            train_dataloader=data,
            train_cfg={"by_epoch": True, "max_epochs": 1},
            optim_wrapper=OptimWrapper(recipe.build_optimiser(model), clip_grad=clip),
            param_scheduler={"type": "CosineAnnealingLR", "by_epoch": False, "T_max": 1 + steps},
            custom_hooks=[watch],
            env_cfg={"mp_cfg": settings, "dist_cfg": {"backend": "nccl"}},
            default_scope="mmaction",
            experiment_name=Path(folder).name,
        ).train()
    start, end = watch.times
    return (end - start) / steps


def _only_item(items: list[dict[str, Any]]) -> dict[str, Any]:
    return items[0]  # a batch already
