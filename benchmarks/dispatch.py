"""Running stages: in turn, in processes side by side, or as jobs of a cluster.

Jobs are one setting: `--set cluster.kind=slurm cluster.slurm_partition=gpu`. Each stage is a job
of its own, submitted when all it reads is done; the command itself only waits and writes the
tables. Interrupted, it leaves the jobs running; given again, it waits for them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import pydantic
from submitit.core.utils import UncompletedJobError

from core.errors import UserError
from core.progress import clock, say
from core.runtime import Runtime
from core.stage import Stage
from core.workers import map_unordered

# In a job's last words: what the user or the machine it ran on has to mend.
_FAULT = re.compile(r"(?m)^(?:core\.errors\.\w+|OSError|PermissionError): (.+)$")


class Cluster(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where and with what the jobs run; it never changes what they compute. Fields have the names
    of exca and submitit; null leaves a choice to the cluster."""

    kind: Literal["slurm", "local"]
    """What runs them: "slurm", or "local" for job processes on this machine, all of a level at
    once."""
    timeout_min: int = pydantic.Field(default=24 * 60, ge=1)
    """Longest time of a job in minutes."""
    cpus_per_task: int | None = pydantic.Field(default=None, ge=1)
    """Cores a job; also sets `runtime.workers`."""
    gpus_per_node: int | None = pydantic.Field(default=None, ge=0)
    """GPUs a job."""
    mem_gb: float | None = pydantic.Field(default=None, gt=0)
    """Memory a job in GB."""
    slurm_partition: str | None = None
    """Queue that jobs are sent to."""
    slurm_account: str | None = None
    """Whom jobs are charged to."""
    slurm_qos: str | None = None
    """Slurm's quality of service: limits and priority."""
    slurm_constraint: str | None = None
    """Features that a node must have, e.g. a kind of GPU."""

    def changes(self) -> dict[str, Any]:
        """What differs between a stage and its copy that runs as a job."""
        fields = self.model_dump(exclude_none=True)
        found = {f"infra.{name}": value for name, value in fields.items() if name != "kind"}
        found["infra.cluster"] = self.kind
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
    """Run the stages that are not done: in turn or, given the cores or GPUs that each takes, as
    many side by side as the machine has room for.

    Args: describe: what is said of a stage when it is done.
    """
    todo = [stage for stage in stages if not stage.is_done()]
    if not todo:
        return
    say(f"== {name}: {len(todo)} of {len(stages)} to do")
    start = time.monotonic()
    lanes = 1 if ranks is None else runtime.lanes(ranks)
    running = map_unordered(run_stage, todo, workers=lanes, ranks=ranks or 1)
    for count, (stage, _) in enumerate(running, start=1):
        seconds = time.monotonic() - start
        left = clock(seconds / count * (len(todo) - count))
        done = f"{count:>{len(str(len(todo)))}}/{len(todo)}"
        say(f"  {clock(seconds):>7}  {done}, {left:>7} left  {name}: {describe(stage)}")


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

    Raises: UserError: with the job's own line, if an input was wrong, or if there is no cluster.
    """
    for number, level in enumerate(levels(stages)):
        todo = [stage for stage in level if not stage.is_done()]
        try:
            copies = [stage.infra.clone_obj(cluster.changes()) for stage in todo]
            jobs = [copy.infra.job() for copy in copies]
        except RuntimeError as error:  # submitit: no srun on this machine
            raise UserError(f"cluster.kind {cluster.kind}: {error}") from None
        for count, (stage, job) in enumerate(zip(todo, jobs, strict=True), start=1):
            line = f"   level {number}, {count}/{len(todo)}: {type(stage).__name__}, job"
            say(f"{line} {job.job_id}")
            try:
                job.result()
            except UncompletedJobError as error:
                wrong_input = _FAULT.search(str(error))
                if wrong_input is None:
                    raise
                raise UserError(wrong_input[1]) from None
