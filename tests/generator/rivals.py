"""What is asked of every generator without captions, of tiny ones on real clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.synthesis import CaptionSynthesis
from core.stage import Stage
from core.training import CHECKPOINT_NAME, Losses, Training
from core.video import read_frames, timeline_of
from generator.base import Generator, GivenGenerator
from generator.sampling import Sampling
from tests.generator.tiny import SHAPE, CaptionedClips, common, weights

SAMPLING = Sampling(steps=2, guidance_scale=1.0)
Make = Callable[[Path], Generator]


def draws_what_its_seeds_say(generator: Generator, given: type[GivenGenerator], root: Path) -> None:
    """Shape, dtype, seeds; the folder that it leaves draws the same."""
    sampler = generator.sampler(SAMPLING)
    clips = sampler(["", "a word"], [1, 2], SAMPLING)
    assert clips.shape == (2, SHAPE.num_frames, SHAPE.height, SHAPE.width, 3)
    assert clips.dtype == np.uint8 and not np.array_equal(clips[0], clips[1])
    other = sampler(["another", ""], [1, 3], SAMPLING)
    assert np.array_equal(clips[0], other[0]) and not np.array_equal(clips[1], other[1])
    assert list(generator.weights().rglob("*.safetensors"))
    named = given(given=weights(generator.weights(), root), shape=SHAPE, **common(root))
    assert np.array_equal(named.sampler(SAMPLING)(["", ""], [1, 2], SAMPLING), clips)


def makes_videos(generator: Generator, root: Path) -> None:
    """One mp4 a held-out caption, of the asked size."""
    stage = CaptionSynthesis(
        source="rival",
        generator=generator,
        clips=CaptionedClips(num_clips=2, **common(root)),
        num_clips=2,
        sampling=SAMPLING,
        **common(root),
    )
    manifest = stage.manifest()
    assert len(manifest) == 2
    for clip in manifest.clips:
        path = manifest.path_of(clip)
        assert path.suffix == ".mp4" and len(timeline_of(path).times) == SHAPE.num_frames
        frames = read_frames(path, np.arange(SHAPE.num_frames), None)
        assert frames.shape == (SHAPE.num_frames, SHAPE.height, SHAPE.width, 3)


def goes_on_after_a_kill(make: Make, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third step and run again, it leaves the bytes of one that was not."""
    whole = make(root / "whole")
    whole.run()
    killed = make(root / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(Training, "update", killing(Training.update, after=2))
        with pytest.raises(KeyboardInterrupt):
            killed.run()
    assert (killed.folder / CHECKPOINT_NAME).is_file() and not killed.is_done()
    killed.run()
    assert bytes_of(whole) == bytes_of(killed)


def killing(update: Any, after: int) -> Any:
    calls = 0

    def dying(training: Training, losses: Losses) -> bool:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        done: bool = update(training, losses)
        return done

    return dying


def bytes_of(stage: Stage) -> dict[str, bytes]:
    """Networks and log that a training left."""
    files = [*stage.folder.rglob("*.safetensors"), stage.folder / "loss.jsonl"]
    return {str(file.relative_to(stage.folder)): file.read_bytes() for file in files}
