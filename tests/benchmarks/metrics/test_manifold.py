"""Precision, recall, density and coverage: brute force, closed forms and what they mean."""

import numpy as np
import pytest

from benchmarks.metrics import manifold
from benchmarks.metrics.manifold import ManifoldScores, manifold_scores, neighbour_radii


def brute_force(real: np.ndarray, fake: np.ndarray, k: int) -> ManifoldScores:
    """The papers' definitions with one loop a pair."""

    def radius(points: np.ndarray, index: int) -> float:
        others = [np.linalg.norm(points[index] - p) for i, p in enumerate(points) if i != index]
        return float(sorted(others)[k - 1])

    def holds(points: np.ndarray, index: int, point: np.ndarray) -> bool:
        return bool(np.linalg.norm(points[index] - point) <= radius(points, index))

    by_real = np.array([[holds(real, i, y) for y in fake] for i in range(len(real))])
    by_fake = np.array([[holds(fake, j, x) for x in real] for j in range(len(fake))])
    return ManifoldScores(
        precision=by_real.any(axis=0).mean(),
        recall=by_fake.any(axis=0).mean(),
        density=by_real.sum() / (k * len(fake)),
        coverage=by_real.any(axis=1).mean(),
    )


@pytest.mark.parametrize(("k", "chunk"), [(1, 256), (3, 7), (5, 16)])
def test_values_equal_a_brute_force(k: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifold, "CHUNK", chunk)  # also where the last chunk is not full
    rng = np.random.default_rng(k)
    real, fake = rng.normal(size=(40, 6)), rng.normal(1.2, 0.8, (25, 6))
    fake[:3] = real[:3]  # copies, and one clip twice
    fake[4] = fake[5]
    expected = brute_force(real, fake, k)
    assert 0 < expected.precision < 1 and 0 < expected.recall < 1
    assert vars(manifold_scores(real, fake, k)) == pytest.approx(vars(expected), abs=1e-12)


def test_a_collapsed_generator_is_precise_and_does_not_recall() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 4))
    collapsed = manifold_scores(real, rng.normal(0, 0.02, (200, 4)))
    assert collapsed.precision > 0.95 and collapsed.recall < 0.05
    assert collapsed.density > 0.9 and collapsed.coverage < 0.3
    scattered = manifold_scores(real, rng.normal(0, 6, (200, 4)))
    assert scattered.precision < 0.2 and scattered.recall > 0.8
    same = manifold_scores(real, rng.normal(size=(200, 4)))
    assert same.precision > 0.8 and same.recall > 0.8
    assert same.density == pytest.approx(1, abs=0.2) and same.coverage > 0.9


def test_density_resists_an_outlier_that_precision_falls_for() -> None:
    """One real outlier has a huge neighbourhood: fakes near it count as precise, not as dense."""
    rng = np.random.default_rng(1)
    real = np.concatenate([rng.normal(size=(199, 4)), np.full((1, 4), 20.0)])
    fake = rng.normal(10, 0.5, (100, 4))
    scores = manifold_scores(real, fake)
    assert scores.precision == 1 and scores.density == pytest.approx(1 / 5)
    assert scores.coverage == 1 / 200


def test_radii_on_a_line() -> None:
    points = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_allclose(neighbour_radii(points, 1), [1, 1, 2, 4])
    np.testing.assert_allclose(neighbour_radii(points, 3), [7, 6, 4, 7])
    with pytest.raises(ValueError, match="k=4"):
        neighbour_radii(points, 4)
