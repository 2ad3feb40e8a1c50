"""Ranks that are told to stop, by a person or by a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.core.stages import Together

CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
from tests.core.stages import Together
Together(infra={"folder": sys.argv[1]}).run()
"""


@pytest.mark.slow
def test_ranks_that_were_told_to_stop_can_start_again(tmp_path: Path) -> None:
    stage = Together(infra={"folder": str(tmp_path)})
    root = Path(__file__).parents[2]
    for told in (signal.SIGTERM, signal.SIGINT):
        for begun in stage.folder.glob("rank-*.txt"):
            begun.unlink()
        with subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path)],
            cwd=root,
            env={**os.environ, "SECONDS_PER_STEP": "100"},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while len(list(stage.folder.glob("rank-*.txt"))) < 2 and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(told)
            _, printed = process.communicate(timeout=60)
        assert process.returncode != 0
        assert told is signal.SIGTERM or "KeyboardInterrupt" in printed
    assert stage.run() == {"files": 2}
