"""Work in other processes: what each sees, how failures and kills end."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from core.errors import UnreadableVideo
from core.runtime import Runtime
from core.video import read_span
from core.workers import gpus_of, map_unordered, release_workers, visible_gpus

ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signal is Linux's")


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
        "from core.workers import map_unordered\n"
        "from tests.core.test_workers import write_pid_and_sleep\n"
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


# --- GPUs


def seen_gpus(number: int) -> str:
    time.sleep(0.3)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_a_worker_sees_gpus_that_no_other_has() -> None:
    """A training of 2 ranks on a node of 8 must not meet the next one's on GPUs 0 and 1."""
    eight = [str(number) for number in range(8)]
    shares = [gpus_of(number, 2, eight) for number in range(4)]
    assert shares == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"]]
    assert [gpus_of(number, 1, ["MIG-a", "MIG-b"]) for number in range(3)] == [
        ["MIG-a"], ["MIG-b"], ["MIG-a"],
    ]  # fmt: skip
    assert gpus_of(1, 8, ["0", "1"]) == ["0", "1"]


def test_workers_are_told_their_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    release_workers()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,6,7")
    assert visible_gpus() == ["4", "5", "6", "7"]
    try:
        found = map_unordered(seen_gpus, range(6), workers=2, ranks=2)
        assert {gpus for _, gpus in found} == {"4,5", "6,7"}
    finally:
        release_workers()


def test_lanes_are_what_ranks_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding, synthesis and cells use every GPU, whatever a training uses."""
    runtime = Runtime(processes=8, workers=6, device="cpu")
    assert [runtime.lanes(ranks) for ranks in (1, 2, 4, 8)] == [6, 3, 1, 1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    node = Runtime(processes=8, device="cuda")
    assert (node.lanes(), node.lanes(node.processes), node.lanes(2)) == (8, 1, 4)
