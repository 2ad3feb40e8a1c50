import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import pydantic
import pytest
import torch

from core.errors import UnreadableVideo
from core.runtime import (
    Runtime,
    commit_of,
    derive_seed,
    library_versions,
    limit_threads,
    machine,
    map_unordered,
    seed_everything,
)
from core.video import read_span

ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signal is Linux's")


# --- seeds


def test_derive_seed_never_changes() -> None:
    # Stored results depend on these values: a change here changes every table.
    assert derive_seed(0) == 863368751
    assert derive_seed("ophora", 3, 17) == 1119204979


def test_derive_seed_depends_on_every_part_and_its_place() -> None:
    seeds = [derive_seed(*parts) for parts in [(1, 2), (2, 1), (12,), ("1", 2), (1, 2, 0), ()]]
    assert len(set(seeds)) == len(seeds)
    many = [derive_seed("x", label, index) for label in range(52) for index in range(100)]
    assert len(set(many)) == len(many)
    assert min(many) >= 0 and max(many) < 2**31


def test_seed_everything_repeats_all_three_generators() -> None:
    def draw() -> tuple[float, float, float]:
        seed_everything(2**31 - 1)
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    first = draw()
    assert draw() == first
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    seed_everything(1)
    assert float(torch.rand(())) != first[2]


# --- threads and device


def test_threads_are_limited_everywhere() -> None:
    try:
        Runtime(threads=2).apply()
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
        assert os.environ["OMP_NUM_THREADS"] == "2"
    finally:
        limit_threads(1)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)


@pytest.mark.parametrize("changes", [{"threads": 0}, {"workers": 0}, {"device": "tpu"}, {"gpu": 1}])
def test_runtime_is_validated(changes: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Runtime.model_validate(changes)


def test_device() -> None:
    assert Runtime(device="cpu").torch_device() == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert Runtime().torch_device().type == expected


# --- many processes


def square_and_place(number: int) -> tuple[int, int, int]:
    return number**2, os.getpid(), torch.get_num_threads()


def fail_on_zero(path_and_number: tuple[str, int]) -> None:
    folder, number = path_and_number
    if number == 0:
        read_span(Path(folder) / "absent.mp4")
    time.sleep(0.1)
    (Path(folder) / f"ran-{number}").touch()


def kill_self(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_pid_and_sleep(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def test_map_in_this_process() -> None:
    results = list(map_unordered(square_and_place, [3, 4], workers=1))
    assert [(item, value[0]) for item, value in results] == [(3, 9), (4, 16)]
    assert {value[1] for _, value in results} == {os.getpid()}
    assert list(map_unordered(square_and_place, [], workers=4)) == []
    assert next(map_unordered(square_and_place, [5], workers=4))[1][1] == os.getpid()


def test_map_in_other_processes() -> None:
    results = dict(map_unordered(square_and_place, range(20), workers=2))
    assert {item: value[0] for item, value in results.items()} == {n: n**2 for n in range(20)}
    assert os.getpid() not in {value[1] for value in results.values()}
    assert {value[2] for value in results.values()} == {1}  # threads a worker


def test_first_failure_cancels_the_rest_and_keeps_its_type(tmp_path: Path) -> None:
    items = [(str(tmp_path), number) for number in range(60)]
    with pytest.raises(UnreadableVideo) as raised:
        list(map_unordered(fail_on_zero, items, workers=2))
    assert raised.value.path == tmp_path / "absent.mp4"
    assert len(list(tmp_path.glob("ran-*"))) < 30


def test_a_killed_worker_is_an_error_not_a_hang() -> None:
    with pytest.raises(BrokenProcessPool):
        list(map_unordered(kill_self, [1, 2, 3], workers=2))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@linux_only
def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from core.runtime import map_unordered\n"
        "from tests.core.test_runtime import write_pid_and_sleep\n"
        "if __name__ == '__main__':\n"
        "    list(map_unordered(write_pid_and_sleep, sys.argv[1:], workers=2))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    files = [tmp_path / "pid-1", tmp_path / "pid-2"]
    parent = subprocess.Popen(
        [sys.executable, str(script), *map(str, files)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    pids = [int(file.read_text()) for file in files]
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


# --- provenance


def test_library_versions() -> None:
    versions = library_versions()
    assert versions["torch"] == torch.__version__.split("+")[0]
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"decord", "av", "diffusers", "opencv-contrib-python-headless"} <= set(versions)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_machine(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: precision == "bf16")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    found = machine(torch.device("cpu"))
    assert found["processor"] and found["cores"] == os.cpu_count()
    assert found["auto_precision"] == precision


def test_commit_of(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table").write_text("1")
    git("add", "a", "results")
    git("commit", "--quiet", "--message", "a")
    commit = commit_of(tmp_path)
    assert commit is not None and len(commit) == 40
    (tmp_path / "b").write_text("untracked files do not count")
    (tmp_path / "results" / "table").write_text("nor do results")
    assert commit_of(tmp_path) == commit == commit_of(tmp_path / "results")
    (tmp_path / "a").write_text("2")
    assert commit_of(tmp_path) == f"{commit}-dirty"


@linux_only
def test_large_blocks_are_used_again() -> None:
    """Page faults of 20 tensors of 64 MB after 20 others, in a process of its own."""
    code = (
        "import resource, sys, torch\n"
        "from core.runtime import Runtime\n"
        "if sys.argv[1] == 'kept': Runtime().apply()\n"
        "for _ in range(20): torch.ones(16_000_000)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): torch.ones(16_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", code, how], cwd=ROOT, capture_output=True, check=True
            ).stdout
        )
        for how in ("kept", "handed back")
    }
    assert faults["kept"] < 0.1 * faults["handed back"]


def test_no_library_has_more_threads_than_asked_for() -> None:
    """numpy's BLAS is loaded before the limit, scipy's after it."""
    code = (
        "import numpy, threadpoolctl; from core.runtime import limit_threads; limit_threads(1);"
        "import scipy.linalg, sklearn.metrics, torch;"
        "pools = threadpoolctl.threadpool_info();"
        "assert {'openblas', 'openmp'} <= {pool['internal_api'] for pool in pools};"
        "print(torch.get_num_threads(), *(pool['num_threads'] for pool in pools))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"1"}
