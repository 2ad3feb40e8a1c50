"""Starting the ranks of one training: one process a GPU, on this machine or on several nodes.

    stage (parent) -> launch -> N ranks run the same function -> parent reads what rank 0 left
                        '-> several nodes: `srun` starts `serve` on each, which starts its ranks

Started and watched by torch's elastic launcher, what `torchrun` calls: if a rank dies, all stop.
On several nodes the launchers meet at a store of the parent's (c10d): they fetch their work there
and leave word of how it ended. Whoever reaches it can run code, as in every training of torch.
The libraries behind it take seconds to import, so they are imported where they are used.
"""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from core.errors import UserError
from core.runtime import Runtime
from core.workers import die_with_parent

# Python that runs on a node; it finds the modules that its parent finds.
_NODE = (
    "import sys; sys.path[:] = {path!r}; "
    "from core.launching import serve; sys.exit(serve({address!r}))"
)
_WORK, _BEGUN, _HOST, _ENDED = "launch/work", "launch/begun", "launch/host/", "launch/ended/"
# The order to stop goes to all processes of a job; this one may be the last that gets it.
_ORDER_TO_STOP_S = 2.0


@dataclass(frozen=True)
class _Work:
    """What the ranks do, and how many of them a node has.

    call: function and arguments, pickled; a launcher need not import what they need.
    """

    call: bytes
    runtime: Runtime
    ranks_per_node: int
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)


def launch(function: Callable[..., object], *arguments: Any, runtime: Runtime, ranks: int) -> None:
    """Run `function(*arguments)` in so many ranks, on `runtime.nodes` nodes, and wait for them all.

    Both must be picklable. Each rank has its own device and `runtime.threads` threads.
    Raises: UserError: the first rank's own, if an input was wrong; if a node was lost, or the ranks
    cannot be spread evenly. RuntimeError: if a rank failed.
    KeyboardInterrupt, SystemExit: if this process was told to stop (Ctrl-C; a cluster's SIGTERM).
    """
    if ranks % runtime.nodes:
        raise UserError(f"runtime.nodes {runtime.nodes}: not a divisor of the {ranks} ranks")
    work = _Work(pickle.dumps((function, arguments)), runtime, ranks // runtime.nodes)
    if runtime.nodes == 1:
        _run_ranks(work, "localhost:0", is_host=True)
    else:
        _run_nodes(work)


def _run_ranks(work: _Work, endpoint: str, *, is_host: bool) -> None:
    """Start this node's ranks and wait for them.  Raises: as `launch`."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=work.runtime.nodes,
        max_nodes=work.runtime.nodes,
        nproc_per_node=work.ranks_per_node,
        rdzv_backend="c10d",
        rdzv_endpoint=endpoint,
        rdzv_configs={"is_host": is_host},
        run_id=work.run_id,
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, _rank_main)(work.call, work.runtime)
    except SignalException as error:
        # It cannot be unpickled: as a stage's failure it would make the next run fail as well.
        if error.sigval is signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        if failure.exitcode == -signal.SIGTERM:  # a cluster tells ranks and launchers alike
            raise SystemExit(128 + signal.SIGTERM) from None
        written: Any = failure.message  # a dictionary where Python raised
        message = str(written["message"] if isinstance(written, dict) else written)
        name, _, said = message.partition(": ")
        if name == UserError.__name__:
            raise UserError(said) from None
        raise RuntimeError(f"a training process failed: {message}") from error


def _rank_main(call: bytes, runtime: Runtime) -> None:
    die_with_parent()
    faulthandler.enable()  # a rank that a signal ends says where it was
    local = int(os.environ["LOCAL_RANK"])
    runtime.apply()
    cuda = runtime.torch_device().type == "cuda"
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        function, arguments = pickle.loads(call)
        function(*arguments)
        dist.barrier()  # a rank that leaves early can cut off what another still reads from it
    finally:
        dist.destroy_process_group()


def _run_nodes(work: _Work) -> None:
    """Start `serve` on every node and wait for all of them.  Raises: as `launch`."""
    store = _open_store()
    store.set(_WORK, pickle.dumps(work).hex())
    starter = work.runtime.on_each_node.format(nodes=work.runtime.nodes)
    address = f"{store.host}:{store.port}"
    code = _NODE.format(path=[path or os.getcwd() for path in sys.path], address=address)
    environment = dict(os.environ)
    if cores := environment.get("SLURM_CPUS_PER_TASK"):  # not handed on to srun since Slurm 22.05
        environment["SRUN_CPUS_PER_TASK"] = cores
    with _order_to_stop_raises():
        try:
            launcher = subprocess.Popen(
                [*shlex.split(starter), sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise UserError(
                f"runtime.nodes {work.runtime.nodes}: {error}: run in a SLURM job "
                "(cluster.max_nodes), or set runtime.on_each_node"
            ) from None
        with launcher:
            try:
                failed = launcher.wait() != 0 or store.add(_BEGUN, 0) < work.runtime.nodes
                if failed:
                    time.sleep(_ORDER_TO_STOP_S)
            except BaseException:
                launcher.terminate()
                raise
    if failed:
        explain(store, work.runtime.nodes)


def _open_store() -> dist.TCPStore:
    """Where the launchers meet: here, at an address as torchrun's variables name it."""
    host = os.environ.get("MASTER_ADDR") or socket.gethostname()
    port = os.environ.get("MASTER_PORT") or "0"
    wait = timedelta(seconds=60)
    try:
        return dist.TCPStore(host, int(port), is_master=True, wait_for_workers=False, timeout=wait)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"MASTER_ADDR {host}, MASTER_PORT {port}: {str(error).splitlines()[0]}: set them to a "
            "name that all nodes know this machine by, and to a free port (0: any)"
        ) from None


