"""Work spread over processes of this machine, each with its own core or GPUs."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

import torch

from core.runtime import limit_threads

_VISIBLE = "CUDA_VISIBLE_DEVICES"
A = TypeVar("A")
R = TypeVar("R")


def die_with_parent() -> None:
    """Kill this process when its parent dies: it would go on holding cores, devices and locks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without one."""
    if _VISIBLE in os.environ:
        return [name.strip() for name in os.environ[_VISIBLE].split(",") if name.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]


def gpus_of(number: int, ranks: int, gpus: Sequence[str]) -> list[str]:
    """Those of worker `number`, whose work takes `ranks` of them: none that an earlier worker has,
    as long as they last."""
    first = number * ranks
    return [gpus[(first + place) % len(gpus)] for place in range(min(ranks, len(gpus)))]


def _start_worker(
    threads: int,
    ranks: int,
    gpus: Sequence[str],
    search_path: Sequence[str],
    started: Synchronized[int],
) -> None:
    die_with_parent()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    if gpus:  # before the first use of CUDA: all that this process and its ranks will see
        os.environ[_VISIBLE] = ",".join(gpus_of(number, ranks, gpus))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent alone
    sys.path[:] = list(search_path)
    limit_threads(threads)


# Pools of this process by (workers, threads, ranks). Starting a worker and importing the libraries
# takes longer than many a stage, so workers are kept for the next one.
_POOLS: dict[tuple[int, int, int], ProcessPoolExecutor] = {}


def _process_pool(workers: int, threads: int, ranks: int) -> ProcessPoolExecutor:
    """The pool of spawned processes (OpenMP does not survive a fork)."""
    key = (workers, threads, ranks)
    if key not in _POOLS:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the child imports its libraries
        context = multiprocessing.get_context("spawn")
        _POOLS[key] = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(threads, ranks, visible_gpus(), list(sys.path), context.Value("i", 0)),
        )
    return _POOLS[key]


def release_workers() -> None:
    """End the kept worker processes, and with them what they hold of a GPU's memory."""
    while _POOLS:
        _POOLS.popitem()[1].shutdown()


def free_gpus(device: torch.device) -> None:
    """Hand back what a stage that has ended held of the GPUs, here and in the workers: what comes
    next may run in other processes on them."""
    if device.type == "cuda":
        release_workers()
        gc.collect()
        torch.cuda.empty_cache()


def map_unordered(
    function: Callable[[A], R],
    items: Iterable[A],
    *,
    workers: int,
    threads: int = 1,
    ranks: int = 1,
) -> Iterator[tuple[A, R]]:
    """Apply `function` to every item, in `workers` processes, yielding (item, result) when done.

    With one worker or one item it runs here, which keeps tracebacks and start-up time short; so it
    does inside a worker, which has a core of its own and no more. The first failure cancels what
    has not begun and is raised when the other running items have ended. A few items a worker are
    under way, so that memory does not grow with their number.  Args: ranks: GPUs that the work on
    an item takes; each worker sees so many and no others, where there are any.
    """
    source = iter(items)
    first = list(islice(source, 2))
    source = chain(first, source)
    if workers == 1 or len(first) <= 1 or multiprocessing.parent_process() is not None:
        for item in source:
            yield item, function(item)
        return
    pool = _process_pool(workers, threads, ranks)
    futures: dict[Future[R], A] = {}
    try:
        while True:
            for item in islice(source, 4 * workers - len(futures)):
                futures[pool.submit(function, item)] = item
            if not futures:
                return
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                yield futures.pop(future), future.result()
    except (KeyboardInterrupt, BrokenProcessPool):
        # The person wants it to stop now, or a worker was killed: what is half done is resumed
        # later, by new workers.
        del _POOLS[workers, threads, ranks]
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
