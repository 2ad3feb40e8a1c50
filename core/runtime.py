"""How a stage runs (never what it computes): seeds, device, threads, processes."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import multiprocessing
import os
import platform
import random
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pydantic
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.isolated import LIMIT_NAME, LIMIT_S
from core.readers import DECODER_NAME, Decoder

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Sharding = Literal["replicate", "shard"]
_DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in bytes

A = TypeVar("A")
R = TypeVar("R")


class Runtime(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Machinery of a run; none of it enters a cache key."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """With "auto", a GPU if there is one."""
    threads: int = pydantic.Field(default=1, ge=1)
    """CPU threads a process. Floating-point sums change with it, so nano keeps 1 and gets its
    parallelism from `workers`."""
    workers: int = pydantic.Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Processes side by side on the CPU; default: one a core."""
    wait: bool = True
    """Wait for a stage that another run holds; false ends the run instead."""
    processes: int = pydantic.Field(default=1, ge=1)
    """Ranks that train one network together, one a GPU (`core/distributed.py`). Sums are in another
    order then."""
    sharding: Sharding = "replicate"
    """Each rank holds the whole network ("replicate", as DDP) or a part ("shard", FSDP)."""
    micro_batch: int | None = pydantic.Field(default=None, ge=1)
    """Samples that a rank puts through the network at once; None: all of its share. Sums are in
    another order then."""
    decode_limit_s: float = pydantic.Field(default=LIMIT_S, gt=0)
    """A video whose decoding makes no progress for so many seconds, twice, is unreadable."""
    decoder: Decoder = "pyav"
    """The library that decodes; all give the same frames (`core/readers.py`)."""

    def torch_device(self) -> torch.device:
        """The device that training and sampling run on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def lanes(self) -> int:
        """How many trainings or samplers run side by side: one a worker on a CPU, one a GPU (or
        group of `processes` GPUs)."""
        if self.torch_device().type == "cpu":
            return self.workers
        return max(1, torch.cuda.device_count() // self.processes)

    def apply(self) -> None:
        """Set this process's thread counts, library and limit of decoding, let it keep freed
        memory, and silence the libraries' own bars and notices."""
        os.environ[LIMIT_NAME] = str(self.decode_limit_s)  # read here and in child processes
        os.environ[DECODER_NAME] = self.decoder
        limit_threads(self.threads)
        keep_freed_memory()
        quiet_libraries()


def limit_threads(threads: int) -> None:
    """Use `threads` CPU threads in torch, BLAS, OpenMP and OpenCV, here and in child processes."""
    import cv2
    import threadpoolctl

    os.environ["OMP_NUM_THREADS"] = str(threads)  # of libraries that are loaded later
    threadpoolctl.threadpool_limits(threads)  # of those that are, numpy's BLAS among them
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def keep_freed_memory() -> None:
    """Let the C library keep large blocks that were freed, as every step asks for the same again:
    handing them back and getting cleared pages takes a tenth of a training step (docs/log.md).

    Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def quiet_libraries() -> None:
    """No progress bars and notices of model libraries: the suite shows its own progress."""
    for name in ("diffusers", "transformers"):
        module = sys.modules.get(name)
        if module is not None:
            module.logging.set_verbosity_error()
            module.logging.disable_progress_bar()


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of `precision`; "auto" is bf16 on a GPU and on a processor that multiplies
    it (AVX512-BF16 or AMX), else fp32: other processors take three times as long in bf16."""
    if precision != "auto":
        return _DTYPES[precision]
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native or device.type != "cpu" else torch.float32


def autocast(
    precision: Precision, device: torch.device
) -> contextlib.AbstractContextManager[object]:
    """Half precision where it pays, unless `precision` is fp32; for forward passes."""
    dtype = dtype_of(precision, device)
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def training_attention(
    precision: Precision, device: torch.device
) -> contextlib.AbstractContextManager[object]:
    """The faster attention for forward and backward passes of short sequences.

    In half precision the backward pass of the CPU's fused attention takes a third of a step
    (docs/log.md). Gradient checkpointing computes forward passes again during the backward pass, so
    both must be inside.
    """
    if device.type != "cpu" or dtype_of(precision, device) == torch.float32:
        return contextlib.nullcontext()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of every device
    return sdpa_kernel(SDPBackend.MATH)


def derive_seed(*parts: Any) -> int:
    """A 31-bit seed that depends on every part and on nothing else.

    Unlike `hash`, it is the same in every process; unlike sums, (1, 2) and (2, 1) differ.
    """
    digest = hashlib.sha256("\x1f".join(map(repr, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices) and choose deterministic algorithms."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  libraries draw from the global generator
    torch.manual_seed(seed)
    # As `use_deterministic_algorithms`, without importing torch's compiler (seconds a process).
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False


def die_with_parent() -> None:
    """Kill this process when its parent dies: it would go on holding cores, devices and locks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _start_worker(threads: int, search_path: Sequence[str], started: Synchronized[int]) -> None:
    die_with_parent()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent alone
    sys.path[:] = list(search_path)
    limit_threads(threads)


# Pools of this process by (workers, threads). Starting a worker and importing the libraries takes
# longer than many a stage, so workers are kept for the next one.
_POOLS: dict[tuple[int, int], ProcessPoolExecutor] = {}


def _process_pool(workers: int, threads: int) -> ProcessPoolExecutor:
    """The pool of spawned processes (OpenMP does not survive a fork)."""
    if (workers, threads) not in _POOLS:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the child imports its libraries
        context = multiprocessing.get_context("spawn")
        _POOLS[workers, threads] = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(threads, list(sys.path), context.Value("i", 0)),
        )
    return _POOLS[workers, threads]


def release_workers() -> None:
    """End the kept worker processes, and with them what they hold of a GPU's memory."""
    while _POOLS:
        _POOLS.popitem()[1].shutdown()


def map_unordered(
    function: Callable[[A], R], items: Iterable[A], *, workers: int, threads: int = 1
) -> Iterator[tuple[A, R]]:
    """Apply `function` to every item, in `workers` processes, yielding (item, result) when done.

    With one worker or one item it runs here, which keeps tracebacks and start-up time short; so it
    does inside a worker, which has a core of its own and no more. The first failure cancels what
    has not begun and is raised when the other running items have ended. A few items a worker are
    under way, so that memory does not grow with their number.
    """
    source = iter(items)
    first = list(islice(source, 2))
    source = chain(first, source)
    if workers == 1 or len(first) <= 1 or multiprocessing.parent_process() is not None:
        for item in source:
            yield item, function(item)
        return
    pool = _process_pool(workers, threads)
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
        del _POOLS[workers, threads]
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def library_versions() -> dict[str, str]:
    """Versions of the libraries whose arithmetic or decoding can change a number."""
    from importlib.metadata import version

    names: tuple[str, ...] = ("torch", "diffusers", "transformers", "pytorchvideo", "mmaction2")
    names += ("timm", "scikit-learn", "decord", "av", "numpy", "opencv-contrib-python-headless")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


def machine(device: torch.device) -> dict[str, Any]:
    """The processor's name, its cores, and the `Precision` that "auto" stands for on `device`:
    another number format gives other generated clips."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    dtype = dtype_of("auto", device)
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "auto_precision": next(name for name, known in _DTYPES.items() if known is dtype),
    }


def commit_of(folder: Path) -> str | None:
    """The git commit checked out at `folder` ("-dirty" appended if files differ), else None.

    What a run has written into `results/` does not count: it made no number.
    """
    import subprocess

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        code = (":(top)", ":(top,exclude)results")
        dirty = bool(git("status", "--porcelain", "--untracked-files=no", "--", *code))
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None
