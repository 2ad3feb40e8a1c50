"""Functions of a module, called in a process of their own: a call that hangs or crashes takes down
that process and nothing else.

Native code cannot be interrupted from within its process, so a damaged file could hold a run up for
ever. The kernel's own timer ends the process; it is started anew by the next call.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from core.errors import UserError

LIMIT_NAME = "OPHORA_DECODE_LIMIT_S"  # in the environment, which worker processes inherit
LIMIT_S = 20.0  # an open, a packet or a picture takes milliseconds; twice this is under a minute
ATTEMPTS = 2  # a stopped terminal or a full memory may have been the cause
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
BUFFER_BYTES = 1 << 17  # a small clip goes through the socket at one stroke
_PROTOCOL = 5  # sends an array's bytes as they are

_limit_s = 0.0  # of the call that this process serves; 0 in any other process


class NoAnswer(Exception):
    """A call never came back: it made no progress within the limit, or its process crashed."""


def alive() -> None:
    """Say from inside a call that it makes progress: its time starts anew."""
    if _limit_s:
        signal.setitimer(signal.ITIMER_REAL, _limit_s)


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """No limit inside a call, for what a file cannot prolong: the import of a library."""
    if _limit_s:
        signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    alive()


class Isolated:
    """A process that calls the functions of `module`, started by the first call.

    Any thread may call; calls take turns. The process ends with its owner, and within the limit if
    its owner was killed while it hung.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Any = None  # a file over the socket, for reading and writing
        self._owner = 0

    def call(self, function: str, *arguments: Any) -> Any:
        """What `module.function(*arguments)` returns; arguments and result travel by pickle.

        Raises: NoAnswer; UserError: as the function raised it; RuntimeError: with the traceback of
        any other failure.
        """
        limit_s = float(os.environ.get(LIMIT_NAME, LIMIT_S))
        with self._lock:
            for attempt in range(ATTEMPTS):
                try:
                    done, value = self._ask((function, arguments, limit_s))
                    break
                except NoAnswer:
                    if attempt == ATTEMPTS - 1:
                        raise
        if done:
            return value
        raise value if isinstance(value, Exception) else RuntimeError(value)

    def _ask(self, request: tuple[str, tuple[Any, ...], float]) -> tuple[bool, Any]:
        if self._process is None or self._owner != os.getpid():
            self._start()
        try:
            pickle.dump(request, self._pipe, _PROTOCOL)
            self._pipe.flush()
            answer: tuple[bool, Any] = pickle.load(self._pipe)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise NoAnswer(_cause(self._end(), request[2])) from None
        except BaseException:  # interrupted: the answer must not be taken for the next call's
            self.close()
            raise
        return answer

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        code = f"from core.isolated import serve; serve({self._module!r}, {theirs.fileno()})"
        places = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": places},
            )
        with ours:
            self._pipe = ours.makefile("rwb", BUFFER_BYTES)
        self._owner = os.getpid()
        atexit.register(self.close)

    def close(self) -> None:
        """End the process, if there is one of ours."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._end()

    def _end(self) -> int:
        """Forget the process; how it ended."""
        assert self._process is not None
        process, self._process = self._process, None
        with contextlib.suppress(OSError):  # what was not sent is of no use any more
            self._pipe.close()
        atexit.unregister(self.close)
        return process.wait()


def _cause(code: int, limit_s: float) -> str:
    if code == -signal.SIGALRM:
        return f"no progress within {limit_s:g} s"
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the decoder crashed ({name})"


def serve(module: str, descriptor: int) -> None:
    """Be the process: answer calls until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the owner
    functions = importlib.import_module(module)
    with socket.socket(fileno=descriptor) as connection:
        pipe: Any = connection.makefile("rwb", BUFFER_BYTES)
        with contextlib.suppress(EOFError, OSError):
            while True:
                function, arguments, limit_s = pickle.load(pipe)
                answer = _answer(getattr(functions, function), arguments, limit_s)
                _send(answer, pipe)
    os._exit(0)  # nothing here is worth a slow farewell


def _answer(
    function: Callable[..., Any], arguments: tuple[Any, ...], limit_s: float
) -> tuple[bool, Any]:
    global _limit_s
    _limit_s = limit_s
    alive()
    try:
        return True, function(*arguments)
    except UserError as error:
        return False, error
    except Exception:  # travels to the owner, who raises it
        return False, traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _send(answer: tuple[bool, Any], pipe: BinaryIO) -> None:
    pickle.dump(answer, pipe, _PROTOCOL)
    pipe.flush()
