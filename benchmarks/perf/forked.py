"""Commands in forked children of this process: they find the libraries imported, which takes
seconds each time otherwise, and nothing that they do to their process stays.

this process, everything imported -> fork -> the command as a script -> exit code, output, seconds
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from benchmarks.plan import PROJECT_ROOT

ADDRESSES_BYTES = 24 << 30  # of a child: an input must not take the machine's memory
FORESEEN = (0, 2)  # done; the input is wrong
TRACEBACK = "Traceback (most recent call last)"
HUNG = -signal.SIGKILL


@dataclass(frozen=True)
class Ending:
    """How a command ended. code: below 0 for the signal that ended it; output: of both streams."""

    code: int
    seconds: float
    output: str

    @property
    def fault(self) -> str:
        """What a command may never do, "" if it did none of it."""
        if self.code == HUNG:
            return f"killed after {self.seconds:.0f} s: too slow, or out of memory"
        if self.code not in FORESEEN:
            return f"exit code {self.code}"
        if TRACEBACK in self.output:
            return "a traceback"
        refusals = [line for line in self.output.splitlines() if line.startswith("error: ")]
        return "refused without a word" if self.code and not refusals else ""


def run_forked(words: Sequence[str], output: Path, limit_s: float) -> Ending:
    """Run a command: a script of the project or, after "-m", a module, and its arguments.

    It and all that it started are ended after `limit_s` seconds. Call it where no other thread
    runs: a fork takes over the locks that others hold.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    start = time.monotonic()
    pid = os.fork()
    if not pid:
        _be_the_command(list(words), output)
    child = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([child], [], [], limit_s)
    finally:
        os.close(child)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it has left behind as well
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status) if ended else HUNG
    text = output.read_bytes().decode(errors="replace")
    return Ending(code, time.monotonic() - start, text)


def _be_the_command(words: list[str], output: Path) -> NoReturn:
    code = 1
    try:
        os.setsid()
        _forget_handlers()
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(target, stream)
        sys.stdout, sys.stderr = _stream(1, "strict"), _stream(2, "backslashreplace")
        code = _exit_code_of(words)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _forget_handlers() -> None:
    """Signals end the command as they end a process of its own, whatever its parent does at one."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) and number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _stream(number: int, errors: str) -> io.TextIOWrapper:
    file = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(file, "utf-8", errors, line_buffering=True)


def _exit_code_of(words: list[str]) -> int:
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            for name in (words[1], f"{words[1]}.__main__"):
                sys.modules.pop(name, None)  # as in a process of its own: it is run, not imported
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(str(PROJECT_ROOT / words[0]), run_name="__main__")
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)
        return 1
    except BaseException:  # as the interpreter does: printed, and told by the exit code
        traceback.print_exc()
        return 1
    return 0
