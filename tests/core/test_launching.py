"""Ranks that are told to stop, ranks on two nodes, and a node that dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from core.errors import UserError
from core.launching import Node, explain, launch
from core.runtime import Runtime
from core.training import CHECKPOINT_NAME, LOG_NAME
from tests.core.each_node import PREFIX
from tests.core.stages import Together, refuse
from tests.core.together import fit_curve

ONE = Runtime(device="cpu")
TWO_NODES = Runtime(nodes=2, on_each_node=PREFIX, device="cpu", sharding="shard")

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


def losses(folder: Path) -> torch.Tensor:
    rows = [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 21))
    return torch.tensor([row["last"] for row in rows])


@pytest.mark.slow
def test_two_nodes_train_as_one_process_and_one_goes_on_when_a_node_dies(tmp_path: Path) -> None:
    """Two launchers of two ranks each, with a part of the network each. Nobody stops the launcher
    that is left (tests/core/each_node.py). Four ranks' checkpoint holds the whole state."""
    alone, runtime = fit_curve(tmp_path / "alone", ONE), TWO_NODES
    with pytest.raises(UserError, match=r"^node \S+: lost in a training on 2 nodes .*last checkp"):
        launch(fit_curve, tmp_path / "nodes", runtime, 15, runtime=runtime, ranks=4)
    assert torch.load(tmp_path / "nodes" / CHECKPOINT_NAME)["step"] == 15
    later = fit_curve(tmp_path / "nodes", ONE)
    assert (losses(tmp_path / "alone") - losses(tmp_path / "nodes")).abs().max() < 1e-5
    for one, other in zip(alone.parameters(), later.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("reports", "error", "message"),
    [
        ((["", "RuntimeError: closed"], ["clips: none", ""]), UserError, r"^clips: none$"),
        ((["", "RuntimeError: closed"], None), UserError, r"^node b: lost in a training"),
        ((["", "RuntimeError: closed"],), UserError, r"^runtime\.nodes 2: only 1 began \(a\)"),
        ((["", "E: one"], ["", "E: two"]), RuntimeError, r"2 nodes failed: a: E: one; b: E: two$"),
    ],
)
def test_the_cause_is_named_not_what_followed(
    reports: tuple[list[str] | None, ...], error: type[Exception], message: str
) -> None:
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    for host, report in zip("ab", reports, strict=False):
        node = Node(store, host)
        if report is not None:
            node.end(*report)
    with pytest.raises(error, match=message):
        explain(store, 2)


def test_ranks_that_nodes_cannot_share_are_one_line() -> None:
    with pytest.raises(UserError, match=r"^runtime\.nodes 2: not a divisor of the 3 ranks$"):
        launch(refuse, "never", runtime=Runtime(nodes=2), ranks=3)
    missing = Runtime(nodes=2, on_each_node="no-such-launcher {nodes}")
    with pytest.raises(UserError, match=r"^runtime\.nodes 2: .*no-such-launcher.*cluster\.max_no"):
        launch(refuse, "never", runtime=missing, ranks=2)
    idle = Runtime(nodes=2, on_each_node="true {nodes}")
    with pytest.raises(UserError, match=r"^runtime\.nodes 2: only 0 began \(none\)"):
        launch(refuse, "never", runtime=idle, ranks=2)


def test_a_port_that_is_taken_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("MASTER_PORT", port)
        with pytest.raises(UserError, match=rf"^MASTER_ADDR \S+, MASTER_PORT {port}: .*free port"):
            launch(refuse, "never", runtime=TWO_NODES, ranks=2)
