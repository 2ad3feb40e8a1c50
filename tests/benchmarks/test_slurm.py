"""A training as a job of a real Slurm: two nodes, preempted half-way, queued again, resumed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.dispatch import Cluster, run_as_jobs
from core.errors import UserError
from core.launching import launch
from core.runtime import Runtime
from core.training import LOG_NAME
from tests.benchmarks.slurm import ask, missing, running_slurm, wait_for
from tests.core.stages import Count
from tests.core.together import lose_a_node
from tests.generator.tiny import denoiser_training
from tests.generator.watched import WatchedTraining

STEPS = 12
WAIT_S = 600
# Two ranks, a core each, on nodes that give one: two nodes.
QUEUE = Cluster(kind="slurm", slurm_partition="low", cpus_per_task=1, max_nodes=2, timeout_min=30)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    if reason := missing():
        pytest.skip(reason)
    with running_slurm() as folder:
        yield folder


def training(root: Path) -> WatchedTraining:
    """Twelve steps of a tiny Ophora, whose inputs are there."""
    runtime = Runtime(workers=1, processes=2, device="cpu")
    stage = denoiser_training(root, WatchedTraining, STEPS, runtime=runtime)
    for below in stage.tower()[:-1]:
        below.run()
    assert isinstance(stage, WatchedTraining)
    return stage


def weights(stage: WatchedTraining) -> dict[str, bytes]:
    """Its files of weights, by name."""
    folder = stage.folder / "weights"
    files = folder.rglob("*.safetensors")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def preempt(stage: WatchedTraining, slurm: Path) -> str:
    """Wait for the checkpoint of a third of the steps, then send a job that goes first; its
    number."""
    log = stage.folder / LOG_NAME  # written after the checkpoint

    def is_there() -> bool:
        return log.is_file() and len(log.read_text().splitlines()) >= STEPS // 3

    wait_for(is_there, slurm, WAIT_S)
    return ask("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive",
               "--output=/dev/null", "--wrap=sleep 1")  # fmt: skip


@pytest.mark.slow
def test_a_preempted_job_on_two_nodes_resumes_to_the_same_bytes(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, queued = training(tmp_path / "here"), training(tmp_path / "queued")
    here.run()
    monkeypatch.setenv("SECONDS_PER_STEP", "0.7")
    with ThreadPoolExecutor() as beside:
        other = beside.submit(preempt, queued, slurm)
        run_as_jobs([queued], QUEUE)
        assert other.result()
    first, second = (queued.folder / "log.txt").read_text().splitlines()
    assert first == "from step 0 with 2 ranks"
    step = int(second.removeprefix("from step ").removesuffix(" with 2 ranks"))
    assert STEPS // 3 <= step < STEPS
    assert weights(queued) == weights(here) != {}


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_node_that_dies_is_named() -> None:
    """Outside of a job, srun asks for the nodes itself."""
    with pytest.raises(UserError, match=r"^node n[12]: lost in a training on 2 nodes "):
        launch(lose_a_node, runtime=Runtime(nodes=2, device="cpu"), ranks=2)


@pytest.mark.slow
def test_a_job_that_was_cancelled_is_one_line_and_can_be_given_again(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This Slurm keeps no accounts, as many small ones do."""
    stage = Count(steps=2, infra={"folder": str(tmp_path)})

    def cancel() -> None:
        wait_for((stage.folder / "log.txt").is_file, slurm, WAIT_S)
        ask("scancel", ask("squeue", "--noheader", "--format=%i"))

    monkeypatch.setenv("SECONDS_PER_STEP", "60")
    with ThreadPoolExecutor() as beside:
        done = beside.submit(cancel)
        with pytest.raises(UserError, match=r"^Count: job \d+ ended without a word .*last checkp"):
            run_as_jobs([stage], QUEUE)
        done.result()
    monkeypatch.setenv("SECONDS_PER_STEP", "0")
    run_as_jobs([stage], QUEUE)
    assert stage.run() == {"total": 1}
