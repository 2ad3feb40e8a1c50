"""Cells are complete, survive their file, and no bad one gets through."""

import json
from pathlib import Path

import pydantic
import pytest

from benchmarks.scoring.evaluation import Cell, evaluate, read_cell, save_cell
from core.errors import UserError
from tests.benchmarks.scores import PROVENANCE, TRAINING, arm_of, make_cell, write_predictions


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
    assert [read_cell(tmp_path / path) for path in paths] == cells


def test_a_bad_cell_is_refused(tmp_path: Path) -> None:
    good = make_cell(tmp_path).model_dump()

    def refused(message: str, **changes: object) -> None:
        with pytest.raises(pydantic.ValidationError, match=message):
            Cell.model_validate(good | changes)

    refused("did you mean 'SlowFast'", classifier="Slowfast")
    refused("arm.id", arm=good["arm"] | {"id": "No File"})
    refused("val and test", splits={"test": good["splits"]["test"]})
    refused("extra", colour="red")
    test = good["splits"]["test"]
    refused("do not give", splits=good["splits"] | {"test": test | {"top1": test["top1"] + 1}})
    refused("finite", splits=good["splits"] | {"test": test | {"macro_f1": float("nan")}})
    other = test | {"balanced_accuracy": test["balanced_accuracy"] + 1}
    refused("recalls do not give", splits=good["splits"] | {"test": other})
    path = save_cell(tmp_path, Cell.model_validate(good))
    path.write_text(path.read_text().replace('"SlowFast"', '"SlowSlow"'))
    with pytest.raises(UserError, match=r"seed0\.json.*unknown classifier"):
        read_cell(path)


def test_a_cell_of_before_a_score_was_added_is_to_be_made_again(tmp_path: Path) -> None:
    path = save_cell(tmp_path, make_cell(tmp_path / "p"))
    stored = json.loads(path.read_text())
    del stored["splits"]["val"]["calibration_error"]
    path.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"splits\.val\.calibration_error.*make it again"):
        read_cell(path)


def test_groups_come_from_the_real_training_clips(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, task="operation")
    scores = cell.splits["test"]
    assert list(scores.recall_by_group) == ["head", "medium", "tail"]
    assert scores.hierarchical_consistency is not None
    assert scores.hierarchical_consistency > scores.top1
    assert make_cell(tmp_path).splits["test"].hierarchical_consistency is None
    (folder,) = tmp_path.glob("*operation*")
    (folder / "labels_train.npy").unlink()
    with pytest.raises(UserError, match=r"labels_train\.npy: no such file: run the classifier's"):
        evaluate(
            folder,
            task="operation",
            classifier="SlowFast",
            arm=arm_of("Source"),
            seed=0,
            training=TRAINING,
            provenance=PROVENANCE,
        )


def test_the_training_stage_s_result_is_accepted_as_it_is(tmp_path: Path) -> None:
    write_predictions(tmp_path, accuracy=0.4, seed=0)
    cell = evaluate(
        tmp_path,
        task="phase",
        classifier="SlowFast",
        arm=arm_of("Source + mine"),
        seed=0,
        training=TRAINING | {"unreadable": 3, "diverged": True},
        provenance=PROVENANCE,
    )
    assert cell.training.unreadable == 3 and cell.training.diverged
    assert cell.path.parts[3] == "mine"
