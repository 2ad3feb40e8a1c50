"""Every weight and data set of a run with its licence, and what may not be done with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.collect.materials import materials_of
from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from benchmarks.report.licences import licence_rows, licence_warnings, material
from benchmarks.report.page import Report, render
from benchmarks.scoring.record import Material
from benchmarks.tables.build import build_table2
from benchmarks.tables.schema import Tables
from tests.benchmarks.datasets.cataract_folders import cataract_1k, cataract_101
from tests.benchmarks.scores import make_cell


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n# Model\n", "cc-by-nc-4.0"),
        ("---\nlicense: other\nlicense_name: OpenRAIL\n---\n", "openrail"),
        ("# Model\nlicense: mit\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- mit\n---\n", None),
    ],
)
def test_a_card_says_the_licence(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert material("org/any", "weights", folder=tmp_path).licence == licence


def test_a_card_counts_before_the_table(tmp_path: Path) -> None:
    assert material("ophnet2024", "data").licence == "cc-by-nc-sa-4.0"
    (tmp_path / "CARD.md").write_text("---\nlicense: mit\n---\n")
    found = material("OphNet2024", "data", folder=tmp_path)
    assert (found.licence, found.said_by) == ("mit", "CARD.md")


def test_what_is_forbidden_is_said() -> None:
    used = [
        Material(name="a", kind="weights", licence="openrail", said_by="card"),
        Material(name="b", kind="data", licence="cc-by-nc-4.0", said_by="table"),
        Material(name="c", kind="weights", licence=None, said_by="nobody"),
        Material(name="d", kind="weights", licence="apache-2.0", said_by="this project"),
    ]
    assert licence_warnings(used) == [
        "No commercial use of what this run made: b (cc-by-nc-4.0).",
        "No clinical use of what this run made: a (openrail).",
        "Licence unknown: c: take commercial and clinical use for not allowed until you have "
        "looked it up.",
    ]
    assert licence_warnings(used[3:]) == []
    assert licence_rows(used)[2][2:5] == ("unknown", "not said", "not said")


def test_all_that_a_run_uses_is_listed(tmp_path: Path) -> None:
    """Weights and simulators that come with the suite are its own, data of others are not."""
    inputs = Inputs(tmp_path / "r")
    own = {each.name: each for each in materials_of(Plan(load_config("smoke"), inputs))}
    assert {"OphSim", "OphVL-sim", "slowfast_nano", "ophclip_nano", "ophora_base"} <= set(own)
    assert {each.licence for each in own.values()} == {"apache-2.0"}
    config = load_config("smoke", ["taxonomy=cataract_1k", "sources=[source]"])
    data, other = cataract_1k(tmp_path / "a"), cataract_101(tmp_path / "b")
    (tmp_path / "mapping.yaml").write_text(
        "taxonomy: cataract_101\nphase: {1: 1}\ndropped: {phase: [0, 2, 3, 4, 5, 6, 7, 8, 9]}\n"
    )
    inputs = Inputs(tmp_path / "r", data, test_root=other, test_mapping=tmp_path / "mapping.yaml")
    used = materials_of(Plan(config, inputs))
    assert [(each.name, each.licence) for each in used] == [
        ("Cataract-1K", "cc-by-4.0"), ("Cataract-101", "cc-by-nc-4.0"),
    ]  # fmt: skip


def test_the_page_lists_and_warns(tmp_path: Path) -> None:
    table = build_table2([make_cell(tmp_path)], data="x", scale="nano", recipe="r")
    used = (Material(name="b&b", kind="data", licence="cc-by-nc-4.0", said_by="table"),)
    page = render(Report(Tables(table2=table), materials=used))
    assert "b&amp;b" in page and "Licences of the weights and data" in page
    assert "No commercial use of what this run made: b&amp;b (cc-by-nc-4.0)." in page
    assert "Licences of the weights" not in render(Report(Tables(table2=table)))
