"""Stages as jobs: real job processes of submitit's local cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.config.files import load_config
from benchmarks.dispatch import Cluster, levels, run_as_jobs, run_wave
from core.errors import UserError
from core.frame_cache import FrameCache
from core.runtime import Runtime
from core.stage import Stage
from core.workers import release_workers
from tests.benchmarks.metrics.toy import DiscClips

LOCAL = Cluster(kind="local", timeout_min=5, cpus_per_task=2)


def cache(root: Path, **clips: int) -> FrameCache:
    common = {"infra": {"folder": root}, "runtime": Runtime(workers=1)}
    return FrameCache(clips=DiscClips(**clips, **common), num_frames=9, **common)


class Piece(Stage):
    """Work of one piece, or more, that ends when a number of its like have begun in `place`."""

    number: int
    place: Path
    begun: int = 1
    pieces: int = 1
    reads: tuple[Stage, ...] = ()

    def is_one_piece(self) -> bool:
        return self.pieces == 1

    def execute(self, folder: Path) -> dict[str, Any]:
        (self.place / str(self.number)).touch()
        deadline = time.monotonic() + 60
        while len(list(self.place.iterdir())) < self.begun:
            assert time.monotonic() < deadline, "the others have not begun"
            time.sleep(0.05)
        return {"process": os.getpid(), "begun": len(list(self.place.iterdir()))}


def test_stages_of_one_piece_run_side_by_side_and_others_in_turn(tmp_path: Path) -> None:
    (place := tmp_path / "begun").mkdir()
    common: dict[str, Any] = {"infra": {"folder": tmp_path}, "runtime": Runtime(workers=2)}
    common["place"] = place
    below = Piece(number=0, **common)
    wide = Piece(number=1, pieces=2, **common)
    small = [Piece(number=n, reads=(below,), begun=4, **common) for n in (2, 3)]
    last = Piece(number=4, reads=(small[0],), **common)
    try:
        run_wave("pieces", [below, wide, *small, last], runtime=Runtime(workers=2))
    finally:
        release_workers()
    results = [stage.run() for stage in (below, wide, *small, last)]
    here, begun = os.getpid(), [result["begun"] for result in results]
    assert begun == [1, 2, 4, 4, 5]
    processes = [result["process"] for result in results]
    assert [process == here for process in processes] == [True, True, False, False, True]
    assert processes[2] != processes[3]


def test_levels_come_after_what_they_read(tmp_path: Path) -> None:
    first, second = cache(tmp_path, count=2), cache(tmp_path, count=3)
    found = [[stage.infra.uid() for stage in level] for level in levels([first, second, first])]
    assert found == [
        [first.clips.infra.uid(), second.clips.infra.uid()],
        [first.infra.uid(), second.infra.uid()],
    ]


def test_a_training_gets_the_fewest_nodes_that_its_ranks_fill_evenly() -> None:
    cluster = Cluster(kind="slurm", gpus_per_node=8, cpus_per_task=2, max_nodes=4)
    assert [cluster.nodes(ranks) for ranks in (1, 8, 12, 18, 32)] == [1, 1, 2, 3, 4]
    on_cores = Cluster(kind="slurm", cpus_per_task=2, max_nodes=2)
    assert [on_cores.nodes(ranks) for ranks in (2, 4)] == [1, 2]
    changes = cluster.changes(ranks=16)
    assert changes["runtime.nodes"] == 2
    assert changes["infra.slurm_additional_parameters"] == {"nodes": 2}
    assert "infra.slurm_additional_parameters" not in cluster.changes(ranks=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("kind=slurm", "gpus_per_node=8"), r"cluster\.max_nodes 1: 16 ranks .* max_nodes to 2 or"),
        (("kind=local", "max_nodes=2"), r"cluster: max_nodes 2: needs kind slurm, not local"),
    ],
)
def test_ranks_without_nodes_are_refused_beforehand(
    settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_config("smoke", ["runtime.processes=16", *(f"cluster.{each}" for each in settings)])


def test_jobs_leave_the_same_results_as_a_direct_run(tmp_path: Path) -> None:
    apart, here = cache(tmp_path / "jobs", count=8), cache(tmp_path / "here", count=8)
    run_as_jobs([apart], LOCAL)
    assert apart.is_done() and apart.clips.is_done()
    assert list(tmp_path.rglob("logs/*/*/*.pkl"))  # it was a job
    here.run()
    assert (apart.table().frames == here.table().frames).all()


def test_a_wrong_input_in_a_job_is_one_line(tmp_path: Path) -> None:
    stage = cache(tmp_path, count=0)
    stage.clips.run()  # here: a job of its own would take as long as the one that is looked at
    with pytest.raises(UserError, match=r"^DiscClips: it yields no clip to decode$"):
        run_as_jobs([stage], LOCAL)


def test_slurm_without_slurm_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cluster\.kind slurm: "):
        run_as_jobs([cache(tmp_path, count=2)], Cluster(kind="slurm"))
