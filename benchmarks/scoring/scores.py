"""Scores of a classifier on one split, from its logits.

logits, labels -> hits per case, recalls, F1, consistency, calibration -> SplitScores
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import pydantic
import scipy.special
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score, top_k_accuracy_score

from core.clip import Split
from core.errors import UserError
from core.files import read_json

Scored = Literal["val", "test", "external"]
Group = Literal["head", "medium", "tail"]
GROUPS: tuple[Group, ...] = get_args(Group)
CALIBRATION_BINS = 15
Percent = Annotated[float, pydantic.Field(ge=0, le=100, allow_inf_nan=False)]


@dataclass(frozen=True)
class Predictions:
    """A classifier's output on one split.

    logits: (N, C) float; labels: (N,) int in [0, C); clip_ids, video_ids: N strings each.
    """

    logits: NDArray[np.floating]
    labels: NDArray[np.integer]
    clip_ids: tuple[str, ...]
    video_ids: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path | str, split: Split | Scored) -> Predictions:
        """Read `logits_<split>.npy`, `labels_<split>.npy` and `clips_<split>.json`.

        Raises: UserError: if a file is missing or the three disagree about the clips.
        """
        folder = Path(folder)
        clips = read_json(folder / f"clips_{split}.json")
        arrays = []
        for name in (f"logits_{split}.npy", f"labels_{split}.npy"):
            if not (folder / name).is_file():
                raise UserError(f"{folder / name}: no such file: run the classifier's training")
            arrays.append(np.load(folder / name))
        logits, labels = arrays
        if not len(logits) == len(labels) == len(clips):
            sizes = f"{len(logits)} logits, {len(labels)} labels, {len(clips)} clips"
            raise UserError(f"{folder}: predictions on {split} disagree: {sizes}")
        return cls(
            logits=logits,
            labels=labels,
            clip_ids=tuple(clip["clip_id"] for clip in clips),
            video_ids=tuple(clip["video_id"] for clip in clips),
        )


class CaseScore(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Clips of one case (video) in a split, and how many of them were right."""

    video_id: str = pydantic.Field(min_length=1)
    clips: int = pydantic.Field(ge=1)
    top1_hits: int = pydantic.Field(ge=0)
    top5_hits: int = pydantic.Field(ge=0)

    @pydantic.model_validator(mode="after")
    def _hits_are_ordered(self) -> CaseScore:
        if not self.top1_hits <= self.top5_hits <= self.clips:
            raise ValueError(f"case {self.video_id!r}: expected top-1 <= top-5 hits <= clips")
        return self


