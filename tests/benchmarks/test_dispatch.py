"""Stages as jobs: real job processes of submitit's local cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.config.files import load_config
from benchmarks.dispatch import Cluster, levels, run_as_jobs
from core.errors import UserError
from core.frame_cache import FrameCache
from core.runtime import Runtime
from tests.benchmarks.metrics.toy import DiscClips

LOCAL = Cluster(kind="local", timeout_min=5, cpus_per_task=2)


def cache(root: Path, **clips: int) -> FrameCache:
    common = {"infra": {"folder": root}, "runtime": Runtime(workers=1)}
    return FrameCache(clips=DiscClips(**clips, **common), num_frames=9, **common)


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
