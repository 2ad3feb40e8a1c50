"""What the tests of data sets share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.datasets.ophnet_folder import ROWS, place_videos, write_csv


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_csv(folder, ROWS)
    place_videos(folder / "videos", "case_a", "case_b", "case_c")
    return folder
