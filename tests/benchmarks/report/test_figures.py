"""Figures that explain Table 2: every arm is there, points lie where the numbers say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.report.drawing import INK, PALETTE, PAPER
from benchmarks.report.evidence import (
    DistancePoint,
    GainKey,
    VolumePoint,
    distance_points,
    gains,
    seen_rows,
    volume_points,
)
from benchmarks.report.figures import (
    Chart,
    charts,
    distance_chart,
    gain_chart,
    spread_out,
    volume_chart,
    write_charts,
)
from benchmarks.report.page import Report, render
from benchmarks.scoring.record import ClipSet
from benchmarks.tables.build import build_table2
from benchmarks.tables.schema import Delta, Table2, Tables
from tests.benchmarks.scores import arm_of, make_cell

LONG = "our_own_videos_of_cataract_surgery_2019_to_2023"
KEY: GainKey = ("phase", "SlowFast", "matched_epochs")
OPHORA = arm_of("Ophora")
ARMS = {"Bora": 0.4001, "Ophora": 0.65, "ophora_2": 0.55, LONG: 0.3}


def delta(top1: float, *, sure: bool = False) -> Delta:
    p = 0.01 if sure else 0.5
    return Delta(top1=top1, ci95=(top1 - 1, top1 + 2), p_value=p, p_holm=p)


def measured(fvd: float, kvd: float, clips: int = 832, **fields: Any) -> ClipSet:
    entry = {"n": clips, "encoder": "x", "num_frames": 9, "width": 96, "height": 64}
    metrics = {
        f"fvd_x_{clips}x9": {"value": fvd, **entry, **fields},
        f"kvd_x_{clips}x9": {"value": kvd, **entry},
    }
    seen = {"SlowFast": {"clips": clips, "top1": 12.5, "top5": 40.0}}
    return ClipSet(clips, clips / 52, metrics, seen)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table2:
    folder = tmp_path_factory.mktemp("cells")
    arms = {"Source": 0.4} | {f"Source + {name}": value for name, value in ARMS.items()}
    cells = [make_cell(folder, arm, accuracy=accuracy) for arm, accuracy in arms.items()]
    return build_table2(cells, data="OphSim", scale="nano", recipe="reference")


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def markers(svg: str) -> list[tuple[float, float, str]]:
    """Places on the canvas (y downwards) and fill of the dots."""
    uses = re.findall(r'<use xlink:href="[^"]+" x="([\d.]+)" y="([\d.]+)" style="([^"]*)"', svg)
    shown = [(float(x), float(y), re.findall(r"fill: (#\w+)", style)) for x, y, style in uses]
    return [(x, y, fill[0]) for x, y, fill in shown if fill and fill[0] != INK]


def test_the_gain_figure_shows_every_arm_and_marks_what_is_sure(table: Table2) -> None:
    gained = gains(table)[KEY]
    assert [arm.name for arm in gained] == list(ARMS)  # the table's order, no Source
    chart = gain_chart(KEY, gained)
    assert "".join(texts(chart.svg)).count(LONG) == 1  # in two lines
    places = {text: index for index, text in enumerate(texts(chart.svg))}
    assert places["Bora"] < places["Ophora"] < places["ophora_2"]
    dots = markers(chart.svg)
    assert sorted(dots, key=lambda dot: dot[1]) == dots and len(dots) == len(ARMS)
    sure = [gain.significant for gain in gained.values()]
    assert [fill == PALETTE[0].lower() for _, _, fill in dots] == sure
    assert {fill for _, _, fill in dots} == {PALETTE[0].lower(), PAPER} and sum(sure) == 2
    assert (
        np.argsort([x for x, _, _ in dots]).tolist()
        == np.argsort([gain.top1 for gain in gained.values()]).tolist()
    )
    assert ": 2 of 4." in chart.reading and f"Ophora, {gained[OPHORA].top1:+.2f}" in (chart.reading)


def test_clips_without_the_real_ones_are_no_gain(tmp_path: Path) -> None:
    accuracies = {"Source": 0.5, "Source + Ophora": 0.6, "Only Ophora": 0.1}
    cells = [make_cell(tmp_path, arm, accuracy=value) for arm, value in accuracies.items()]
    table = build_table2(cells, data="OphSim", scale="nano", recipe="reference")
    assert list(gains(table)[KEY]) == [OPHORA]


def test_each_schedule_has_its_figures_and_its_curve(tmp_path: Path) -> None:
    accuracies = {"matched_epochs": 0.6, "matched_steps": 0.3}
    cells = [make_cell(tmp_path, "Source", accuracy=0.4)] + [
        make_cell(tmp_path, "Source + Ophora", accuracy=accuracy, schedule=schedule)
        for schedule, accuracy in accuracies.items()
    ]
    both = build_table2(cells, data="OphSim", scale="nano", recipe="reference")
    sets = {"phase": {OPHORA: measured(9.0, 0.1)}}
    drawn = {each.name: each for each in charts(both, sets, {"ophora": [OPHORA]})}
    assert set(drawn) == {"volume_phase_ophora"} | {
        f"{kind}_phase_slowfast_{schedule}" for kind in ("gain", "fvd") for schedule in accuracies
    }
    for schedule in accuracies:
        chart = drawn[f"gain_phase_slowfast_{schedule}"]
        gain = gains(both)["phase", "SlowFast", schedule][OPHORA].top1
        assert (gain > 0) == (schedule == "matched_epochs") and f"{gain:+.2f}" in chart.reading
        assert schedule.replace("_", " ") in chart.title
        assert f"SlowFast, {schedule.replace('_', ' ')}" in texts(drawn["volume_phase_ophora"].svg)


def test_volume_points_lie_at_what_an_arm_has() -> None:
    every, few, other = map(arm_of, ("all", "few", "other"))
    sets = {every: ClipSet(520, 10.0, {}, {}), few: ClipSet(104, 2.0, {}, {})}
    gained = {every: delta(3.0, sure=True), few: delta(-1.0), other: delta(9.0)}
    points = volume_points([every, few], gained, sets)
    assert points == [VolumePoint(2.0, gained[few]), VolumePoint(10.0, gained[every])]
    chart = volume_chart("phase", "ophora", {"SlowFast": points})
    (x_few, y_few, dot), (x_all, y_all, whole) = markers(chart.svg)
    style = f"fill: none; stroke: {PALETTE[0].lower()}; stroke-linecap"  # of the default width
    (curve,) = re.findall(rf'd="(M[^"]+)" clip-path="[^"]+" style="{style}', chart.svg)
    x_0, y_0 = (float(value) for value in curve.split()[1:3])
    assert (x_all - x_0) / (x_few - x_0) == pytest.approx(10.0 / 2.0, rel=1e-3)
    assert (y_all - y_0) / (y_few - y_0) == pytest.approx(3.0 / -1.0, rel=1e-3)
    assert (dot, whole) == (PAPER, PALETTE[0].lower())
    assert "SlowFast +3.00 points at 10 clips a class" in chart.reading


def test_spearman_is_scipy_s_with_its_number_of_arms() -> None:
    rng = np.random.default_rng(0)
    fvd, kvd, gained = rng.normal(100, 20, 7), rng.normal(0, 1, 7), rng.normal(0, 2, 7)
    names = [arm_of(f"arm{k}") for k in range(7)]
    sets = {name: measured(float(f), float(k)) for name, f, k in zip(names, fvd, kvd, strict=True)}
    deltas = {name: delta(float(gain)) for name, gain in zip(names, gained, strict=True)}
    points = distance_points(deltas, sets)
    chart = distance_chart(KEY, points)
    assert f"{spearmanr(fvd, gained).statistic:+.2f} (n = 7 arms)." in chart.reading
    assert "KVD" not in chart.reading
    assert {f"arm{k}" for k in range(7)} <= set(texts(chart.svg))
    dots = markers(chart.svg)
    assert np.corrcoef([x for x, _, _ in dots], fvd)[0, 1] == pytest.approx(1)
    assert np.corrcoef([y for _, y, _ in dots], gained)[0, 1] == pytest.approx(-1)
    few = distance_chart(KEY, points[:3])
    assert "No rank correlation: 3 arms" in few.reading


def test_kvd_stands_in_where_fvd_is_biased() -> None:
    sets = {
        arm_of(f"a{k}"): measured(4.0 - k, float(k), clips=20 + k, warning="biased")
        for k in range(4)
    }
    points = distance_points({name: delta(float(k)) for k, name in enumerate(sets)}, sets)
    assert isinstance(points[0], DistancePoint) and points[0].biased
    reading = distance_chart(KEY, points).reading
    assert "FVD and gain: -1.00 (n = 4 arms)" in reading
    assert "biased at 20 to 23 clips; of KVD, which is not, and gain: +1.00." in reading


def test_names_are_spread_out_within_the_axes() -> None:
    assert spread_out(np.array([0.2, 0.5, 0.9]), 0.1).tolist() == [0.2, 0.5, 0.9]
    crowded = spread_out(np.array([0.1, 0.95, 0.96, 0.97]), 0.1)
    assert np.diff(crowded).min() >= 0.1 - 1e-9 and crowded.max() == 1 and crowded[0] == 0.1


def all_charts(table: Table2) -> list[Chart]:
    sets = {arm_of(name): measured(9.0 + k, 0.1) for k, name in enumerate(ARMS)}
    return charts(table, {"phase": sets}, {"ophora": [arm_of("ophora_2"), OPHORA]})


def test_figures_are_files_in_black_and_on_the_page_in_its_colours(
    tmp_path: Path, table: Table2
) -> None:
    drawn = all_charts(table)
    (tmp_path / "gain_phase_mvitv2_matched_epochs.svg").touch()  # of a run with another classifier
    write_charts(tmp_path, drawn)
    assert {path.name for path in tmp_path.iterdir()} == {
        "gain_phase_slowfast_matched_epochs.svg", "fvd_phase_slowfast_matched_epochs.svg",
        "volume_phase_ophora.svg",
    }  # fmt: skip
    for chart in drawn:
        file = (tmp_path / f"{chart.name}.svg").read_text()
        assert file.startswith("<?xml") and INK in file and "currentColor" not in file
    assert [chart.svg for chart in all_charts(table)] == [chart.svg for chart in drawn]
    sets = {"phase": {arm_of("Bora"): measured(9.0, 0.1)}}
    page = render(Report(Tables(table), charts=drawn, seen=seen_rows(sets)))
    assert page.count("<svg") == 3 and INK not in page and PAPER not in page
    for chart in drawn:
        assert page.count(f'aria-label="{chart.title}"') == 1
        assert f"<figcaption>{chart.reading.replace(chr(39), '&#39;')}</figcaption>" in page
    assert "What a classifier trained on real clips sees in each arm&#39;s clips" in page
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert cells[-6:] == ["phase", "Bora", "SlowFast", "832", "12.50", "40.00"]
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
