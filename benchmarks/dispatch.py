"""Running stages: in turn, in processes side by side, or as jobs of a cluster.

Jobs are one setting: `--set cluster.kind=slurm cluster.slurm_partition=gpu`. Each stage is a job
of its own, submitted when all it reads is done; the command itself only waits and writes the
tables. Interrupted, it leaves the jobs running; given again, it waits for them.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import pydantic
from submitit import Job, SlurmJob
from submitit.core.utils import FailedJobError, UncompletedJobError

from core.errors import UserError
from core.progress import clock, say
from core.runtime import Runtime
from core.stage import Stage
from core.workers import map_unordered

# In a job's last words: what the user or the machine it ran on has to mend.
_FAULT = re.compile(r"(?m)^(?:core\.errors\.\w+|OSError|PermissionError): (.+)$")

_LOOK_S = 5.0
# Of Slurm's states those that no job comes back from: a preempted one can.
_ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"}
_ENDED |= {"OUT_OF_MEMORY", "TIMEOUT"}


class Cluster(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where and with what the jobs run; it never changes what they compute. Fields have the names
    of exca and submitit; null leaves a choice to the cluster."""

    kind: Literal["slurm", "local"]
    """What runs them: "slurm", or "local" for job processes on this machine, all of a level at
    once."""
    timeout_min: int = pydantic.Field(default=24 * 60, ge=1)
    """Longest time of a job in minutes."""
    cpus_per_task: int | None = pydantic.Field(default=None, ge=1)
    """Cores a job, on each of its nodes; also sets `runtime.workers`."""
    gpus_per_node: int | None = pydantic.Field(default=None, ge=0)
    """GPUs a job, on each of its nodes."""
    max_nodes: int = pydantic.Field(default=1, ge=1)
    """Most nodes of a job. A training has as many as its ranks need, each rank a GPU, or a core
    where there are none; all else has one."""
    mem_gb: float | None = pydantic.Field(default=None, gt=0)
    """Memory a job in GB, on each of its nodes."""
    slurm_partition: str | None = None
    """Queue that jobs are sent to."""
    slurm_account: str | None = None
    """Whom jobs are charged to."""
    slurm_qos: str | None = None
    """Slurm's quality of service: limits and priority."""
    slurm_constraint: str | None = None
    """Features that a node must have, e.g. a kind of GPU."""

    @pydantic.model_validator(mode="after")
    def _several_nodes_are_slurms(self) -> Cluster:
        if self.max_nodes > 1 and self.kind != "slurm":
            raise ValueError(f"max_nodes {self.max_nodes}: needs kind slurm, not {self.kind}")
        return self

    def nodes(self, ranks: int) -> int:
        """The fewest nodes that `ranks` can be spread over evenly.

        Raises: UserError: if there are too few.
        """
        places = self.gpus_per_node or self.cpus_per_task
        if self.kind != "slurm" or ranks == 1 or places is None:
            return 1
        for nodes in range(1, self.max_nodes + 1):
            if ranks % nodes == 0 and ranks // nodes <= places:
                return nodes
        field = "gpus_per_node" if self.gpus_per_node else "cpus_per_task"
        raise UserError(
            f"cluster.max_nodes {self.max_nodes}: {ranks} ranks cannot be spread evenly over nodes "
            f"with {field} {places}: set max_nodes to {-(-ranks // places)} or more, or fewer ranks"
        )

    def changes(self, ranks: int) -> dict[str, Any]:
        """What differs between a stage of so many ranks and its copy that runs as a job."""
        fields = self.model_dump(exclude_none=True, exclude={"kind", "max_nodes"})
        found = {f"infra.{name}": value for name, value in fields.items()}
        found["infra.cluster"] = self.kind
        found["runtime.nodes"] = nodes = self.nodes(ranks)
        if nodes > 1:  # exca's own `nodes` would run the stage on each of them
            found["infra.slurm_additional_parameters"] = {"nodes": nodes}
        if self.cpus_per_task is not None:
            found["runtime.workers"] = self.cpus_per_task
        return found


def stage_name(stage: Stage) -> str:
    """Kind and what tells it from its like."""
    parts = [type(stage).__name__]
    for attribute in ("name", "source", "task", "seed"):
        value = getattr(stage, attribute, None)
        if value is not None:
            parts.append(f"{attribute} {value}")
    mixture = getattr(stage, "mixture", None)
    if mixture is not None:
        extra = [
            getattr(s, "source", getattr(s, "name", type(s).__name__)) for s in mixture.sources[1:]
        ]
        network = type(getattr(stage, "network", None)).__name__
        parts += [network, "+".join(["source", *map(str, extra)])]
    return ", ".join(parts)


