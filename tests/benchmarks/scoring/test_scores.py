"""Scores equal scikit-learn's, another library's or a count by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from benchmarks.datasets.taxonomy import OPERATION_COUNTS, PHASE_COUNTS, PHASE_OF_OPERATION
from benchmarks.scoring.scores import (
    Predictions,
    calibration_error,
    frequency_groups,
    hierarchical_consistency,
    recall_by_group,
    split_scores,
)
from core.errors import UserError
from tests.benchmarks.scores import write_predictions

TRAIN = np.repeat(np.arange(6), [9, 8, 5, 4, 2, 1])  # head 0 1, medium 2 3, tail 4 5


def predictions(logits: list[list[float]], labels: list[int]) -> Predictions:
    ids = tuple(f"c{i}" for i in range(len(labels)))
    videos = tuple(f"v{i // 2}" for i in range(len(labels)))
    return Predictions(np.array(logits, np.float32), np.array(labels), ids, videos)


def test_scores_equal_scikit_learn_on_the_whole_split(tmp_path: Path) -> None:
    write_predictions(tmp_path, accuracy=0.3, seed=1)
    found = Predictions.load(tmp_path, "test")
    scores = split_scores(found, found.labels)
    for k, ours in ((1, scores.top1), (5, scores.top5)):
        theirs = top_k_accuracy_score(found.labels, found.logits, k=k, labels=range(52))
        assert ours == round(100 * theirs, 2)
    assert scores.clips == 300 and len(scores.cases) == 30
    assert 20 < scores.top1 < 45 and scores.top1 < scores.top5
    matrix = confusion_matrix(found.labels, found.logits.argmax(1), labels=range(52))
    assert scores.recall_by_class == {
        c: round(100 * row[c] / row.sum(), 2) for c, row in enumerate(matrix) if row.sum()
    }


def test_scores_of_a_hand_made_split() -> None:
    """Four clips, six classes, two cases: right, second, last, right; the label 5 is never met."""
    rows = [[9, 1, 2, 3, 4, 5], [9, 8, 3, 4, 5, 6], [1, 2, 3, 4, 5, 0], [5, 4, 9, 3, 2, 1]]
    found = predictions([[float(x) for x in row] for row in rows], [0, 1, 5, 2])
    scores = split_scores(found, TRAIN, parents=[0, 0, 1, 1, 2, 2])
    assert (scores.top1, scores.top5) == (50.0, 75.0)
    assert scores.balanced_accuracy == 50.0  # recalls 1, 0, 1, 0
    assert scores.recall_by_class == {0: 100.0, 1: 0.0, 2: 100.0, 5: 0.0}
    assert scores.recall_by_group == {"head": 50.0, "medium": 100.0, "tail": 0.0}
    assert scores.hierarchical_consistency == 100.0  # 0 for 1, 4 for 5: wrong, of the same parent
    # F1 of classes 0, 1, 2, 5: 2/3 (precision 1/2), 0, 1, 0
    assert scores.macro_f1 == round(100 * (2 / 3 + 0 + 1 + 0) / 4, 2)
    assert [(c.clips, c.top1_hits, c.top5_hits) for c in scores.cases] == [(2, 1, 2), (2, 1, 1)]


def test_logits_of_a_diverged_training_count_as_wrong() -> None:
    good = [0.0, 9.0, 0.0, 0.0, 0.0, 0.0]
    found = predictions([good, [float("nan")] * 6, [float("inf")] * 6], [1, 1, 5])
    scores = split_scores(found, TRAIN, parents=[0] * 6)
    assert scores.top1 == scores.top5 == 33.33
    assert scores.recall_by_class == {1: 50.0, 5: 0.0}
    assert scores.hierarchical_consistency == 33.33  # though every class has the same parent
    # Sure and right once, wrong twice with the confidence of a guess among five and a bit.
    guess = 1 / (5 + np.exp(-1))
    sure = np.exp(9) / (np.exp(9) + 5)
    assert scores.calibration_error == pytest.approx(100 * (1 - sure + 2 * guess) / 3, abs=0.005)


def test_groups_are_thirds_of_the_classes_by_training_clips() -> None:
    groups = frequency_groups(np.random.default_rng(0).permutation(TRAIN))
    assert groups == dict(zip(range(6), ["head"] * 2 + ["medium"] * 2 + ["tail"] * 2, strict=True))
    tied = frequency_groups(np.array([3, 3, 1, 1, 7, 7, 5, 5]))  # by class id; the head is larger
    assert tied == {1: "head", 3: "head", 5: "medium", 7: "tail"}
    for counts, sizes in ((PHASE_COUNTS, (18, 17, 17)), (OPERATION_COUNTS, (36, 36, 35))):
        train = np.asarray(counts["train"])
        found = frequency_groups(np.repeat(np.arange(len(train)), train))
        members = [
            [c for c, g in found.items() if g == name] for name in ("head", "medium", "tail")
        ]
        assert tuple(map(len, members)) == sizes
        head, medium, tail = (train[group] for group in members)
        assert head.min() >= medium.max() and medium.min() >= tail.max()


def test_group_recall_is_the_mean_of_its_classes_and_unseen_classes_are_tail() -> None:
    recalls = {0: 0.5, 1: 1.0, 5: 0.25, 9: 0.75}  # no clip of the medium classes; 9 never trained
    assert recall_by_group(recalls, TRAIN) == {"head": 75.0, "tail": 50.0}


def test_consistency_counts_guesses_of_the_right_phase() -> None:
    """Operations of OphNet, by a loop over clips; Others has no phase and leaves the count."""
    rng = np.random.default_rng(3)
    labels, guesses = rng.integers(0, 107, 4000), rng.integers(-1, 107, 4000)
    guesses[:1000] = labels[:1000]
    counted = [
        g >= 0 and PHASE_OF_OPERATION[g] == PHASE_OF_OPERATION[t]
        for t, g in zip(labels.tolist(), guesses.tolist(), strict=True)
        if t != 106
    ]
    expected = round(100 * sum(counted) / len(counted), 2)
    assert hierarchical_consistency(labels, guesses, PHASE_OF_OPERATION) == expected
    assert 25 < expected < 40  # the quarter that is right and some of the right phase
    others = np.array([106, 106])
    assert hierarchical_consistency(others, others, PHASE_OF_OPERATION) is None
    assert hierarchical_consistency(others, others, None) is None


def test_calibration_error_equals_torchmetrics() -> None:
    rng = np.random.default_rng(5)
    for sharpness in (0.5, 2.0, 6.0):
        logits = sharpness * rng.normal(size=(3000, 20))
        labels = np.where(rng.random(3000) < 0.5, logits.argmax(1), rng.integers(0, 20, 3000))
        probabilities = torch.softmax(torch.tensor(logits), dim=1)
        theirs = multiclass_calibration_error(
            probabilities, torch.tensor(labels), num_classes=20, n_bins=15, norm="l1"
        )
        assert calibration_error(logits, labels) == pytest.approx(100 * float(theirs), abs=0.006)


def test_calibration_means_that_confidence_is_the_share_that_is_right() -> None:
    rng = np.random.default_rng(6)
    logits = 3 * rng.normal(size=(20000, 10))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((20000, 1)) > chances.cumsum(1)).sum(1).clip(max=9)
    assert calibration_error(logits, labels) < 1.5
    assert calibration_error(4 * logits, labels) > 10  # over-confident
    assert calibration_error(logits / 4, labels) > 10  # under-confident


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([[0.0] * 6], [6], "label 6 is outside"),
        ([[0.0] * 6], [-1], "label -1 is outside"),
        ([[0.0] * 5], [1], "at least 6 classes"),
    ],
)
def test_bad_predictions_are_refused(
    logits: list[list[float]], labels: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        split_scores(predictions(logits, labels), TRAIN)


def test_predictions_that_disagree_or_are_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Predictions.load(tmp_path, "val")
    write_predictions(tmp_path, accuracy=0.5, seed=0)
    np.save(tmp_path / "labels_val.npy", np.zeros(7, int))
    with pytest.raises(UserError, match="300 logits, 7 labels, 300 clips"):
        Predictions.load(tmp_path, "val")
    (tmp_path / "labels_val.npy").unlink()
    with pytest.raises(UserError, match="run the classifier's training"):
        Predictions.load(tmp_path, "val")
