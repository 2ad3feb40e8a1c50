"""Distances against references, closed forms and what they are meant to say."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from benchmarks.metrics.clip_score import (
    class_probabilities,
    mean_embedding_scores,
    mean_frame_scores,
)
from benchmarks.metrics.frechet import Gaussian, frechet_distance, gaussian_of
from benchmarks.metrics.kernel import jedi_mmd, polynomial_mmd, subset_mmd, subset_size


def features(count: int, dim: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1.0, (count, dim)) @ rng.normal(size=(dim, dim)) / dim**0.5


@pytest.mark.parametrize("count", [300, 20])  # more and fewer clips than the 40 dimensions
def test_frechet_equals_torchmetrics(count: int) -> None:
    real, fake = features(count, 40, 0), features(count, 40, 1, shift=0.3)
    tensors = [torch.from_numpy(x) for x in (real, fake)]
    moments = [m for x in tensors for m in (x.mean(0), torch.cov(x.T))]
    expected = float(_compute_fid(*moments))
    ours = frechet_distance(gaussian_of([real]), gaussian_of([fake]))
    assert ours == pytest.approx(expected, rel=1e-6)


def test_frechet_of_diagonal_gaussians_has_a_closed_form() -> None:
    a = Gaussian(np.array([0.0, 0.0]), np.diag([4.0, 9.0]), 10)
    b = Gaussian(np.array([3.0, 4.0]), np.diag([1.0, 1.0]), 10)
    assert frechet_distance(a, b) == pytest.approx(25 + (2 - 1) ** 2 + (3 - 1) ** 2)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))


def test_frechet_of_equal_sets_is_zero_and_never_negative() -> None:
    for count in (8, 30, 200):
        stats = gaussian_of([features(count, 32, count)])
        assert 0.0 <= frechet_distance(stats, stats) < 1e-6


def test_streamed_statistics_equal_those_of_the_whole() -> None:
    whole = features(1000, 16, 3, shift=100.0)
    parts = gaussian_of(np.array_split(whole, [1, 7, 500, 500]))
    assert parts.count == 1000
    np.testing.assert_allclose(parts.mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, np.cov(whole, rowvar=False), rtol=1e-9, atol=1e-9)


def test_statistics_need_two_features() -> None:
    with pytest.raises(ValueError, match="at least two"):
        gaussian_of([np.zeros((1, 3))])


def test_kernel_distance_equals_torchmetrics() -> None:
    real, fake = features(70, 24, 5), features(70, 24, 6, shift=0.4)
    expected = float(poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)))
    assert polynomial_mmd(real, fake) == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_is_unbiased() -> None:
    """The mean over many small equal sets is zero, that of the Frechet distance is not."""
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(12, 8)), rng.normal(size=(12, 8))) for _ in range(400)]
    kernel = np.array([polynomial_mmd(x, y) for x, y in pairs])
    assert abs(kernel.mean()) < 3 * kernel.std() / len(pairs) ** 0.5
    frechet = [frechet_distance(gaussian_of([x]), gaussian_of([y])) for x, y in pairs]
    assert np.mean(frechet) > 1.0


def test_subsets_equal_torchmetrics_on_the_same_subsets() -> None:
    real, fake = features(90, 24, 7), features(80, 24, 8, shift=0.4)
    ours = subset_mmd(real, fake, size=30, subsets=5, seed=3)
    rng = np.random.default_rng(3)
    for value in ours:
        chosen = [torch.from_numpy(x[rng.choice(len(x), 30, replace=False)]) for x in (real, fake)]
        assert value == pytest.approx(float(poly_mmd(*chosen)), rel=1e-6)
    np.testing.assert_array_equal(ours, subset_mmd(real, fake, size=30, subsets=5, seed=3))
    assert ours.std() > 0
    assert [subset_size(n) for n in (2, 256, 2048, 5000)] == [2, 128, 1000, 1000]
    with pytest.raises(ValueError, match="subsets of 81"):
        subset_mmd(real, fake, size=81)


def test_jedis_distance_is_that_of_second_moments() -> None:
    """With the kernel (x.y / D)^2 the biased discrepancy is |E xx^T - E yy^T|^2 / D^2."""
    real, fake = features(40, 12, 9), features(30, 12, 10, shift=0.5)
    moments = [x.T @ x / len(x) for x in (real, fake)]
    expected = 100 * ((moments[0] - moments[1]) ** 2).sum() / 12**2
    assert jedi_mmd(real, fake) == pytest.approx(expected, rel=1e-9)
    assert jedi_mmd(real, real) == pytest.approx(0, abs=1e-9)
    assert jedi_mmd(real, -real) == pytest.approx(0, abs=1e-9)  # blind to signs: no linear term


def test_clip_score_variants_on_known_angles() -> None:
    """Two frames at 0 and 90 degrees from the text: mean embedding at 45, mean of 1 and 0."""
    frames = np.array([[[2.0, 0.0], [0.0, 5.0]]])  # lengths must not matter
    texts = np.array([[3.0, 0.0]])
    assert mean_embedding_scores(frames, texts) == pytest.approx([100 / 2**0.5])
    assert mean_frame_scores(frames, texts) == pytest.approx([50.0])


def test_class_probabilities_on_known_angles() -> None:
    """Two texts a class count as their mean direction, frames too."""
    frames = np.array([[[1.0, 1.0], [4.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]])
    texts = [np.array([[9.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 7.0]]), None]
    away = np.exp(2 * (1 / 2**0.5 - 1))
    expected = [1 / (1 + away), away / (1 + away), 0]
    assert class_probabilities(frames, texts, 2.0) == pytest.approx(np.array([expected] * 2))


def test_clip_score_clips_negative_cosines_at_zero() -> None:
    frames, texts = np.array([[[-1.0, 0.0], [1.0, 0.0]]]), np.array([[1.0, 0.0]])
    assert mean_frame_scores(frames, texts) == pytest.approx([50.0])
    assert mean_embedding_scores(frames[:, :1], texts) == pytest.approx([0.0])