def run_wave(
    name: str,
    stages: Sequence[Stage],
    *,
    runtime: Runtime,
    ranks: int | None = None,
    describe: Callable[[Stage], str] = stage_name,
) -> None:
    """Run the stages that are not done: given the cores or GPUs that each takes, as many side by
    side as the machine has room for; else in turn, each spread over all of them, but those of one
    piece, which leave the others idle, side by side.

    Args: describe: what is said of a stage when it is done.
    """
    todo = [stage for stage in stages if not stage.is_done()]
    if not todo:
        return
    say(f"== {name}: {len(todo)} of {len(stages)} to do")
    start = time.monotonic()
    lanes = runtime.lanes(ranks or 1)
    groups = [todo] if ranks is not None else _groups(todo)
    running = chain.from_iterable(
        map_unordered(run_stage, group, workers=lanes, ranks=ranks or 1) for group in groups
    )
    for count, (stage, _) in enumerate(running, start=1):
        seconds = time.monotonic() - start
        left = clock(seconds / count * (len(todo) - count))
        done = f"{count:>{len(str(len(todo)))}}/{len(todo)}"
        say(f"  {clock(seconds):>7}  {done}, {left:>7} left  {name}: {describe(stage)}")


def _groups(stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """The stages in turn, but together all of one piece that can begin when the first of them is
    reached. To be iterated while they run."""
    left = list(stages)
    while left:
        first, *others = left
        ready = [stage for stage in others if _is_ready(stage)] if _is_ready(first) else []
        yield [first, *ready]
        left = [stage for stage in others if stage not in ready]


def _is_ready(stage: Stage) -> bool:
    """Whether it is of one piece, and all that it reads is done."""
    return all(below.is_done() for below in stage.upstream()) and stage.is_one_piece()


def run_stage(stage: Stage) -> dict[str, Any]:
    """`stage.run()`, as a function that a worker process can be handed."""
    result: dict[str, Any] = stage.run()
    return result


def levels(stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """The towers of `stages` in levels, each once: a level reads only what earlier levels made."""
    depth: dict[str, int] = {}
    found: dict[int, list[Stage]] = {}
    for target in stages:
        for stage in target.tower():
            key = stage.infra.uid()
            if key not in depth:
                depth[key] = 1 + max((depth[up.infra.uid()] for up in stage.upstream()), default=-1)
                found.setdefault(depth[key], []).append(stage)
    yield from (found[level] for level in sorted(found))


def run_as_jobs(stages: Sequence[Stage], cluster: Cluster) -> None:
    """Run the towers of `stages` on a cluster and wait for them.

    Raises: UserError: with the job's own line, if an input was wrong; if there is no cluster; if a
    job ended without a word (out of time or memory, cancelled, its node lost).
    """
    for number, level in enumerate(levels(stages)):
        todo = [stage for stage in level if not stage.is_done()]
        try:
            copies = [stage.infra.clone_obj(cluster.changes(stage.ranks)) for stage in todo]
            jobs = [copy.infra.job() for copy in copies]
        except RuntimeError as error:  # submitit: no srun on this machine
            raise UserError(f"cluster.kind {cluster.kind}: {error}") from None
        for count, (copy, job) in enumerate(zip(copies, jobs, strict=True), start=1):
            line = f"   level {number}, {count}/{len(todo)}: {type(copy).__name__}, job"
            say(f"{line} {job.job_id}")
            _finish(copy, job)


def _finish(copy: Stage, job: Job[Any]) -> None:
    """Wait for a job, whether or not its cluster keeps the accounts that submitit reads: a job that
    the queue does not know any more has ended.  Raises: as `run_as_jobs`."""
    while not job.done() and _in_queue(job):
        time.sleep(_LOOK_S)
    if not job.done():
        time.sleep(_LOOK_S)  # a file of another node's can be late
    try:
        if not job.done():
            raise UncompletedJobError(job.stderr() or "")
        job.result()
    except UncompletedJobError as error:
        if (wrong_input := _FAULT.search(str(error))) is not None:
            raise UserError(wrong_input[1]) from None
        if isinstance(error, FailedJobError):
            raise
        copy.infra.clear_job()  # else the next run would go on waiting for it
        raise UserError(
            f"{type(copy).__name__}: job {job.job_id} ended without a word (out of time or memory, "
            f"cancelled, or its node lost): the same command goes on from its last checkpoint; its "
            f"log is {job.paths.stderr}"
        ) from None


def _in_queue(job: Job[Any]) -> bool:
    if not isinstance(job, SlurmJob):
        return True  # submitit watches processes of this machine itself
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job.job_id}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode and "Invalid job id" not in asked.stderr:
        return True  # the controller does not answer at the moment
    return not set(asked.stdout.split()) <= _ENDED
