"""What makes the OphNet adapter's key: contents, not places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.ophnet import OphNet
from core.runtime import Runtime
from core.stage import Stage
from tests.benchmarks.datasets.ophnet_folder import ROWS, place_videos, source, write_csv

# --- identity -----------------------------------------------------------------------------------


def test_key_follows_the_contents_not_the_place(root: Path, tmp_path: Path) -> None:
    before = source(root, tmp_path)
    before.run()
    moved = root.rename(tmp_path / "moved")
    after = source(moved, tmp_path)
    assert after.infra.uid() == before.infra.uid()
    assert after.manifest().root == moved  # although the manifest was written for the old place
    (moved / "videos" / "case_c.mp4").write_bytes(b"CASE_C")
    assert source(moved, tmp_path).infra.uid() != before.infra.uid()
    assert source(moved, tmp_path, max_missing_share=0.5).infra.uid() == (
        source(moved, tmp_path).infra.uid()
    )


def test_video_that_no_row_names_is_not_part_of_the_key(root: Path, tmp_path: Path) -> None:
    before = source(root, tmp_path).infra.uid()
    place_videos(root / "videos", "case_unlabelled")
    assert source(root, tmp_path).infra.uid() == before


class Writer(Stage):
    """A stage that writes the layout, as the simulator does."""

    seed: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        rows = [row.replace("case_a", f"case_{self.seed}") for row in ROWS]
        write_csv(folder, rows, name="OphSim_loca_challenge_phase.csv", bom=False)
        place_videos(folder / "videos", f"case_{self.seed}", "case_b", "case_c")
        return {}


def test_upstream_stage_is_run_and_gives_the_identity(tmp_path: Path) -> None:
    machinery: dict[str, Any] = {"infra": {"folder": tmp_path}, "runtime": Runtime(workers=1)}

    def simulated(seed: int) -> OphNet:
        writer = Writer(seed=seed, **machinery)
        return OphNet(task="phase", name="OphSim", written_by=writer, **machinery)

    stage = simulated(7)
    assert stage.run()["data"] == "OphSim"
    assert stage.manifest().clips[0].video_id == "case_7"
    assert stage.manifest().path_of(stage.manifest().clips[0]).is_file()
    assert [type(below).__name__ for below in stage.tower()] == ["Writer", "OphNet"]
    assert simulated(8).infra.uid() != stage.infra.uid()
    assert stage.infra.clone_obj().infra.uid() == stage.infra.uid()


def test_origin_must_be_a_folder_or_a_stage(root: Path) -> None:
    with pytest.raises(ValueError, match=r"OphNet\.at"):
        OphNet(task="phase", root=root)
