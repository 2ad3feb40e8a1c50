"""First frames drawn from real files, a damaged one among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from augment.first_frames import FirstFrames
from augment.synthesis import SynthesisSettings
from core.errors import UserError
from core.runtime import Runtime
from tests.classifiers.toy import CLASSES, ToyClips


def first_frames(root: Path, seed: int = 0, **toy: Any) -> FirstFrames:
    common: dict[str, Any] = {"infra": {"folder": str(root)}, "runtime": Runtime(workers=1)}
    return FirstFrames(
        clips=ToyClips(splits=False, **toy, **common),
        task="phase",
        operations_of_class=((0,), (1,), (2,), (3,)),
        settings=SynthesisSettings(clips_per_class=30, policy="all", seed=seed),
        **common,
    )


def test_the_seed_draws_among_all_clips_of_the_class(tmp_path: Path) -> None:
    drawn = first_frames(tmp_path).manifest().clips
    assert [clip.label("phase") for clip in drawn] == [n // 30 for n in range(30 * CLASSES)]
    assert len({clip.seed for clip in drawn}) == len(drawn)
    for label in range(CLASSES):
        assert len({clip.path for clip in drawn[30 * label :][:30]}) == 6
    others = first_frames(tmp_path, 1).manifest().clips
    assert [clip.path for clip in others] != [clip.path for clip in drawn]


def test_a_video_that_cannot_be_read_is_passed_over_and_more_are_refused(tmp_path: Path) -> None:
    stage = first_frames(tmp_path)
    real = stage.clips.manifest()
    broken, other = (real.path_of(real.clips[n]) for n in (0, CLASSES))
    broken.write_bytes(b"no video")
    found = stage.run()["left_out"]
    assert {cause: entry["number"] for cause, entry in found.items()} == {"unreadable": 1}
    drawn = {clip.path for clip in stage.manifest().clips}
    assert broken.name not in drawn and len(drawn) == 5
    other.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"^2 of 6 training videos for first frames of phases"):
        first_frames(tmp_path, 1).run()
    for path in broken.parent.glob("*.mp4"):
        path.write_bytes(b"no video")
    with pytest.raises(UserError, match="no readable training clip of phase 0, and clips of it"):
        first_frames(tmp_path, 2).run()
