"""Text that a generator has learnt to draw and that nobody can read: bars, smears, badges.

A generator that is too weak for letters still draws something where its training clips have
subtitles, logos and clocks, and text recognition does not see it. Here a small network looks:

corpus, with text and without (the privacy filter says which) -> MarksTraining
    -> limit that 1% of held-out clips without text reach -> MarkedClips: what is above it
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from classifiers.prediction import normalise
from core.batch import Batch
from core.clip import Split
from core.errors import UserError
from core.files import atomic_path
from core.fitting import fit
from core.frame_cache import FrameCache, FrameTable
from core.optimisation import Optimisation
from core.progress import track
from core.runtime import seed_everything
from core.stage import ClipStage, Stage
from core.video import Frames

WEIGHTS_NAME = "model.safetensors"
# Standard deviations of Gaussian blurs, as shares of a frame's height: from next to none to what
# nano generators draw (looked at). Source: our choice.
SHARPEST, SOFTEST = 0.005, 0.03
TRIED = (0.0, 0.015, SOFTEST)  # blurs at which the limit is set and the sensitivity measured
FALSE_ALARMS = 0.01  # share of clips without text that may be called marked. Source: our choice
CHANNELS = (16, 32, 64, 128)
Scores = NDArray[np.float64]
OPTIMISATION = Optimisation(steps=600, batch_size=32, lr=2e-3, warmup_steps=50, weight_decay=0.05)


def network() -> nn.Module:
    """(B, 3, H, W) float32, normalised -> (B, 1) logits: a ResNet with one block a stage."""
    model: nn.Module = timm.create_model(
        "resnet18", pretrained=False, num_classes=1, layers=(1, 1, 1, 1), channels=CHANNELS
    )
    return model


def blurred(frame: Frames, blur: float) -> Frames:
    """(H, W, 3) uint8 under a Gaussian blur of `blur` frame heights; 0 leaves it as it is."""
    if not blur:
        return frame
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), blur * len(frame)), np.uint8)


def score(model: nn.Module, table: FrameTable, rows: Sequence[int], blur: float) -> Scores:
    """The mean logit of a clip's frames, blurred, for the clips at these rows: (N,) float64."""
    device = next(model.parameters()).device
    model.eval()
    found = []
    with torch.inference_mode():
        for row in track(rows, total=len(rows), description="marks of text", unit="clips"):
            frames = np.stack([blurred(frame, blur) for frame in table.frames[row]])
            found.append(float(model(images(frames, device)).mean()))
    return np.array(found)


