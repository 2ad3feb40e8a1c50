"""How a stage runs (never what it computes): seeds, device, threads, processes."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import random
import sys
from pathlib import Path
from typing import Any, Literal

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
    """Ranks that train one generator together, one a GPU (`core/distributed.py`). Sums are in
    another order then. All else uses every GPU whatever this is."""
    classifier_processes: int = pydantic.Field(default=1, ge=1)
    """Ranks that train one classifier together; with 1, each GPU trains a cell of its own."""
    nodes: int = pydantic.Field(default=1, ge=1)
    """Machines that the ranks of a training are spread over, evenly. A job has what it needs, up to
    `cluster.max_nodes`."""
    on_each_node: str = "srun --nodes={nodes} --ntasks-per-node=1 --kill-on-bad-exit=1"
    """What starts a command once on each of so many nodes; the command's words follow."""
    gpu_gb: float | None = pydantic.Field(default=None, gt=0)
    """Memory of each GPU of the machine that the plan is for; null: what the GPUs here have."""
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

    def lanes(self, ranks: int = 1) -> int:
        """How many trainings of `ranks` ranks, samplers or encoders run side by side: a rank has a
        worker's core on a CPU, else a GPU."""
        cuda = self.torch_device().type == "cuda"
        places = torch.cuda.device_count() if cuda else self.workers
        return max(1, places // ranks)

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
