"""Errors a user can cause and cure; the command line turns them into one line and exit code 2."""

from __future__ import annotations

import difflib
import os
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


def exit_code(command: Callable[[], object]) -> int:
    """Run a command: 0 if it succeeds, 2 if the user's input is wrong, 130 if interrupted.

    One line on stderr says what is wrong; any other exception is our fault and is not caught.
    """
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
    return 0


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """A closing hint for an error message: the nearest known name, or the list of them."""
    names = {str(name).casefold(): str(name) for name in known}
    near = difflib.get_close_matches(str(value).casefold(), names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {names[near[0]]!r}?"
    return f"known: {', '.join(sorted(names.values()))}"
