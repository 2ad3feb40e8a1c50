"""TensorBoard's event files of a training: each row of the log once, and nothing without it."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from core.events import EVENTS_FOLDER, _summary_writer
from core.training import LOG_NAME
from tests.core.test_training import SETTINGS, line_fit


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """By name, the values in a training's log."""
    found = defaultdict(list)
    for line in (folder / LOG_NAME).read_text().splitlines():
        row = json.loads(line)
        for name in ("loss", "last"):
            found[name].append((row["step"], row[name]))
    return dict(found)


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The same in its event files, in the order in which these were written."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    found = defaultdict(list)
    for file in sorted((folder / EVENTS_FOLDER).iterdir()):
        for event in loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                number = value.tensor.float_val[0]
                found[value.tag].append((event.step, pytest.approx(number, rel=1e-6)))
    return dict(found)


def test_a_resumed_training_adds_to_its_event_files_what_is_not_in_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with pytest.raises(KeyboardInterrupt):
        line_fit(tmp_path, SETTINGS, stop_at=27)
    begun = shown(tmp_path)
    assert [step for step, _ in begun["loss"]] == [1, 10, 20]
    for stop_at in (5, None):  # of its own steps: before its next checkpoint, never
        if stop_at is None:
            line_fit(tmp_path, SETTINGS)
        else:
            with pytest.raises(KeyboardInterrupt):
                line_fit(tmp_path, SETTINGS, stop_at=stop_at)
            assert shown(tmp_path) == begun
    assert shown(tmp_path) == logged(tmp_path) and len(logged(tmp_path)["loss"]) == 5
    files = sorted((tmp_path / EVENTS_FOLDER).iterdir())
    (tmp_path / LOG_NAME).unlink()
    line_fit(tmp_path, SETTINGS)  # from the last checkpoint once more: the same rows
    assert sorted((tmp_path / EVENTS_FOLDER).iterdir()) == files
    assert shown(tmp_path) == logged(tmp_path)


def test_without_tensorboard_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    _summary_writer.cache_clear()
    try:
        line_fit(tmp_path, SETTINGS)
    finally:
        _summary_writer.cache_clear()
    assert not (tmp_path / EVENTS_FOLDER).exists() and len(logged(tmp_path)["loss"]) == 5
