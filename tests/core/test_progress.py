import io

import pytest

import core.progress
from core.progress import Progress, track


class Clock:
    """Stands in for time.monotonic; the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(core.progress.time, "monotonic", clock)
    return clock


def test_rate_and_time_left(clock: Clock) -> None:
    progress = Progress("writing", 100, "clips", stream=io.StringIO())
    assert progress.line() == "writing: 0/100 clips, took 0:00"
    clock.now += 10
    progress.advance(20, note="loss 0.5")
    assert progress.line() == "writing: 20/100 clips, 2.0 clips/s, 0:40 left, loss 0.5"
    clock.now += 3590
    progress.advance(80)
    assert progress.line() == "writing: 100/100 clips, 0.0 clips/s, took 1:00:00, loss 0.5"


def test_resumed_units_do_not_count_for_the_rate(clock: Clock) -> None:
    progress = Progress("training", 100, "steps", done=80, stream=io.StringIO())
    clock.now += 5
    progress.advance(10)
    assert progress.line() == "training: 90/100 steps, 2.0 steps/s, 0:05 left"


def test_a_log_gets_few_whole_lines(clock: Clock) -> None:
    log = io.StringIO()
    with Progress("reading", 120, "clips", stream=log) as progress:
        for _ in range(120):
            clock.now += 1
            progress.advance()
    lines = log.getvalue().splitlines()
    assert len(lines) == 120 / core.progress.PLAIN_INTERVAL_S  # the last of them once
    assert lines[0] == "reading: 30/120 clips, 1.0 clips/s, 1:30 left"
    assert lines[-1] == "reading: 120/120 clips, 1.0 clips/s, took 2:00"
    assert "\r" not in log.getvalue() and "\x1b" not in log.getvalue()


def test_a_terminal_gets_one_line_rewritten(clock: Clock) -> None:
    terminal = Terminal()
    with Progress("reading", 3, "clips", stream=terminal) as progress:
        for _ in range(3):
            clock.now += 1
            progress.advance()
    text = terminal.getvalue()
    assert text.count("\n") == 1 and text.endswith("took 0:03\n")
    assert text.count("\r") == 4


def test_track_yields_all_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", total=3, description="cutting", unit="clips")) == ["a", "b", "c"]
    assert "cutting: 3/3 clips" in capsys.readouterr().err


def test_track_reports_where_it_broke_off(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        for item in track([2, 1, 0, 5], total=4, description="dividing"):
            1 / item
    assert "dividing: 2/4 items" in capsys.readouterr().err


def test_a_quiet_one_shows_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("train", 2, "steps", stream=stream, quiet=True) as progress:
        clock.now += 60
        progress.advance()
    assert stream.getvalue() == "" and progress.done == 1


def test_one_unit_has_no_line_in_a_log(clock: Clock) -> None:
    log = io.StringIO()
    with Progress("encode clips", 1, "shards", stream=log) as progress:
        clock.now += 100
        progress.advance()
    assert log.getvalue() == ""
