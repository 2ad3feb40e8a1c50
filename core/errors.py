"""Errors a user can cause and cure; the command line turns them into one line and exit code 2."""

from __future__ import annotations

import difflib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


class UserError(ValueError):
    """The user's input is wrong: names the field, the value and the cure in one line."""


class UnreadableVideo(UserError):
    """A video file that cannot be decoded (missing, empty, truncated, without a video stream)."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = Path(path), reason
        super().__init__(f"unreadable video {path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        # Exceptions cross process boundaries by pickle, which would replay `args` only.
        return type(self), (self.path, self.reason)


class StageBusy(UserError):
    """Another run holds the stage's folder and the user asked not to wait."""


_ELSEWHERE = "name a folder that you may write to"
_ROOM = "make room, or name a folder on another disk"
_DISK = "check the disk"
CURES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE + " and files that you may read",
    errno.EPERM: _ELSEWHERE,
    errno.EEXIST: "a file is where a folder should be, or the other way round: name another place",
    errno.ENOTDIR: "a file is where a folder should be: name another place",
    errno.EISDIR: "a folder is where a file should be: name another place",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "links that lead to one another: mend them",
    errno.ENOLCK: "the file system gives no locks: name a folder on one that does",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.EIO: _DISK,
    errno.ESTALE: _DISK,
    errno.ENODEV: _DISK,
}
# What libraries make of a full disk where they lose the number: safetensors, torch, numpy.
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed writing"
    r"|inline_container.*unexpected pos \d+ vs \d+|\d+ requested and \d+ written"
)
# What torch says where a GPU's memory or the machine's ends.
_MEMORY = re.compile(
    r"CUDA out of memory\. Tried to allocate [\d.]+ \w+"
    r"|DefaultCPUAllocator: (?:can't allocate|not enough) memory: you tried to allocate \d+ bytes"
)
_LESS = (
    "a training takes less with --set runtime.micro_batch=1, with runtime.sharding=shard over more "
    "runtime.processes, or with ophora.gradient_checkpointing=true"
)


def environment_fault(error: BaseException) -> str | None:
    """What the machine refused (a full disk, a folder of another user's, memory) and the cure in
    one line; None for any other error."""
    if isinstance(error, OSError) and error.errno in CURES:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror}: {CURES[error.errno]}"
    if (said := _MEMORY.search(str(error))) is not None:
        return f"too little memory ({said[0]}): {_LESS}"
    if _FULL.search(str(error)):
        return f"the disk is full ({str(error).splitlines()[0]}): {_ROOM}"
    return None


def exit_code(command: Callable[[], object]) -> int:
    """Run a command: 0 if it succeeds, 2 if the user's input is wrong or the machine refuses to
    write, 130 if interrupted.

    One line on stderr says what is wrong; any other exception is our fault and is not caught.
    Characters that the terminal does not have are replaced (on stderr Python does so itself).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads our output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        fault = environment_fault(error)
        if fault is None:
            raise
        print(f"error: {fault}; what is computed is kept", file=sys.stderr)
        return 2
    return 0


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """A closing hint for an error message: the nearest known name, or the list of them."""
    names = {str(name).casefold(): str(name) for name in known}
    near = difflib.get_close_matches(str(value).casefold(), names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {names[near[0]]!r}?"
    return f"known: {', '.join(sorted(names.values()))}"
