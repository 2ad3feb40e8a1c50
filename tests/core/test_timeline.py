"""Seconds and pictures, in closed form."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from core.errors import UnreadableVideo
from core.timeline import OutsideVideo, Timeline

PATH = Path("v.mp4")


def constant(num_frames: int, fps: float, tick_s: float = 0.0) -> Timeline:
    """Times as a container rounds them to `tick_s`."""
    times = np.arange(num_frames) / fps
    if tick_s:
        times = np.round(times / tick_s) * tick_s
    return Timeline(PATH, times, num_frames / fps, rate=fps)


def variable() -> Timeline:
    """30 pictures a second for 20 s, then 5."""
    times = np.concatenate([np.arange(600) / 30, 20 + np.arange(100) / 5])
    return Timeline(PATH, times, 40.0)


@pytest.mark.parametrize("fps", [8.0, 12.5, 25.0, 30.0, 30000 / 1001])
@pytest.mark.parametrize("tick_s", [0.0, 1 / 90_000, 1 / 1000])
def test_a_constant_rate_gives_what_the_rate_alone_gives(fps: float, tick_s: float) -> None:
    line = constant(240, fps, tick_s)
    for start_s, end_s in np.random.default_rng(0).uniform(0, 240 / fps, (300, 2)).round(2):
        start_s, end_s = sorted((float(start_s), float(end_s)))
        if start_s == end_s:
            continue
        first = min(round(start_s * fps), 239)
        assert line.span(start_s, end_s) == (first, max(first + 1, min(round(end_s * fps), 240)))


@pytest.mark.parametrize(
    ("start_s", "end_s", "span"),
    [
        (None, None, (0, 80)),
        (1.0, 3.0, (8, 24)),
        (2.0, 2.06, (16, 17)),  # shorter than a picture
        (9.0, 11.0, (72, 80)),  # ends a second after the video
        (9.99, 10.0, (79, 80)),
    ],
)
def test_spans_at_a_constant_rate(
    start_s: float | None, end_s: float | None, span: tuple[int, int]
) -> None:
    assert constant(80, 8.0).span(start_s, end_s) == span


def test_each_span_of_a_variable_rate_holds_its_own_pictures() -> None:
    spans = [variable().span(10.0 * part, 10.0 * part + 10) for part in range(4)]
    assert spans == [(0, 300), (300, 600), (600, 650), (650, 700)]
    assert variable().fps == pytest.approx(17.5)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(10.0, 10.5), (11.0, 12.0), (9.0, 11.01), (0.0, 12.0), (10.0, None)]
)
def test_a_span_outside_the_video_is_an_error(start_s: float, end_s: float | None) -> None:
    with pytest.raises(
        OutsideVideo, match=rf"^v\.mp4: the span from {start_s:g} .*0\.00 to 10\.00 s"
    ):
        constant(80, 8.0).span(start_s, end_s)


def test_the_error_crosses_process_boundaries() -> None:
    error = OutsideVideo(PATH, (1.0, None), (0.0, 0.5))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (OutsideVideo, str(error))


def test_before_a_late_first_picture_there_is_none() -> None:
    line = Timeline(PATH, 5 + np.arange(80) / 8, 15.0)
    assert line.span(6.0, 7.0) == (8, 16)
    assert line.span(0.0, 6.0) == (0, 8)
    assert line.span(4.0, 4.5) == (0, 1)  # within a second of it
    with pytest.raises(OutsideVideo, match=r"from 1 to 3 s .* from 5\.00 to 15\.00 s"):
        line.span(1.0, 3.0)
    assert (line.duration_s, line.fps) == (10.0, 8.0)


def test_what_a_damaged_file_lacks_is_unreadable_and_the_rest_is_not() -> None:
    line = Timeline(PATH, np.arange(80) / 8, 10.0, damage="cut short")
    assert line.span(1.0, 9.5) == (8, 76)
    for start_s, end_s in ((9.0, 10.5), (20.0, 21.0), (None, None)):
        with pytest.raises(UnreadableVideo, match="cut short"):
            line.span(start_s, end_s)


def test_pictures_evenly_spread_in_time() -> None:
    assert constant(80, 8.0).evenly(8, 24, 8.0).tolist() == list(range(8, 24))
    assert constant(80, 4.0).evenly(0, 80, 8.0).tolist() == list(range(80))  # it has no more
    fast = constant(240, 24.0).evenly(24, 96, 8.0)
    assert fast.tolist() == np.linspace(24, 95, 24).round().tolist()
    slow_part = variable().evenly(590, 610, 8.0)  # 1/3 s at 30 fps, 2 s at 5 fps
    assert set(range(600, 610)) <= set(slow_part.tolist()) and len(slow_part) < 20


def test_pictures_in_the_middle_of_each_second() -> None:
    assert constant(24, 8.0).middles(0, 24, 1.0).tolist() == [4, 12, 20]
    assert constant(24, 8.0).middles(3, 5, 1.0).tolist() == [4]
    line = variable()
    times = line.times[line.middles(0, 700, 1.0)]
    np.testing.assert_allclose(times, np.arange(40) + 0.5, atol=0.11)
