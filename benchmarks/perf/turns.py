"""Fair timing on a machine that does other things as well: ways take turns, round by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from core.progress import Progress

Way = Callable[[], float]  # does one round's work; returns seconds a clip or a step
Seconds = dict[str, list[float]]  # of every way, one number a round


def take_turns(ways: dict[str, Way], rounds: int, description: str) -> Seconds:
    """All ways in turn, every second round backwards; a first round does not count."""
    seconds: Seconds = {name: [] for name in ways}
    order = list(ways)
    with Progress(description, 1 + rounds, "rounds") as progress:
        for number in range(1 + rounds):
            for name in order:
                value = ways[name]()
                if number:
                    seconds[name].append(value)
            order.reverse()
            progress.advance()
    return seconds


def speed_ratio(seconds: Seconds, ours: str, other: str) -> float:
    """How many times as fast `ours` is: the median of the rounds' own ratios, since what else the
    machine does changes more from round to round than inside one."""
    pairs = zip(seconds[ours], seconds[other], strict=True)
    return round(statistics.median(slower / faster for faster, slower in pairs), 3)


def clips_per_s(seconds: Seconds, clips: int) -> dict[str, float]:
    """Medians, for ways whose unit is that many clips."""
    return {name: round(clips / statistics.median(each), 2) for name, each in seconds.items()}


def per_unit(
    work: Callable[[], int],
    now: Callable[[], float] = time.perf_counter,
    warm_up: Callable[[], object] | None = None,
) -> Way:
    """Seconds of `work` divided by the number of clips or steps that it returns.

    warm_up: what goes before and does not count, for ways whose data another way has just pushed
    out of the processor's caches.
    """

    def way() -> float:
        if warm_up is not None:
            warm_up()
        start = now()
        units = work()
        return (now() - start) / units

    return way
