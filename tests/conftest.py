"""Shared by all tests: one thread a process, and small real videos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.runtime import limit_threads
from core.video import FPS, Frames, write_video

limit_threads(1)  # the tests run beside one another; results must not depend on the thread count


def pytest_addoption(parser: pytest.Parser) -> None:
    """Longer measurements with the tests' own data."""
    parser.addoption("--held-out-clips", type=int, default=100, help="clips that score curation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: of two processes, one would otherwise wait for the other's last."""
    longest = ("test_smoke.py", "test_tutorial.py", "test_own_data.py", "test_interruptions.py")
    longest += ("test_endora_source.py", "test_paper_scale.py", "test_distributed.py")
    order = {name: place for place, name in enumerate(longest)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture
def grey_clip(tmp_path: Path) -> Callable[..., Path]:
    """Writer of an mp4 whose frame `t` is plain grey of level `20 + 5 t`."""

    def write(
        name: str = "clip.mp4",
        *,
        num_frames: int = 24,
        size: tuple[int, int] = (96, 64),
        fps: float = FPS,
    ) -> Path:
        path = tmp_path / name
        write_video(path, grey_frames(num_frames, size), fps=fps)
        return path

    return write


def grey_frames(num_frames: int, size: tuple[int, int] = (96, 64)) -> Frames:
    """(num_frames, size[1], size[0], 3) uint8; frame `t` is plain grey of level `20 + 5 t`."""
    levels = np.arange(num_frames, dtype=np.uint8) * 5 + 20
    shape = (num_frames, size[1], size[0], 3)
    return np.broadcast_to(levels[:, None, None, None], shape).copy()


@pytest.fixture
def grey_index() -> Callable[[Frames], list[int]]:
    """Which frame of a grey clip each decoded frame is; compression moves a level by 2 at most."""

    def read(frames: Frames) -> list[int]:
        levels = frames.reshape(len(frames), -1).mean(axis=1)
        return [round((level - 20) / 5) for level in levels]

    return read
