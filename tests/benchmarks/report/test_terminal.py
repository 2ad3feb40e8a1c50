"""What stands on the terminal: rows that line up, a closing screen, bars that leave no garbage."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from benchmarks.config.files import load_config
from benchmarks.report.terminal import cell_row, final_screen
from benchmarks.tables.build import build_table2
from benchmarks.tables.schema import Tables
from core.progress import CLEAR_LINE
from tests.benchmarks.records import make_record, stage
from tests.benchmarks.scores import arm_of, make_cell
from tests.command import ROOT

# Two processes with a bar each, and their parent's lines between.
TWO_LANES = """
import time
import core.progress
from core.workers import map_unordered

def work(number):
    core.progress.SHARED_INTERVAL_S = 0.05
    with core.progress.Progress(f"training {number}", 10, "steps") as progress:
        for _ in range(10):
            time.sleep(0.03)
            progress.advance()
    return number

if __name__ == "__main__":
    from core.progress import say  # which the processes do without
    say("== start")
    for number, _ in map_unordered(work, range(4), workers=2):
        say(f"done {number}")
"""


def test_rows_of_finished_cells_line_up(tmp_path: Path) -> None:
    rows = [
        cell_row(make_cell(tmp_path, arm, classifier=classifier, accuracy=0.5))
        for arm, classifier in (("Source", "SlowFast"), ("Source + Ophora", "MViTv2"))
    ]
    assert rows[0].startswith("phase      SlowFast  Source  ")
    assert len({(row.index("seed"), row.index("val"), row.index("test")) for row in rows}) == 1


def test_the_closing_screen_says_what_was_made_and_what_is_open(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, arm) for arm in ("Source", "Source + Ophora")]
    table = build_table2(cells, data="OphSim", scale="nano", recipe="r")
    config = load_config("smoke")
    shown = final_screen(
        make_record(config, cells), tmp_path / "smoke", Tables(table), seconds=125.0
    )
    assert shown.startswith("done in 2:05") and str(tmp_path / "smoke" / "report.html") in shown
    assert "table1" not in shown and "left out" not in shown
    assert "benchmarks.audits.leakage ..." in shown and "--seeds 3" in shown
    arms = {("phase", arm_of("Source + Ophora")): "passed"}
    audited = build_table2(cells, data="OphSim", scale="nano", recipe="r", audits=arms)
    more = config.model_copy(update={"seeds": 5})
    lossy = make_record(more, cells, stages=[stage("FrameCache", unreadable=2)])
    shown = final_screen(lossy, tmp_path, Tables(audited), seconds=1.0)
    assert "\nleft out, by stage and cause: FrameCache: unreadable 2.\n" in shown
    assert "leakage" not in shown and "--seeds 3" not in shown and "--compare" in shown


def test_bars_of_two_processes_redraw_in_place_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "lanes.py").write_text(TWO_LANES)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "lanes.py")], stderr=theirs, env=environment
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        seen += chunk
        if not chunk:
            break
    assert process.wait() == 0
    os.close(ours)
    text = seen.decode()
    assert text.count(CLEAR_LINE) > 12  # bars moved
    # What stays on the screen: what follows the last clearing in each line.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    stays = [line.rpartition(CLEAR_LINE)[2] for line in lines]
    assert sorted(line for line in stays if line.startswith("done")) == [
        f"done {number}" for number in range(4)
    ]
    finished = [line for line in stays if line.startswith("training")]
    assert len(finished) == 4 and all("10/10 steps" in line for line in finished)
    assert len(stays) == 1 + 4 + 4
