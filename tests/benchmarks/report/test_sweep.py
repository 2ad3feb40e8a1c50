"""One run at several values of a field: the table by value and the figure of gains."""

from __future__ import annotations

from pathlib import Path

import pytest

import run_benchmark
from benchmarks.config.files import load_config
from benchmarks.report.sweep import write_sweep
from benchmarks.tables.build import build_table2
from benchmarks.tables.render import write_table
from core.errors import UserError
from tests.benchmarks.scores import make_cell


def test_rows_stand_by_value_and_gains_in_a_figure(tmp_path: Path) -> None:
    """A gain that falls with the value falls in the table, in the reading and in the figure."""
    values, folders = (0.0, 0.5), []
    for value, better in zip(values, (0.7, 0.45), strict=True):
        cells = [
            make_cell(tmp_path / "cells", "Source", accuracy=0.4),
            make_cell(tmp_path / "cells", "Source + Ophora", accuracy=better),
        ]
        folders.append(tmp_path / "nuisance" / f"{value:g}")
        table = build_table2(cells, data="OphSim", scale="nano", recipe="r")
        write_table(table, folders[-1], "table2")
    text = write_sweep("ophsim.nuisance", values, folders, tmp_path / "nuisance")
    assert (tmp_path / "nuisance" / "sweep.md").read_text() == text
    header, _, source, ophora, minus = text.splitlines()[:5]
    assert [cell.strip() for cell in header.split("|")[5:7]] == [
        "ophsim.nuisance 0", "ophsim.nuisance 0.5",
    ]  # fmt: skip
    first, second = (cell.split()[0] for cell in minus.split("|")[5:7])
    assert float(first.strip("*")) > float(second.strip("*")) + 15
    assert "Source" in source and "Source + Ophora" in ophora and "minus Source" in minus
    figure = tmp_path / "nuisance" / "figures" / "sweep_phase_slowfast_matched_epochs.svg"
    assert "Gain by ophsim.nuisance" in figure.read_text()
    assert "at 0, " in text and "at 0.5." in text


def test_the_shipped_sweep_names_a_folder_and_a_configuration_for_each_value(
    tmp_path: Path,
) -> None:
    options = run_benchmark.parser().parse_args(["--config", "nuisance", "--seeds", "2"])
    configs = run_benchmark.values_of(load_config("nuisance", ["seeds=2"]), options)
    assert {value: each.ophsim.nuisance for value, each in configs.items()} == {
        value: value for value in (0.0, 0.25, 0.5, 1.0)
    }
    assert [each.name for each in configs.values()] == [
        f"nuisance/{name}" for name in ("0", "0.25", "0.5", "1")
    ]
    assert all(each.vary is None and each.seeds == 2 for each in configs.values())


def test_a_field_that_is_not_there_is_refused(tmp_path: Path) -> None:
    options = run_benchmark.parser().parse_args(["--config", "nuisance"])
    config = load_config("nuisance", ["vary.field=ophsim.nuisanse"])
    with pytest.raises(UserError, match="nuisanse"):
        options.set = ["vary.field=ophsim.nuisanse"]
        run_benchmark.values_of(config, options)
