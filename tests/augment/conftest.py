"""What the tests of a user's folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.augment.own_folder import video


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    video(folder / "0" / "first.mp4")
    video(folder / "injection_washing" / "second.MP4", 80)
    (folder / "0" / "notes.txt").write_text("not a video")
    (folder / "0" / "._first.mp4").write_bytes(b"a file manager's leftover")
    return folder