@contextmanager
def _order_to_stop_raises() -> Iterator[None]:
    def stop(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(address: str) -> int:
    """Start this node's ranks for the parent whose store is at `address` (host:port).

    Returns: 0 if all went well; else 1, and the store says why.
    """
    # Slurm's warning before the end of a job's time, which submitit asks for; the order comes later
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    host, _, port = address.rpartition(":")
    store = dist.TCPStore(host, int(port), is_master=False)
    node = Node(store, os.environ.get("SLURMD_NODENAME") or socket.gethostname())
    wrong_input = failed = ""
    try:
        work = pickle.loads(bytes.fromhex(store.get(_WORK).decode()))
        _run_ranks(work, address, is_host=False)
    except UserError as error:
        wrong_input = str(error)
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"
    node.end(wrong_input, failed)
    return int(bool(wrong_input or failed))


class Node:
    """What a launcher leaves at the store, beside the rendezvous: that it began, how it ended."""

    def __init__(self, store: dist.TCPStore, host: str) -> None:
        self.store, self.number = store, store.add(_BEGUN, 1)
        store.set(f"{_HOST}{self.number}", host)

    def end(self, wrong_input: str, failed: str) -> None:
        """Both are empty if all went well."""
        self.store.set(f"{_ENDED}{self.number}", json.dumps([wrong_input, failed]))


def explain(store: dist.TCPStore, nodes: int) -> NoReturn:
    """Say why nodes failed: a wrong input first, then a lost node, of which the others' failures
    follow.  Raises: as `launch`."""
    hosts, failures, lost = [], [], []
    for number in range(1, store.add(_BEGUN, 0) + 1):
        hosts.append(store.get(f"{_HOST}{number}").decode())
        if not store.check([f"{_ENDED}{number}"]):
            lost.append(hosts[-1])
            continue
        wrong_input, failed = json.loads(store.get(f"{_ENDED}{number}"))
        if wrong_input:
            raise UserError(wrong_input)
        if failed:
            failures.append(f"{hosts[-1]}: {failed}")
    cure = "the same command goes on from the last checkpoint"
    if lost:
        raise UserError(
            f"node {lost[0]}: lost in a training on {nodes} nodes (killed, out of memory, switched "
            f"off or cut off): {cure}"
        )
    if len(hosts) < nodes:
        found = ", ".join(hosts) or "none"
        raise UserError(
            f"runtime.nodes {nodes}: only {len(hosts)} began ({found}); what starts them says why "
            f"above: {cure}"
        )
    said = "; ".join(failures) or "all launchers ended well, what started them did not"
    raise RuntimeError(f"a training on {nodes} nodes failed: {said}")