class SplitScores(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Scores on one split, percent with two decimals. `cases` are sorted by video id.

    recall_by_class holds the classes that the split has, recall_by_group the groups of
    `frequency_groups` that it has classes of. hierarchical_consistency is None where classes have
    no parent (the phase task).
    """

    clips: int = pydantic.Field(ge=1)
    top1: Percent
    top5: Percent
    macro_f1: Percent
    balanced_accuracy: Percent
    recall_by_class: dict[int, Percent] = pydantic.Field(min_length=1)
    recall_by_group: dict[Group, Percent] = pydantic.Field(min_length=1)
    hierarchical_consistency: Percent | None
    calibration_error: Percent
    cases: tuple[CaseScore, ...] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _cases_add_up(self) -> SplitScores:
        if sum(case.clips for case in self.cases) != self.clips:
            raise ValueError(f"the cases' clips do not add up to {self.clips}")
        if len({case.video_id for case in self.cases}) != len(self.cases):
            raise ValueError("a video_id appears twice among the cases")
        for name in ("top1", "top5"):
            hits = sum(getattr(case, f"{name}_hits") for case in self.cases)
            if percent(hits / self.clips) != getattr(self, name):
                raise ValueError(f"the cases' {name} hits do not give {getattr(self, name)}%")
        return self

    @pydantic.model_validator(mode="after")
    def _recalls_give_the_balanced_accuracy(self) -> SplitScores:
        mean = sum(self.recall_by_class.values()) / len(self.recall_by_class)
        if abs(mean - self.balanced_accuracy) > 0.011:  # both are rounded to 0.01
            raise ValueError(f"the recalls do not give {self.balanced_accuracy}% on average")
        return self


def percent(fraction: float) -> float:
    """A fraction as percent with two decimals."""
    return round(100.0 * float(fraction), 2)


def split_scores(
    predictions: Predictions,
    train_labels: NDArray[np.integer],
    parents: Sequence[int | None] | None = None,
    *,
    few_classes: bool = False,
) -> SplitScores:
    """Score one split, with scikit-learn where it has the score.

    A clip whose logits are not finite (a diverged training) counts as wrong. Macro-F1 and recalls
    average over the classes that the split holds.
    Args: train_labels: of the real training clips, for the groups; parents: as in
    `hierarchical_consistency`; few_classes: whether a head of two to five classes is meant, whose
    top-5 says nothing.
    Raises: UserError: if there is no clip, a label lies outside the head or the head has under 6.
    """
    logits, labels = _rankable(predictions, 2 if few_classes else 6)
    finite = np.isfinite(predictions.logits).all(axis=1)
    guesses, present = logits.argmax(axis=1), np.unique(labels)
    cases = _case_scores(np.asarray(predictions.video_ids), labels, logits, finite)
    with warnings.catch_warnings():
        # Classes that are guessed but absent from the split are left out on purpose.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        balanced = balanced_accuracy_score(labels, guesses)
    recalls = recall_score(labels, guesses, labels=present, average=None, zero_division=0)
    by_class = {int(c): float(recall) for c, recall in zip(present, recalls, strict=True)}
    return SplitScores(
        clips=len(labels),
        top1=percent(sum(case.top1_hits for case in cases) / len(labels)),
        top5=percent(sum(case.top5_hits for case in cases) / len(labels)),
        macro_f1=percent(
            f1_score(labels, guesses, labels=present, average="macro", zero_division=0)
        ),
        balanced_accuracy=percent(balanced),
        recall_by_class={c: percent(recall) for c, recall in by_class.items()},
        recall_by_group=recall_by_group(by_class, train_labels),
        hierarchical_consistency=hierarchical_consistency(
            labels, np.where(finite, guesses, -1), parents
        ),
        calibration_error=calibration_error(logits, labels),
        cases=cases,
    )


def frequency_groups(train_labels: NDArray[np.integer]) -> dict[int, Group]:
    """Thirds of the trained classes, by their number of real training clips; equals by class id.

    Sizes differ by at most one, the larger groups first: 18, 17 and 17 of 52 phases.
    Source: our choice. The usual limits of 100 and 20 training samples (Liu et al. 2019,
    arXiv 1904.05160) give 22, 18 and 12 phases on OphNet2024 but move with the size of the data;
    thirds hold nearly the same classes at every scale, since OphSim keeps OphNet's frequencies.
    """
    classes, counts = np.unique(train_labels, return_counts=True)
    order = classes[np.argsort(-counts, kind="stable")]
    thirds = np.array_split(order, len(GROUPS))
    return {int(c): group for group, third in zip(GROUPS, thirds, strict=True) for c in third}


def recall_by_group(
    by_class: dict[int, float], train_labels: NDArray[np.integer]
) -> dict[Group, float]:
    """Percent: mean recall of each group's classes. A class without a training clip is tail.

    Args: by_class: recall of each class of the split, 0 to 1.
    """
    groups = frequency_groups(train_labels)
    members: dict[Group, list[float]] = {group: [] for group in GROUPS}
    for class_id, recall in by_class.items():
        members[groups.get(class_id, "tail")].append(recall)
    return {group: percent(float(np.mean(found))) for group, found in members.items() if found}


def hierarchical_consistency(
    labels: NDArray[np.integer],
    guesses: NDArray[np.integer],
    parents: Sequence[int | None] | None,
) -> float | None:
    """Percent of clips whose guess has the parent of their label: an operation of the right phase.

    Args: guesses: -1 for none; parents: the parent of each class, None for a class without one.
    Clips of a class without a parent do not count, and a guess of one is inconsistent.
    Returns: None without `parents`, or if no clip counts.
    """
    if parents is None:
        return None
    # Neither a missing guess (the last entry) nor a class without parent equals any label's parent.
    parent = np.array([-1 if p is None else p for p in parents] + [-1])
    counted = parent[labels] >= 0
    if not counted.any():
        return None
    return percent((parent[guesses] == parent[labels])[counted].mean())


def calibration_error(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """Percent: the expected calibration error of the largest softmax value, (0, 1] in 15 bins.

    The gap between accuracy and mean confidence of each bin, averaged with the bins' sizes.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599).
    """
    confidence = scipy.special.softmax(logits, axis=1).max(axis=1)
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(np.int64)  # 1 to 15, upper edge included
    gaps = np.bincount(bins, weights=(logits.argmax(axis=1) == labels) - confidence)
    return percent(np.abs(gaps).sum() / len(labels))


def _rankable(
    predictions: Predictions, least: int
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    logits, labels = np.array(predictions.logits, np.float64), predictions.labels
    if logits.ndim != 2 or not len(logits) or logits.shape[1] < least:
        shape = f"clips x at least {least} classes"
        raise UserError(f"logits have shape {logits.shape}: expected {shape}")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        bad = labels.max() if labels.min() >= 0 else labels.min()
        raise UserError(f"label {bad} is outside the head's 0..{logits.shape[1] - 1}")
    broken = ~np.isfinite(logits).all(axis=1)
    logits[broken] = 0.0
    logits[broken, labels[broken]] = -1.0
    return logits, labels


def _case_scores(
    videos: NDArray[np.str_],
    labels: NDArray[np.integer],
    logits: NDArray[np.float64],
    finite: NDArray[np.bool_],
) -> tuple[CaseScore, ...]:
    classes = np.arange(logits.shape[1])

    def hits(mine: NDArray[np.bool_], k: int) -> int:
        if k >= len(classes):
            return int(finite[mine].sum())
        if len(classes) == 2:  # scikit-learn wants one number a clip then
            return int((logits[mine].argmax(axis=1) == labels[mine]).sum())
        return int(
            top_k_accuracy_score(labels[mine], logits[mine], k=k, labels=classes, normalize=False)
        )

    found: Iterable[NDArray[np.bool_]] = (videos == name for name in np.unique(videos))
    return tuple(
        CaseScore(
            video_id=str(videos[mine][0]),
            clips=int(mine.sum()),
            top1_hits=hits(mine, 1),
            top5_hits=hits(mine, 5),
        )
        for mine in found
    )
