import os
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydantic
import pytest
import torch

from core.runtime import (
    Runtime,
    commit_of,
    derive_seed,
    library_versions,
    limit_threads,
    machine,
    seed_everything,
)

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
