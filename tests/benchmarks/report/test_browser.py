"""The page in a real browser: no network, no errors, tables that sort and copy, clips that play."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from augment.arm import SOURCE
from benchmarks.collect.players import class_scenes
from benchmarks.report.classes import ClassTable
from benchmarks.report.curves import Curve, curve_chart
from benchmarks.report.overview import overview
from benchmarks.report.page import Report, write_report
from benchmarks.report.shown import embedded
from benchmarks.tables.build import build_table2
from benchmarks.tables.quality import build_table1
from benchmarks.tables.render import markdown
from benchmarks.tables.schema import Table2, Tables
from core.clip import Clip, Manifest
from core.video import write_video
from tests.benchmarks.browsing import open_page, violations
from tests.benchmarks.scores import make_cell

NASTY = "<img src=x onerror=alert(1)>"


def clips(root: Path, source: str, level: int) -> Manifest:
    """Nine growing frames of each of three classes."""
    made = []
    for label in (0, 1, 2):
        frames = (
            np.full((9, 64, 96, 3), level, np.uint8)
            + np.arange(9, dtype=np.uint8)[:, None, None, None]
        )
        write_video(root / f"{source}{label}.mp4", frames)
        made.append(
            Clip(clip_id=f"{source}{label}", video_id="v", path=f"{source}{label}.mp4",
                 labels={"phase": label}, caption=NASTY, source=source, seed=label)
        )  # fmt: skip
    return Manifest(root=root, clips=tuple(made))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table2:
    folder = tmp_path_factory.mktemp("cells")
    arms = {"Source": 0.4, "Source + Bora": 0.45, "Source + Ophora": 0.65}
    cells = [
        make_cell(folder, arm, accuracy=accuracy, classifier=classifier)
        for arm, accuracy in arms.items()
        for classifier in ("SlowFast", "MViTv2")
    ]
    return build_table2(cells, data="OphSim", scale="nano", recipe="reference")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, table: Table2) -> Path:
    folder = tmp_path_factory.mktemp("page")
    metrics = {"fid_x_256x9": {"value": 3.0, "n": 256, "encoder": "x", "ci95": [2.5, 3.5]}}
    table1 = build_table1([("Ophora", None, metrics)], data="OphSim", scale="nano", protocol="p")
    manifests = {"Real (test)": clips(folder, "real", 200), "Ophora": clips(folder, "ophora", 40)}
    rows = (("0 · Gel", "head", "50.0", "+3.0"), (f"1 · {NASTY}", "tail", "9.5", "-12.0"))
    write_report(
        folder / "report.html",
        Report(
            Tables(table2=table, table1=table1),
            overview=overview(table),
            classes=[ClassTable("By class", ("Class", "Group", "Source", "Δ Ophora"), rows)],
            scenes=embedded(
                class_scenes(manifests, "phase", ["Gel", NASTY, "Pause"], folder), folder
            ),
            curves=[curve_chart("SlowFast", [Curve(SOURCE, 0, (1, 2), (30.0, 35.0))])],
            run={"note": NASTY, "stages": [{"stage": "Curation, x", "seconds": 61.0}]},
        ),
    )
    return folder / "report.html"


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    with open_page(browser, report) as opened:
        yield opened


def column(page: Page, table: int, place: int) -> list[str]:
    cells = page.locator("table").nth(table).locator(f"tbody tr td:nth-child({place})")
    return cells.all_inner_texts()


def test_tables_sort_by_a_click_and_by_the_keyboard(page: Page) -> None:
    header = page.locator("table").first.get_by_role("button", name="Top-1", exact=True)
    place = 5
    before = column(page, 0, place)

    def numbers() -> list[float]:
        return [float(text.split()[0]) for text in column(page, 0, place)]

    header.click()
    assert numbers() == sorted(numbers(), reverse=True)
    assert page.locator("th[aria-sort=descending]").count() == 1
    header.press("Enter")
    assert numbers() == sorted(numbers()) != [float(text.split()[0]) for text in before]
    header.press("Space")
    assert column(page, 0, place) == before


def test_tables_are_copied_as_they_are(page: Page, table: Table2) -> None:
    page.get_by_role("button", name="Copy as Markdown").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == markdown(table)
    assert page.get_by_role("button", name="Copy as LaTeX").count() == 2


def test_classes_are_searched(page: Page) -> None:
    rows = page.locator("#classes1 tbody tr")
    assert rows.count() == 2
    page.get_by_label("Search classes").fill("HEAD gel")
    assert [row.is_visible() for row in rows.all()] == [True, False]


def test_chosen_clips_play(page: Page) -> None:
    assert page.locator(".scene:visible").count() == 1
    page.get_by_label("Show", exact=True).select_option(index=2)
    shown = page.locator(".scene:visible")
    assert shown.get_by_role("heading").inner_text() == "2 · Pause"
    videos = shown.locator("video")
    assert videos.count() == 2
    page.wait_for_function(
        "[...document.querySelectorAll('.scene:not([hidden]) video')].every(v => v.currentTime > 0)"
    )
    assert videos.first.evaluate("video => [video.videoWidth, video.videoHeight]") == [96, 64]
    assert NASTY in shown.inner_text()  # a prompt with markup is text


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_narrow_and_dark_pages_fit_and_are_accessible(page: Page, colours: str) -> None:
    page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    for width in (390, 1200):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not violations(page)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 24, 27)"}[colours]
