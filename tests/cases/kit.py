"""What a case works with: its input, made by its maker, and the commands as a user types them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT_S = 1200.0  # of one command
START_S = 60.0  # of a server


class Skipped(Exception):
    """The case cannot be run here, for this reason."""


@dataclass(frozen=True)
class Done:
    """A command that has ended. peak_mb: resident memory of its largest process."""

    code: int
    out: str
    err: str
    peak_mb: float

    def line(self, *, at_once: bool = True) -> str:
        """The line that says why a command refuses its input, with exit code 2.

        at_once: it is the only one on stderr; otherwise it comes last, after progress.
        """
        lines = self.err.strip().splitlines()
        assert self.code == 2, f"exit code {self.code}: {self.err[-2000:]}"
        assert lines[-1].startswith("error: "), self.err[-2000:]
        others = [line for line in lines[:-1] if at_once or line.startswith(("error", "Trace"))]
        assert not others, self.err[-2000:]
        return lines[-1]

    def fine(self) -> Done:
        """Itself, if it has succeeded."""
        assert self.code == 0, f"exit code {self.code}: {self.err[-2000:]}"
        return self


@dataclass(frozen=True)
class Kit:
    """maker: the case's folder. work: an empty folder of its own."""

    maker: Path
    work: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def input(self) -> Path:
        """Where the maker writes."""
        return self.work / "input"

    @property
    def results(self) -> Path:
        """Where the commands write."""
        return self.work / "results"

    def make(self, *words: str, before: str = "") -> None:
        """Let the maker write the input.  Args: before: code that goes first, in its process: names
        that the maker imports and that have moved since it was written."""
        first = f"import runpy, sys\nsys.argv.pop(0)\n{before}\n"
        code = first + "runpy.run_path(sys.argv[0], run_name='__main__')"
        done = self.python("-c", code, str(self.maker / "make.py"), str(self.input), *words)
        assert done.code == 0, f"the maker failed: {done.err[-2000:]}"

    def benchmark(self, *words: object, **environment: str) -> Done:
        """`run_benchmark.py --config smoke --results RESULTS ...`"""
        common = ("run_benchmark.py", "--config", "smoke", "--results", str(self.results))
        return self.python(*common, *map(str, words), **environment)

    def python(self, *words: str, **environment: str) -> Done:
        """A command of this environment's Python in the project's root."""
        return self.command(sys.executable, *words, **environment)

    def command(self, *words: str, **environment: str) -> Done:
        """Any command in the project's root; it is ended after `LIMIT_S`."""
        self.work.mkdir(parents=True, exist_ok=True)
        out, err = self.work / "stdout", self.work / "stderr"
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **self.environment, **environment}
        with out.open("wb") as first, err.open("wb") as second:
            process = subprocess.Popen(
                ["timeout", str(LIMIT_S), *words],
                cwd=ROOT,
                env=variables,
                stdout=first,
                stderr=second,
            )
            _, status, used = os.wait4(process.pid, 0)
        texts = (path.read_bytes().decode(errors="replace") for path in (out, err))
        return Done(os.waitstatus_to_exitcode(status), *texts, used.ru_maxrss / 1024)

    @contextmanager
    def beside(self, script: str, port: str, *words: str) -> Iterator[None]:
        """A server of the case's own, from when it listens at `port` to the end of the block."""
        with subprocess.Popen([sys.executable, script, port, *words]) as server:
            try:
                deadline = time.monotonic() + START_S
                while not _listens(int(port)):
                    assert server.poll() is None and time.monotonic() < deadline, "no server"
                    time.sleep(0.1)
                yield
            finally:
                server.kill()

    def stages(self, kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Folder and result of the finished stages of a kind."""
        for file in sorted((self.results / "cache").glob("*/*/result.json")):
            if file.parts[-3].partition(",")[0].removesuffix(".run").endswith(kind):
                yield file.parent, json.loads(file.read_text(encoding="utf-8"))


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
