"""Learning curves: what the training's log says, a colour for each training set."""

import re
from pathlib import Path

from augment.arm import SOURCE
from benchmarks.collect.shown import learning_curves as collected_curves
from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from benchmarks.report.build import learning_curves
from benchmarks.report.curves import Curve, curve_chart, read_curve
from benchmarks.report.drawing import PALETTE
from benchmarks.report.shown import Shown
from classifiers.training import LOG_NAME
from tests.benchmarks.scores import arm_of, make_cell


def test_only_evaluated_epochs_are_points(tmp_path: Path) -> None:
    log = tmp_path / "epochs.jsonl"
    log.write_text('{"epoch": 1}\n{"epoch": 2, "val_top1": 0.25}\n{"epoch": 3, "val_top1": 0.5}\n')
    assert read_curve(SOURCE, 0, log) == Curve(SOURCE, 0, (2, 3), (25.0, 50.0))
    log.write_text('{"epoch": 1}\n')
    assert read_curve(SOURCE, 0, log) is None


def test_seeds_share_their_arm_s_colour_and_the_best_is_named() -> None:
    curves = [
        Curve(arm, seed, (1, 2, 3), (10.0, 40.0 + (arm != SOURCE) + seed, 20.0))
        for arm in (SOURCE, arm_of("Ophora"))
        for seed in (0, 1)
    ]
    chart = curve_chart("phase, SlowFast, matched epochs", curves)
    assert chart.name == "curves_phase_slowfast_matched_epochs"
    assert chart.reading.endswith("Highest: Source + Ophora, seed 1, 42.0% after epoch 2.")
    assert chart.svg.count(">Ophora</text>") == chart.svg.count(">Source</text>") == 1
    colours = [colour for colour in PALETTE if colour.lower() in chart.svg]
    assert len(colours) == 2
    assert chart == curve_chart("phase, SlowFast, matched epochs", curves)


def test_of_equal_epochs_the_earliest_counts() -> None:
    assert "after epoch 1." in curve_chart("x", [Curve(SOURCE, 0, (1, 2), (5.0, 5.0))]).reading


def test_source_stands_beside_the_arms_of_either_schedule(tmp_path: Path) -> None:
    chosen = ["sources=[source, oversampled]", "schedules=[matched_epochs, matched_steps]"]
    plan = Plan(load_config("smoke", [*chosen, "seeds=1"]), Inputs(tmp_path))
    for cell in plan.cells:
        cell.stage.folder.mkdir(parents=True)
        (cell.stage.folder / LOG_NAME).write_text('{"epoch": 1, "val_top1": 0.25}\n')
    cells = [
        make_cell(tmp_path / "cells", cell.arm.label, classifier=cell.classifier).model_copy(
            update={"schedule": cell.schedule}
        )
        for cell in plan.cells
    ]
    shown = Shown(curves=collected_curves(plan))
    charts = learning_curves(cells, shown, plan.config.schedules)
    drawn = {chart.name: chart.svg for chart in charts}
    assert sorted(drawn) == [
        f"curves_phase_{network}_{schedule}"
        for network in ("mvitv2", "slowfast")
        for schedule in ("matched_epochs", "matched_steps")
    ]
    for svg in drawn.values():
        assert svg.count(">Source</text>") == svg.count(">oversampled</text>") == 1


def test_many_arms_have_styles_of_their_own_and_a_legend_beside() -> None:
    arms = [arm_of(f"arm{number}") for number in range(8)]
    svg = curve_chart("many", [Curve(arm, 0, (1, 2), (5.0, 6.0)) for arm in arms]).svg
    stroke = r'style="fill: none; (?:stroke-dasharray: ([\d.,]+);[^"]*)?stroke: (#\w+)'
    lines = re.findall(stroke, svg)
    assert len({line for line in lines if line[1] in {c.lower() for c in PALETTE}}) == 8
    width = float(re.findall(r'viewBox="0 0 ([\d.]+)', svg)[0])
    few = curve_chart("few", [Curve(arm, 0, (1, 2), (5.0, 6.0)) for arm in arms[:3]]).svg
    assert width > float(re.findall(r'viewBox="0 0 ([\d.]+)', few)[0])
