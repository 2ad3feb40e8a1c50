"""Motion over time, on closed forms and on clips that the simulator draws."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.render import render_clip
from benchmarks.metrics.frechet import frechet_distance, gaussian_of
from benchmarks.metrics.motion import frame_change, frame_consistency


def test_change_of_known_steps() -> None:
    levels = np.array([10, 30, 5, 5], np.uint8)
    clip = np.broadcast_to(levels[:, None, None, None], (4, 2, 3, 3))
    assert frame_change(clip) == pytest.approx((20 + 25 + 0) / 3)  # 30 -> 5 must not wrap round
    assert frame_change(np.stack([clip, clip[:1].repeat(4, axis=0)]))[1] == 0
    with pytest.raises(ValueError, match="two frames"):
        frame_change(clip[:1])


def test_consistency_of_known_angles() -> None:
    turning = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 1.0]])  # 90 degrees, then 0
    assert frame_consistency(turning) == pytest.approx(0.5)
    assert frame_consistency(np.stack([turning, turning[[0, 0, 0]]])) == pytest.approx([0.5, 1])
    with pytest.raises(ValueError, match="two frames"):
        frame_consistency(turning[:1])


def drawn(seed: int, count: int = 24) -> np.ndarray:
    """(count, 9, 32, 48, 3) uint8: clips of several operations on several eyes."""
    return np.stack(
        [
            render_clip(3 + k % 8, CaseAppearance.draw(100 + k % 3), seed + k, 9, 48, 32)
            for k in range(count)
        ]
    )


def pixels(clips: np.ndarray) -> np.ndarray:
    """Every frame as 4 x 6 means of 8 x 8 pixels: features without time."""
    count, length = clips.shape[:2]
    blocks = clips.mean(axis=-1).reshape(count * length, 4, 8, 6, 8).mean(axis=(2, 4))
    return blocks.reshape(count * length, -1)


def test_frozen_frames_are_far_over_time_and_near_frame_by_frame() -> None:
    """Each frozen clip repeats one of its own frames, so frames alone look as they should."""
    real, fresh = drawn(0), drawn(1000)
    frozen = np.stack([clip[[k % 9] * 9] for k, clip in enumerate(fresh)])
    noisy = fresh.copy()  # flicker: every second frame brighter
    noisy[:, ::2] = np.minimum(noisy[:, ::2].astype(int) + 25, 255).astype(np.uint8)

    def over_time(clips: np.ndarray) -> float:
        return float(wasserstein_distance(frame_change(real), frame_change(clips)))

    def by_frame(clips: np.ndarray) -> float:
        return frechet_distance(gaussian_of([pixels(real)]), gaussian_of([pixels(clips)]))

    assert by_frame(frozen) < 2 * by_frame(fresh)
    assert over_time(frozen) > 5 * over_time(fresh)
    assert over_time(noisy) > 5 * over_time(fresh)
    still = frame_consistency(pixels(frozen).reshape(24, 9, -1))
    assert still == pytest.approx(np.ones(24))
    assert frame_consistency(pixels(fresh).reshape(24, 9, -1)).max() < 1
