"""OphSim on disk: files, labels, resuming."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.ophsim import dataset
from benchmarks.datasets.simulated import unused_splits
from core.errors import UserError
from core.table import read_table
from core.video import probe

TINY = {
    "seed": 3, "train_cases": 2, "val_cases": 1, "test_cases": 2,
    "train_clips": 60, "val_clips": 52, "test_clips": 52, "minimum": 1, "width": 48, "height": 32,
}  # fmt: skip


# On disk


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("ophsim")
    return root, dataset.write_ophsim(root, **TINY)


def test_files_are_laid_out_as_ophnets(written: tuple[Path, dict[str, str]]) -> None:
    root, digests = written
    names = sorted(path.name for path in root.iterdir())
    assert names == [dataset.OPERATION_TABLE, dataset.PHASE_TABLE, dataset.DONE, "videos"]
    assert sorted(digests) == [f"case_{i:04d}" for i in range(1, 6)]
    # As in OphNet2024: CRLF in both, a byte order mark in the operation table only.
    assert (root / dataset.OPERATION_TABLE).read_bytes().startswith(b"\xef\xbb\xbfvideo_id,start")
    head = b"video_id,start,end,split,surgery_id,phase_id\r\n"
    assert (root / dataset.PHASE_TABLE).read_bytes().startswith(head)


def test_labels_fit_the_videos(written: tuple[Path, dict[str, str]]) -> None:
    root, _ = written
    rows = [row for _, row in read_table(root / dataset.OPERATION_TABLE, ["operation_id"])]
    for video in {row["video_id"] for row in rows}:
        info = probe(root / "videos" / f"{video}.mp4")
        own = [row for row in rows if row["video_id"] == video]
        times = [(float(row["start"]), float(row["end"])) for row in own]
        assert (info.width, info.height, info.fps) == (48, 32, 8.0)
        assert times[-1][1] == pytest.approx(info.duration_s, abs=0.01)
        assert all(a[1] <= b[0] and a[0] < a[1] for a, b in itertools.pairwise(times))
    assert {row["phase_id"] for row in rows} == {str(phase) for phase in range(52)}


def test_consecutive_operations_of_a_phase_share_its_row(
    written: tuple[Path, dict[str, str]],
) -> None:
    root, _ = written
    operations = [r for _, r in read_table(root / dataset.OPERATION_TABLE, [])]
    phases = [r for _, r in read_table(root / dataset.PHASE_TABLE, [])]
    merged: list[dict[str, str]] = []
    for row in operations:
        if merged and all(merged[-1][k] == row[k] for k in ("video_id", "phase_id")):
            merged[-1]["end"] = row["end"]
        else:
            merged.append({k: v for k, v in row.items() if k != "operation_id"})
    assert merged == phases


def test_an_interrupted_run_draws_only_what_is_missing(
    written: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    original = dataset.case_frames

    def failing(case: dataset.Case, *size: float) -> np.ndarray:
        if case.video_id == "case_0003" and "case_0003" not in drawn:
            drawn.append(case.video_id)
            raise KeyboardInterrupt
        drawn.append(case.video_id)
        return original(case, *size)

    monkeypatch.setattr(dataset, "case_frames", failing)
    with pytest.raises(KeyboardInterrupt):
        dataset.write_ophsim(tmp_path, **TINY)
    assert not (tmp_path / dataset.DONE).exists()
    drawn_before = len(drawn)
    digests = dataset.write_ophsim(tmp_path, **TINY)
    assert drawn[drawn_before:] == ["case_0003", "case_0004", "case_0005"]
    assert digests == written[1]
    assert dataset.write_ophsim(tmp_path, **TINY) == digests  # done: nothing is drawn
    assert len(drawn) == drawn_before + 3


def test_two_workers_write_the_same_frames(
    written: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    assert dataset.write_ophsim(tmp_path, **TINY, workers=2) == written[1]


def test_a_finished_folder_refuses_other_settings(written: tuple[Path, dict[str, str]]) -> None:
    with pytest.raises(UserError, match="other settings"):
        dataset.write_ophsim(written[0], **{**TINY, "seed": 4})


def test_the_smallest_unused_splits_leave_the_others_as_they_are() -> None:
    sizes: dict[str, int] = {"seed": 3, "test_cases": 3, "test_clips": 150}
    usual = dataset.plan_cases(**sizes)
    small = dataset.plan_cases(**sizes, **unused_splits(2, "train", "val"))
    test, again = (
        [(case.surgery_id, case.appearance_seed, case.segments) for case in cases
         if case.split == "test"]
        for cases in (usual, small)
    )  # fmt: skip
    assert test == again and len(test) == 3
    assert len(small) == 5 < len(usual)