def images(frames: Frames, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, normalised."""
    return normalise(torch.from_numpy(frames[:, np.newaxis]).to(device)).squeeze(2)


def _augmented(frames: NDArray[np.uint8], rows: list[int], batch: Batch) -> Frames:
    """(B, H, W, 3) uint8: of each clip a frame, blurred, half of them mirrored, lit otherwise."""
    drawn = {name: batch.uniform(name).tolist() for name in ("frame", "blur", "mirror", "light")}
    found = []
    for place, row in enumerate(rows):
        frame = frames[row, int(drawn["frame"][place] * frames.shape[1])]
        frame = blurred(frame, SHARPEST + drawn["blur"][place] * (SOFTEST - SHARPEST))
        if drawn["mirror"][place] < 0.5:
            frame = frame[:, ::-1]
        found.append(cv2.convertScaleAbs(frame, alpha=0.8 + 0.4 * drawn["light"][place]))
    return np.stack(found)


def _above(scores: Scores, limit: float) -> float | None:
    return round(100 * float((scores > limit).mean()), 2) if len(scores) else None


class MarksTraining(Stage):
    """Train a network on frames, blurred as generators blur, to tell clips with text from others.

    frames: of the corpus; clean: its clips without text; held_out, held_out_split: clips without
    text of videos that the corpus does not hold, None for all of them. The result holds the limit
    and, by blur, what share of the corpus' val clips with text is above it (`found`, percent; None
    where there are none) and of the held-out ones without (`false_alarms`).
    Raises: UserError: if the corpus has no clip of one of the two kinds, or none is held out.
    """

    frames: FrameCache
    clean: ClipStage
    held_out: FrameCache
    held_out_split: Split | None = None
    optimisation: Optimisation = OPTIMISATION

    def cost(self) -> str:
        """Steps and samples a step."""
        return f"{self.optimisation.steps:,} steps x {self.optimisation.batch_size}"

    def execute(self, folder: Path) -> dict[str, Any]:
        table, without = self.frames.table(), {clip.clip_id for clip in self.clean.manifest().clips}
        clips = [c for c in self.frames.clips.manifest().clips if c.clip_id in table.rows]
        train = [clip for clip in clips if clip.split != "val"]
        marked = np.array([clip.clip_id not in without for clip in train])
        if len(set(marked.tolist())) < 2:
            raise UserError("marks: the corpus needs clips with text and clips without")
        seed_everything(self.optimisation.seed)
        model = network()
        rows = [table.rows[clip.clip_id] for clip in train]
        result = self._fit(model, table.frames, rows, marked, folder)
        with atomic_path(folder / WEIGHTS_NAME) as temporary:
            save_file(model.state_dict(), temporary)
        texts = [clip.clip_id for clip in clips if clip.split == "val"]
        texts = [clip_id for clip_id in texts if clip_id not in without]
        return {
            **result,
            "train_clips": len(train),
            "with_text": int(marked.sum()),
            **self._limit(model, table, [table.rows[clip_id] for clip_id in texts]),
        }

    def _limit(self, model: nn.Module, table: FrameTable, texts: list[int]) -> dict[str, Any]:
        clean = self.held_out.table()
        held_out = self.held_out.clips.manifest().clips
        rows = [
            clean.rows[clip.clip_id]
            for clip in held_out
            if self.held_out_split in (None, clip.split) and clip.clip_id in clean.rows
        ]
        if not rows:
            raise UserError("marks: no clip without text is held out to set the limit by")
        of_clean = {str(blur): score(model, clean, rows, blur) for blur in TRIED}
        of_texts = {str(blur): score(model, table, texts, blur) for blur in TRIED}
        limit = max(float(np.quantile(each, 1 - FALSE_ALARMS)) for each in of_clean.values())
        return {
            "limit": limit,
            "held_out": len(rows),
            "val_with_text": len(texts),
            "false_alarms": {blur: _above(each, limit) for blur, each in of_clean.items()},
            "found": {blur: _above(each, limit) for blur, each in of_texts.items()},
        }

    def _fit(
        self,
        model: nn.Module,
        frames: NDArray[np.uint8],
        rows: list[int],
        marked: NDArray[np.bool_],
        folder: Path,
    ) -> dict[str, Any]:
        device = self.runtime.torch_device()
        labels = torch.tensor(marked, dtype=torch.float32, device=device)
        weight = (1 - labels).sum() / labels.sum()  # both kinds count alike

        def loss(batch: Batch) -> Tensor:
            chosen = [rows[index] for index in batch.index]
            logits = model(images(_augmented(frames, chosen, batch), device))[:, 0]
            targets = labels[batch.index]
            return nn.functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=weight
            )

        return fit(
            model,
            loss,
            len(rows),
            self.optimisation,
            folder,
            description="training the detector of marks",
            device=device,
        )


class MarkedClips(Stage):
    """The clips that a detector calls marked, of those that can be read.

    The result: `clips`, ids `marked`, `percent`.  Raises: UserError: if none can be read.
    """

    detector: MarksTraining
    frames: FrameCache

    def execute(self, folder: Path) -> dict[str, Any]:
        limit = self.detector.run()["limit"]
        model = network()
        model.load_state_dict(load_file(self.detector.folder / WEIGHTS_NAME))
        table = self.frames.table()
        if not table.rows:
            raise UserError("audit: no clip can be read")
        model = model.to(self.runtime.torch_device())
        scores = score(model, table, list(table.rows.values()), 0.0)
        marked = sorted(np.array(list(table.rows))[scores > limit].tolist())
        percent = round(100 * len(marked) / len(scores), 2)
        return {"clips": len(scores), "marked": marked, "percent": percent}
