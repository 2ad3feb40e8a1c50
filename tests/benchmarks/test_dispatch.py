"""Stages as jobs: real job processes of submitit's local cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_jobs_leave_the_same_results_as_a_direct_run(tmp_path: Path) -> None:
    apart, here = cache(tmp_path / "jobs", count=8), cache(tmp_path / "here", count=8)
    run_as_jobs([apart], LOCAL)
    assert apart.is_done() and apart.clips.is_done()
    assert list(tmp_path.rglob("logs/*/*/*.pkl"))  # it was a job
    here.run()
    assert (apart.table().frames == here.table().frames).all()


def test_a_wrong_input_in_a_job_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^DiscClips: it yields no clip to decode$"):
        run_as_jobs([cache(tmp_path, count=0)], LOCAL)


def test_slurm_without_slurm_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cluster\.kind slurm: "):
        run_as_jobs([cache(tmp_path, count=2)], Cluster(kind="slurm"))
