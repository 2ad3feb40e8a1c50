import pickle
from pathlib import Path

import pytest

from core.errors import StageBusy, UnreadableVideo, UserError, did_you_mean


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("ophnet_phse", "did you mean 'ophnet_phase'?"),
        ("SMOKE", "did you mean 'smoke'?"),
        ("zzz", "known: ophnet_phase, smoke"),
    ],
)
def test_did_you_mean(value: str, hint: str) -> None:
    assert did_you_mean(value, ["smoke", "ophnet_phase"]) == hint


def test_every_users_error_can_be_caught_as_one() -> None:
    assert issubclass(UnreadableVideo, UserError) and issubclass(StageBusy, UserError)


def test_unreadable_video_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableVideo("a/b.mp4", "cut off")))
    assert (error.path, error.reason) == (Path("a/b.mp4"), "cut off")
    assert str(error) == "unreadable video a/b.mp4: cut off"
