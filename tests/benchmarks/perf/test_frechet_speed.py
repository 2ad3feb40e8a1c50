"""The script measures what it says; its times are not tested, its memory and its oracle are."""

from benchmarks.perf.frechet import compare, peak_mib


def test_both_ways_agree_and_memory_does_not_grow_with_clips() -> None:
    found = compare(count=128, dimension=24, rounds=1)
    assert found["relative_difference"] < 1e-6
    assert found["seconds"]["ours"] >= 0 and found["times_as_fast"] > 0
    assert peak_mib(2000, 24) < 1.1 * peak_mib(200, 24)
