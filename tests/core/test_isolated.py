"""Calls into a process of their own: results, hangs, crashes, and what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from core.errors import UnreadableVideo
from core.isolated import LIMIT_NAME, Isolated, NoAnswer
from core.runtime import Runtime
from core.workers import map_unordered, release_workers
from tests.core.isolated_functions import noise

ROOT = Path(__file__).parents[2]
MODULE = "tests.core.isolated_functions"


@pytest.fixture
def isolated() -> Iterator[Isolated]:
    process = Isolated(MODULE)
    yield process
    process.close()


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_NAME, "0.4")


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_values_and_arrays_come_back_from_one_other_process(isolated: Isolated) -> None:
    assert isolated.call("echo", {"a": (1, None)}) == {"a": (1, None)}
    array = isolated.call("noise", 3_000_000)  # more than a socket holds
    np.testing.assert_array_equal(array, noise(3_000_000))
    array[0] = 1  # and it is ours
    assert isolated.call("where") == isolated.call("where") != os.getpid()


def test_errors_of_the_user_are_raised_here_and_other_faults_with_their_traceback(
    isolated: Isolated,
) -> None:
    with pytest.raises(UnreadableVideo, match=r"a\.mp4: it is a test"):
        isolated.call("refuse")
    with pytest.raises(RuntimeError, match=r"in fail\n(.|\n)*KeyError: 'a fault of ours'"):
        isolated.call("fail")
    assert isolated.call("echo", 1) == 1


@pytest.mark.usefixtures("limit")
def test_a_hang_in_native_code_is_ended_and_leaves_no_process(
    isolated: Isolated, tmp_path: Path
) -> None:
    start = time.monotonic()
    with pytest.raises(NoAnswer, match=r"^no progress within 0\.4 s$"):
        isolated.call("hang", tmp_path / "pid")
    assert time.monotonic() - start < 30
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert isolated.call("echo", 2) == 2


@pytest.mark.usefixtures("limit")
def test_progress_renews_the_limit(isolated: Isolated) -> None:
    assert isolated.call("take_time", 12, 0.1) == 12


def test_a_crash_is_told_and_the_next_call_works(isolated: Isolated) -> None:
    with pytest.raises(NoAnswer, match=r"crashed \(SIGSEGV\)"):
        isolated.call("crash")
    with pytest.raises(NoAnswer, match=r"crashed \(exit code 3\)"):
        isolated.call("leave", 3)
    assert isolated.call("echo", 3) == 3


def test_a_process_that_was_killed_between_two_calls_is_replaced(isolated: Isolated) -> None:
    pid = isolated.call("where")
    os.kill(pid, signal.SIGKILL)
    assert isolated.call("where") != pid


def test_an_interrupted_call_does_not_give_its_answer_to_the_next(isolated: Isolated) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    assert isolated.call("echo", 4) == 4  # it is running
    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            isolated.call("take_time", 50, 0.1)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert isolated.call("echo", 5) == 5


def test_threads_take_turns(isolated: Isolated) -> None:
    results: list[bool] = []

    def work(number: int) -> None:
        results.extend(isolated.call("echo", number) == number for _ in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


_IN_WORKER = Isolated(MODULE)


def hang_in_worker(note: Path) -> tuple[str, int]:
    with pytest.raises(NoAnswer) as raised:
        _IN_WORKER.call("hang", note)
    return str(raised.value), _IN_WORKER.call("where")


@pytest.mark.usefixtures("limit")
def test_it_works_in_worker_processes_and_ends_with_them(tmp_path: Path) -> None:
    release_workers()  # those of other tests have another limit
    notes = [tmp_path / "a", tmp_path / "b"]
    found = dict(map_unordered(hang_in_worker, notes, workers=2))
    assert {reason for reason, _ in found.values()} == {"no progress within 0.4 s"}
    pids = [pid for _, pid in found.values()]
    assert all(is_running(pid) for pid in pids)
    release_workers()
    assert wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_a_hang_does_not_outlive_an_owner_that_was_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        f"from pathlib import Path; from core.isolated import Isolated; "
        f"Isolated({MODULE!r}).call('hang', Path({str(note)!r}))"
    )
    environment = {**os.environ, LIMIT_NAME: "3"}
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    assert wait_until(lambda: note.is_file() and note.read_text() != "", 60)
    pid = int(note.read_text())
    assert is_running(pid)
    owner.kill()
    owner.wait()
    assert wait_until(lambda: not is_running(pid))


def test_the_limit_is_machinery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT_NAME, raising=False)
    Runtime(decode_limit_s=7.5).apply()
    assert os.environ[LIMIT_NAME] == "7.5"
    with pytest.raises(ValueError, match="decode_limit_s"):
        Runtime(decode_limit_s=0)
