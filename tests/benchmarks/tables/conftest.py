"""What the tests of tables share: cells of four arms and both classifiers."""

from __future__ import annotations

import pytest

from benchmarks.scoring.evaluation import Cell
from tests.benchmarks.scores import make_cell

ARMS = {"Source": 0.40, "Source + Bora": 0.42, "Source + Ophora": 0.60, "Source + mine": 0.41}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    folder = tmp_path_factory.mktemp("predictions")
    return [
        make_cell(folder, arm, accuracy=accuracy, classifier=classifier)
        for arm, accuracy in ARMS.items()
        for classifier in ("SlowFast", "MViTv2")
    ]
