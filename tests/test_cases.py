"""The runner of `make cases`: every maker has a check, and a check that fails is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.__main__ import main, run_cases
from tests.cases.kit import ROOT, Kit, Skipped
from tests.cases.table import CASES

MAKERS = ROOT.parent / "shared" / "cases"


@pytest.mark.skipif(not MAKERS.is_dir(), reason="the makers of the cases are not here")
def test_every_maker_is_in_the_table() -> None:
    assert {path.parent.name for path in MAKERS.glob("*/expected.txt")} == set(CASES)


def test_how_cases_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abcd":
        (tmp_path / "makers" / name).mkdir(parents=True)
    (tmp_path / "makers" / "a" / "make.py").write_text(
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    )

    def made(kit: Kit) -> None:
        kit.make("hello")
        assert kit.input.read_text() == "hello"
        assert kit.python("-c", "print(1)").fine().out == "1\n"
        refused = kit.python("-c", "import sys; sys.exit('error: no')")
        assert (refused.code, refused.err, refused.peak_mb > 1) == (1, "error: no\n", True)

    def wrong(kit: Kit) -> None:
        kit.python("-c", "raise SystemExit(3)").line()

    def elsewhere(kit: Kit) -> None:
        raise Skipped("not here")

    cases = {"a": made, "b": wrong, "c": elsewhere, "d": None, "e": made}
    assert run_cases(cases, tmp_path / "makers", tmp_path / "work") == ["b"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a: ok (") and lines[1] == "b: FAILED: exit code 3: "
    assert lines[2:4] == ["c: skipped: not here", "d: skipped: no check is written"]
    assert lines[4].startswith("e: skipped: no ")


def test_a_case_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["99"])
    assert "no case 99" in capsys.readouterr().err
