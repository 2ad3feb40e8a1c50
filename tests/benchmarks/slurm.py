"""A real Slurm on this machine for a test: its controller and two nodes, on loopback addresses."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scancel", "sinfo")
NODES = ("n1", "n2")
# Two queues with the same nodes: a job of "high" takes the place of one of "low", which Slurm then
# queues again. Credentials that soon expire let it start again after seconds, not minutes.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=low Nodes=ALL Default=YES PriorityTier=1
PartitionName=high Nodes=ALL PriorityTier=2
"""


def missing() -> str:
    """Why this machine cannot run it; empty if it can."""
    absent = [name for name in DAEMONS + COMMANDS if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (slurmctld, slurmd, slurm-client, munge)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root only"


@contextmanager
def running_slurm() -> Iterator[Path]:
    """Start it, put commands that find it first in PATH, stop it; its folder with logs.

    Raises: RuntimeError: with the last lines of the logs, if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="slurm") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("bin", "state", *(f"spool.{node}" for node in NODES)):
            (folder / part).mkdir()
        text = CONFIGURATION.format(folder=folder, ports=free_ports(3), user=getpass.getuser())
        (folder / "slurm.conf").write_text(text)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # none of its controllers
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        parts = {"key-file": "key", "socket": "socket", "pid-file": "pid"}
        parts |= {"log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={folder}/munge.{end}" for option, end in parts.items()]
        stack.enter_context(_daemon("munged", "--foreground", "--force", *options))
        wait_for((folder / "munge.socket").exists, folder)
        # submitit takes SLURM_CONF out of the environment of `sbatch`, so the commands set it.
        for command in COMMANDS:
            script = folder / "bin" / command
            line = f'SLURM_CONF={folder}/slurm.conf exec {shutil.which(command)} "$@"'
            script.write_text(f"#!/bin/sh\n{line}\n")
            script.chmod(0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}/bin:{path}"
        stack.callback(os.environ.__setitem__, "PATH", path)
        stack.enter_context(_daemon("slurmctld", "-D", "-f", f"{folder}/slurm.conf"))
        for node in NODES:
            stack.enter_context(_daemon("slurmd", "-D", "-f", f"{folder}/slurm.conf", "-N", node))
        states = ("sinfo", "--Node", "--noheader", "--format=%T")
        wait_for(lambda: set(ask(*states).split()) == {"idle"}, folder)
        try:
            yield folder
        finally:  # the processes of a job outlive the daemons
            ask("scancel", f"--user={getpass.getuser()}")
            wait_for(lambda: not ask("squeue", "--noheader"), folder)


def ask(*command: str) -> str:
    """What a command of Slurm's prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _daemon(*command: str) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(condition: Callable[[], bool], folder: Path, seconds: float = 60) -> None:
    """Raises: RuntimeError: if it takes longer, with the end of every log in `folder`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            logs = [(log.name, log.read_text()[-500:]) for log in sorted(folder.glob("*.log"))]
            raise RuntimeError(f"after {seconds} s: {logs}")
        time.sleep(0.2)
