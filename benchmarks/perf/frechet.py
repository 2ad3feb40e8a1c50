"""Seconds of the Frechet distance against the matrix square root, and memory of its statistics.

    python -m benchmarks.perf.frechet --count 2048 --dimension 400

Both ways start from the same means and covariances. Memory: the peak while features stream in, for
a number of clips and ten times as many.
"""

from __future__ import annotations

import argparse
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from benchmarks.metrics.encoders import BATCH
from benchmarks.metrics.frechet import Gaussian, frechet_distance, gaussian_of
from benchmarks.perf.turns import per_unit, speed_ratio, take_turns
from core.runtime import Runtime


def batches(count: int, dimension: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """`count` features in batches as a video encoder gives them: correlated and not centred."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(dimension, dimension)) / dimension**0.5
    for start in range(0, count, BATCH):
        rows = rng.normal(0.1 * seed, 1.0, (min(BATCH, count - start), dimension))
        yield (rows @ mixing).astype(np.float32)


def by_square_root(real: Gaussian, generated: Gaussian) -> float:
    """The form of the published scripts: |m1 - m2|^2 + tr(C1 + C2 - 2 sqrtm(C1 C2))."""
    root = scipy.linalg.sqrtm(real.covariance @ generated.covariance).real
    shift = real.mean - generated.mean
    return float(shift @ shift + np.trace(real.covariance + generated.covariance - 2 * root))


def compare(count: int, dimension: int, rounds: int) -> dict[str, Any]:
    """Seconds of both ways in turn, how many times as fast ours is, and how far they differ."""
    sides = [gaussian_of(batches(count, dimension, seed)) for seed in (1, 2)]
    values = {"ours": frechet_distance(*sides), "sqrtm": by_square_root(*sides)}

    def ours() -> int:
        frechet_distance(*sides)
        return 1

    def sqrtm() -> int:
        by_square_root(*sides)
        return 1

    ways = {"ours": per_unit(ours), "sqrtm": per_unit(sqrtm)}
    seconds = take_turns(ways, rounds, "Frechet distance")
    return {
        "count": count,
        "dimension": dimension,
        "seconds": {name: round(float(np.median(each)), 4) for name, each in seconds.items()},
        "times_as_fast": speed_ratio(seconds, "ours", "sqrtm"),
        "relative_difference": abs(values["ours"] / values["sqrtm"] - 1),
    }


def peak_mib(count: int, dimension: int) -> float:
    """Peak of Python's and NumPy's memory while `count` features stream into the statistics."""
    tracemalloc.start()
    gaussian_of(batches(count, dimension, seed=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 2)


def main() -> None:
    """Print the measurements as JSON."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--count", type=int, default=2048)
    command.add_argument("--dimension", type=int, default=400)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--streamed", type=int, default=2000, help="and ten times as many")
    options = command.parse_args()
    Runtime().apply()
    found = compare(options.count, options.dimension, options.rounds)
    streamed = (options.streamed, 10 * options.streamed)
    found["peak_mib"] = {str(count): peak_mib(count, options.dimension) for count in streamed}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
