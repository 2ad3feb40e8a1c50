"""Scores equal scikit-learn's, and no bad cell gets through."""

from pathlib import Path

import numpy as np
import pydantic
import pytest
from sklearn.metrics import top_k_accuracy_score

from benchmarks.evaluation import (
    Cell,
    Predictions,
    evaluate,
    load_cells,
    save_cell,
    split_scores,
)
from core.errors import UserError
from tests.benchmarks.scores import PROVENANCE, TRAINING, make_cell, write_predictions


def predictions(logits: list[list[float]], labels: list[int]) -> Predictions:
    ids = tuple(f"c{i}" for i in range(len(labels)))
    videos = tuple(f"v{i // 2}" for i in range(len(labels)))
    return Predictions(np.array(logits, np.float32), np.array(labels), ids, videos)


def test_scores_equal_scikit_learn_on_the_whole_split(tmp_path: Path) -> None:
    write_predictions(tmp_path, accuracy=0.3, seed=1)
    found = Predictions.load(tmp_path, "test")
    scores = split_scores(found)
    for k, ours in ((1, scores.top1), (5, scores.top5)):
        theirs = top_k_accuracy_score(found.labels, found.logits, k=k, labels=range(52))
        assert ours == round(100 * theirs, 2)
    assert scores.clips == 300 and len(scores.cases) == 30
    assert 20 < scores.top1 < 45 and scores.top1 < scores.top5


def test_scores_of_a_hand_made_split() -> None:
    """Four clips, six classes, two cases: right, second, last, right; the label 5 is never met."""
    rows = [[9, 1, 2, 3, 4, 5], [9, 8, 3, 4, 5, 6], [1, 2, 3, 4, 5, 0], [5, 4, 9, 3, 2, 1]]
    scores = split_scores(predictions([[float(x) for x in row] for row in rows], [0, 1, 5, 2]))
    assert (scores.top1, scores.top5) == (50.0, 75.0)
    assert scores.balanced_accuracy == 50.0  # recalls 1, 0, 1, 0
    # F1 of classes 0, 1, 2, 5: 2/3 (precision 1/2), 0, 1, 0
    assert scores.macro_f1 == round(100 * (2 / 3 + 0 + 1 + 0) / 4, 2)
    assert [(c.clips, c.top1_hits, c.top5_hits) for c in scores.cases] == [(2, 1, 2), (2, 1, 1)]


def test_logits_of_a_diverged_training_count_as_wrong() -> None:
    good = [0.0, 9.0, 0.0, 0.0, 0.0, 0.0]
    scores = split_scores(predictions([good, [float("nan")] * 6, [float("inf")] * 6], [1, 1, 5]))
    assert scores.top1 == scores.top5 == 33.33


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
        split_scores(predictions(logits, labels))


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


def test_cells_are_written_where_the_contract_says_and_read_back(tmp_path: Path) -> None:
    cells = [
        make_cell(tmp_path / "p", "Source"),
        make_cell(tmp_path / "p", "Source + Ophora", classifier="MViTv2", seed=2, task="operation"),
        make_cell(tmp_path / "p", "Source + Ophora", schedule="matched_steps"),
    ]
    paths = [save_cell(tmp_path, cell).relative_to(tmp_path).as_posix() for cell in cells]
    assert paths == [
        "cells/phase/slowfast/source/seed0.json",
        "cells/operation/mvit_v2/ophora/seed2.json",
        "cells/phase/slowfast/ophora-matched_steps/seed0.json",
    ]
    found = {cell.path.as_posix(): cell for cell in load_cells(tmp_path)}
    assert [found[path] for path in paths] == cells


def test_a_bad_cell_is_refused(tmp_path: Path) -> None:
    good = make_cell(tmp_path).model_dump()

    def refused(message: str, **changes: object) -> None:
        with pytest.raises(pydantic.ValidationError, match=message):
            Cell.model_validate(good | changes)

    refused("did you mean 'SlowFast'", classifier="Slowfast")
    refused("no 'Source", training_data="Ophora")
    refused("val and test", splits={"test": good["splits"]["test"]})
    refused("extra", colour="red")
    test = good["splits"]["test"]
    refused("do not give", splits=good["splits"] | {"test": test | {"top1": test["top1"] + 1}})
    refused("finite", splits=good["splits"] | {"test": test | {"macro_f1": float("nan")}})
    path = save_cell(tmp_path, Cell.model_validate(good))
    path.write_text(path.read_text().replace('"SlowFast"', '"SlowSlow"'))
    with pytest.raises(UserError, match=r"seed0\.json.*unknown classifier"):
        load_cells(tmp_path)


def test_the_training_stage_s_result_is_accepted_as_it_is(tmp_path: Path) -> None:
    write_predictions(tmp_path, accuracy=0.4, seed=0)
    cell = evaluate(
        tmp_path,
        task="phase",
        classifier="SlowFast",
        training_data="Source + mine",
        seed=0,
        training=TRAINING | {"unreadable": 3, "diverged": True},
        provenance=PROVENANCE,
    )
    assert cell.training.unreadable == 3 and cell.training.diverged
    assert cell.path.parts[3] == "mine"
