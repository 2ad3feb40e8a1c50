import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import (
    StageBusy,
    UnreadableVideo,
    UserError,
    did_you_mean,
    environment_fault,
    exit_code,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("ophnet_phse", "did you mean 'ophnet_phase'?"),
        ("SMOKE", "did you mean 'smoke'?"),
        ("zzz", "known: ophnet_phase, smoke"),
    ],
)
def test_did_you_mean(value: str, hint: str) -> None:
    assert did_you_mean(value, ["smoke", "ophnet_phase"]) == hint


def test_every_users_error_can_be_caught_as_one() -> None:
    assert issubclass(UnreadableVideo, UserError) and issubclass(StageBusy, UserError)


def test_unreadable_video_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableVideo("a/b.mp4", "cut off")))
    assert (error.path, error.reason) == (Path("a/b.mp4"), "cut off")
    assert str(error) == "unreadable video a/b.mp4: cut off"


# --- what the machine refuses


def test_a_full_disk_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: Path("/dev/full").write_text("x")) == 2
    assert capsys.readouterr().err == (
        "error: No space left on device: make room, or name a folder on another disk; what is "
        "computed is kept\n"
    )


OF_GPU = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.1 GiB"


def of_cpu() -> RuntimeError:
    """What torch raises here for more memory than there is."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 62, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b: Permission denied: "),
        (FileExistsError(errno.EEXIST, "File exists", "/a"), "a file is where a folder should be"),
        (OSError(errno.ENOLCK, "No locks available"), "gives no locks"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file"), "the disk is full"),
        (RuntimeError("[enforce fail at inline_container.cc:6] . unexpected pos 5 vs 4"), "full"),
        (ValueError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (OSError("1048576 requested and 131056 written"), "the disk is full"),
        (torch.OutOfMemoryError(OF_GPU), "(CUDA out of memory. Tried to allocate 2.50 GiB): a "),
        (RuntimeError(f"a training process failed: OutOfMemoryError: {OF_GPU}"), "micro_batch=1"),
        (of_cpu(), "you tried to allocate 4611686018427387904 bytes): a training takes less"),
    ],
)
def test_what_libraries_say_of_it(error: Exception, part: str) -> None:
    fault = environment_fault(error)
    assert fault is not None and part in fault and "\n" not in fault


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file", "/a"), RuntimeError("shapes differ")]
)
def test_our_own_faults_keep_their_traceback(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert environment_fault(error) is None
    with pytest.raises(type(error)):
        exit_code(fail)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "64 ? 1 ? ?"), ("latin-1", "64 ± 1 ? ?"), ("utf-8", "64 ± 1 Δ –")],
)
def test_a_table_prints_on_any_terminal(encoding: str, shown: str) -> None:
    program = "from core.errors import exit_code; exit_code(lambda: print('64 ± 1 Δ –'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode(encoding).strip() == shown and not done.stderr
