"""What stages leave out: the policy, the sentence, the count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.left_out import check_left_out, note_left_out
from core.stage import Stage

KIND = {"what": "videos of here", "cure": "mend them"}


class Lossy(Stage):
    """Loses two inputs for one reason and one for another."""

    total: int = 1000

    def execute(self, folder: Path) -> dict[str, Any]:
        causes = {"unreadable": ["a.mp4: empty", "b.mp4: empty"], "no file": ["c"], "none": []}
        return {"left_out": note_left_out(causes, self.total, **KIND)}


def test_the_limit_is_one_input_or_one_percent() -> None:
    for lost, total in ((["a"], 2), (["a", "b"], 200), ([], 0), ([], 3)):
        check_left_out({"unreadable": lost}, total, **KIND)
    for lost, total in ((["a", "b"], 199), (["a"], 1)):
        message = rf"{len(lost)} of {total} videos of here would be left out: .*; mend them"
        with pytest.raises(UserError, match=message):
            check_left_out({"unreadable": lost}, total, **KIND)
    check_left_out({"unreadable": ["a", "b"]}, 4, share=0.5, **KIND)


def test_causes_add_up() -> None:
    with pytest.raises(UserError, match=r"2 of 9 .*: unreadable \(1: a\), no file \(1: b\); mend"):
        check_left_out({"unreadable": ["a"], "no file": ["b"]}, 9, **KIND)


def test_a_stage_says_it_once_and_keeps_the_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Lossy(infra={"folder": tmp_path})
    left_out = stage.run()["left_out"]
    assert {cause: entry["number"] for cause, entry in left_out.items()} == {
        "unreadable": 2, "no file": 1,
    }  # fmt: skip
    assert capsys.readouterr().err == (
        "warning: 3 of 1000 videos of here left out: unreadable (2: a.mp4: empty, b.mp4: empty), "
        "no file (1: c)\n"
    )
    assert stage.run()["left_out"] == left_out
    assert capsys.readouterr().err == ""


def test_many_names_are_cut(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(30)]
    entry = note_left_out({"no file": names}, 10_000, **KIND)["no file"]
    assert entry == {"number": 30, "examples": names[:5]}
    with pytest.raises(UserError, match=r"no file \(30: .*, 4.mp4 and 25 more\)"):
        check_left_out({"no file": names}, 31, **KIND)
