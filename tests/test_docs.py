"""Every command, setting and link in the documentation is one that exists."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import run_benchmark
from benchmarks.config.files import load_config
from core.errors import UserError
from tests.command import ROOT

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md"]
    + [
        page for page in (ROOT / "docs").glob("*.md") if page.name != "log.md"
    ]  # which tells the past
)
FIRST_WORDS = ("make", "python", ".venv/bin/python", "run_benchmark.py")
BLOCK = re.compile(r"^```(?:bash)?\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"[a-z][a-z_0-9]*(\.[a-z_0-9]+)+=\S+")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command: lines of blocks, and what stands in backquotes."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    for line in [*lines, *INLINE.findall(BLOCK.sub("", text))]:
        with contextlib.suppress(ValueError):  # a quotation that is no command
            words = shlex.split(line, comments=True)
            if len(words) > 1 and words[0] in FIRST_WORDS:
                yield words


def help_of(module: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    text = io.StringIO()
    monkeypatch.setattr(sys, "argv", [module, *arguments, "--help"])
    found = importlib.import_module(module)
    if not hasattr(found, "main"):
        found = importlib.import_module(f"{module}.__main__")
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(text):
        found.main()
    assert ended.value.code == 0
    return text.getvalue()


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] == "make":
        targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
        assert targets is not None and words[1] in targets[1].split()
        return
    words = words[words[0] != "run_benchmark.py" :]
    if words[:1] == ["-m"]:
        options = [word for word in words[2:] if word.startswith("--")]
        commands_of = [word for word in words[2:3] if word in ("build", "aggregate")]
        shown = help_of(words[1], monkeypatch, *commands_of)
        assert all(option in shown for option in options), words
    elif words[:1] == ["run_benchmark.py"]:
        given = run_benchmark.parser().parse_args(words[1:])
        if given.config not in (None, "NAME") and not given.config.endswith(".yaml"):
            load_config(given.config, run_benchmark.overrides_of(given))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands(page):
        try:
            check(words, monkeypatch)
        except UserError as error:
            pytest.fail(f"{page.name}: {' '.join(words)}: {error}")


def test_settings_that_are_named_exist() -> None:
    found = 0
    for page in PAGES:
        for text in INLINE.findall(page.read_text(encoding="utf-8")):
            words = text.removeprefix("--set ").split()
            if words and all(map(SETTING.fullmatch, words)):
                load_config("ophnet_phase", words)
                found += len(words)
    assert found >= 10


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "docs" / "log.md"]:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_found_from_the_readme() -> None:
    linked = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(linked)


LINE, README_LINES, ENTRY_LINES = 160, 80, 6
LOG = ROOT / "docs" / "log.md"
HASH = re.compile(r"(?<![\w-])(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b")


@pytest.mark.parametrize("page", [*PAGES, LOG], ids=lambda page: page.name)
def test_no_line_of_a_page_is_long(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    assert not [number for number, line in lines if len(line) > LINE]


def test_the_readme_is_one_screen_or_two() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commits_are_named_in_the_log_alone(page: Path) -> None:
    assert not HASH.findall(page.read_text(encoding="utf-8"))


def test_an_entry_of_the_log_is_idea_work_and_result() -> None:
    _, *days = re.split(r"^## ", LOG.read_text(encoding="utf-8"), flags=re.M)
    dates = [day.splitlines()[0] for day in days]
    assert dates == sorted(dates, reverse=True) and len(set(dates)) == len(dates)
    entries = [text for day in days for text in day.split("\n\n")[1:] if text.strip()]
    assert len(entries) > 100
    for text in entries:
        idea, *lines = text.strip().splitlines()
        assert re.fullmatch(r"\*\*[^*]+\*\*", idea), idea
        assert lines[0].startswith("- Done: ") and len(lines) < ENTRY_LINES, idea
        assert sum(line.startswith("- Result: ") for line in lines) == 1, idea
