"""The Inception Score against torchmetrics and closed forms."""

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore

from benchmarks.metrics.inception_score import inception_scores, score_influences, split_count
from benchmarks.metrics.intervals import mean_interval


def test_score_equals_torchmetrics() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (120, 9)))
    oracle = InceptionScore(feature=torch.nn.Identity(), splits=4)
    oracle.features = [logits]
    torch.manual_seed(5)
    mean, std = oracle.compute()
    torch.manual_seed(5)  # the oracle shuffles first
    shuffled = logits[torch.randperm(120)].softmax(dim=1).numpy()
    ours = inception_scores(shuffled, splits=4)
    assert ours.mean() == pytest.approx(float(mean), rel=1e-6)
    assert ours.std(ddof=1) == pytest.approx(float(std), rel=1e-6)


def test_closed_forms() -> None:
    sure = np.eye(7).repeat(3, axis=0)
    assert inception_scores(sure, 1) == pytest.approx([7])  # sure, and every class equally often
    assert inception_scores(sure[:3], 1) == pytest.approx([1])  # collapsed to one class
    assert inception_scores(np.full((10, 7), 1 / 7), 2) == pytest.approx([1, 1])  # never sure
    assert [split_count(n) for n in (2, 256, 1000, 2048, 50_000)] == [1, 1, 5, 10, 10]


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        inception_scores(np.ones((4, 3)), 1)
    with pytest.raises(ValueError, match="5 splits of 4"):
        inception_scores(np.full((4, 2), 0.5), 5)


def draw(seed: int, count: int = 240) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (count, 9))
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def test_an_influence_is_what_a_clip_s_weight_does_to_the_score() -> None:
    rows, more = draw(0, 40), 200
    score = float(inception_scores(rows, 1).mean())
    heavier = np.concatenate([np.repeat(rows, more, axis=0), rows[:1]])
    moved = (float(inception_scores(heavier, 1).mean()) - score) * (more * len(rows) + 1)
    assert score_influences(rows, 1)[0] == pytest.approx(moved, rel=0.01)
    halves = score_influences(rows, 2)
    assert halves[:20] == pytest.approx(score_influences(rows[:20], 1))


def test_an_interval_is_as_wide_as_the_score_varies() -> None:
    draws = [draw(seed) for seed in range(60)]
    values = [float(inception_scores(rows, 1).mean()) for rows in draws]
    ends = [mean_interval(score_influences(rows, 1), 0.0) for rows in draws]
    reach = np.mean([high for _, high in ends])
    assert reach == pytest.approx(1.96 * np.std(values), rel=0.25)
