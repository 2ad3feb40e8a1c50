"""The page: one offline file, escaped, deterministic, with tables, clips, curves, provenance."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.arm import SOURCE
from benchmarks.collect.pictures import class_panels, shared_classes
from benchmarks.report.curves import Curve, curve_chart
from benchmarks.report.page import Report, render, write_report
from benchmarks.report.sentences import accuracy_sentence
from benchmarks.report.shown import embedded
from benchmarks.tables.build import build_table2
from benchmarks.tables.quality import build_table1
from benchmarks.tables.schema import Table2, Tables
from core.clip import Clip, Manifest
from core.video import write_video
from tests.benchmarks.scores import arm_of, make_cell

NASTY = "<script>alert(1)</script>"


def manifest(root: Path, source: str, labels: list[int], level: int) -> Manifest:
    clips = []
    for index, label in enumerate(labels):
        name = f"{source}{index}.mp4"
        write_video(root / name, np.full((9, 64, 96, 3), level, np.uint8))
        clips.append(
            Clip(
                clip_id=f"{source}{index}", video_id="v", path=name, labels={"phase": label},
                caption=NASTY, source=source, seed=index,
            )
        )  # fmt: skip
    return Manifest(root=root, clips=tuple(clips))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table2:
    folder = tmp_path_factory.mktemp("cells")
    arms = {"Source": 0.4, "Source + Bora": 0.4001, "Source + Ophora": 0.65}
    cells = [
        make_cell(folder, arm, accuracy=accuracy, classifier=classifier)
        for arm, accuracy in arms.items()
        for classifier in ("SlowFast", "MViTv2")
    ]
    return build_table2(cells, data="OphSim", scale="nano", recipe="reference")


class Tags(HTMLParser):
    """Tags in order, the text outside of style, and whether every tag is closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open and self.open[-1] not in ("style", "script") else ""


def test_page_is_one_offline_well_formed_file(tmp_path: Path, table: Table2) -> None:
    manifests = {
        "real": manifest(tmp_path, "real", [7, 7, 3], 200),
        "Ophora": manifest(tmp_path, "ophora", [3, 7], 40),
    }
    names = [f"phase {k}" for k in range(52)]
    names[7] = NASTY
    panels = embedded(class_panels(manifests, "phase", names, [7, 3], tmp_path), tmp_path)
    curves = [
        curve_chart(
            "SlowFast",
            [
                Curve(SOURCE, 0, (1, 2), (30.0, 35.0)),
                Curve(arm_of("Bora"), 0, (1, 2), (31, 36)),
            ],
        ),
        curve_chart("MViTv2", [Curve(SOURCE, 0, (1, 2), (33.0, 39.0))]),
    ]
    metrics = {"fid_x_256x9": {"value": 3.0, "n": 256, "encoder": "x"}}
    quality = build_table1([("Ophora", None, metrics)], data="OphSim", scale="nano", protocol="p")
    run = {"note": NASTY}
    report = Report(Tables(table2=table, table1=quality), panels=panels, curves=curves, run=run)
    write_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page == render(report)  # deterministic

    parsed = Tags(page)
    assert not parsed.open and parsed.tags[0][0] == "html"
    assert not [tag for tag, _ in parsed.tags if tag in ("iframe", "object")]
    scripts = [attributes for tag, attributes in parsed.tags if tag == "script"]
    assert all(set(attributes) <= {"type"} for attributes in scripts)  # none from elsewhere
    for _, attributes in parsed.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"|"http://[^"]+"', "", page)
    ids = [attributes["id"] for _, attributes in parsed.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))

    assert parsed.text.count(NASTY) >= 4  # shown as text: a class name, prompts, run.json
    assert sum(tag == "table" for tag, _ in parsed.tags) == 2
    assert sum(tag == "svg" for tag, _ in parsed.tags) == 2
    images = [a for tag, a in parsed.tags if tag == "img"]
    assert len(images) == 4 and all(a["alt"] for a in images)
    assert json.loads(parsed.text[parsed.text.index('{\n  "note"') :].strip()) == run


def test_strips_show_the_frames_of_the_right_clip(tmp_path: Path) -> None:
    manifests = {
        "real": manifest(tmp_path, "real", [7, 3], 200),
        "Ophora": manifest(tmp_path, "ophora", [3, 7], 40),
        "mine": manifest(tmp_path, "mine", [3], 90),
    }
    (tmp_path / "ophora1.mp4").write_bytes(b"broken")
    (panel,) = class_panels(manifests, "phase", [f"p{k}" for k in range(52)], [7], tmp_path)
    real, ophora, mine = panel.exhibits
    assert (real.clip_id, real.seed) == ("real0", 0)
    data = (tmp_path / real.url).read_bytes()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    (inside,) = embedded([panel], tmp_path)
    assert base64.b64decode(inside.exhibits[0].url.split(",")[1]) == data
    assert image.shape == (96, 6 * 144, 3) and abs(float(image.mean()) - 200) < 4
    assert ophora.url == mine.url == ""  # unreadable; none of this class


def test_classes_are_the_commonest_that_all_sources_share(tmp_path: Path) -> None:
    manifests = {
        "real": manifest(tmp_path, "real", [1, 1, 2, 3, 3, 3], 200),
        "Ophora": manifest(tmp_path, "ophora", [3, 1], 40),
    }
    assert shared_classes(manifests, "phase", 5) == [3, 1]
    assert shared_classes(manifests, "phase", 1) == [3]
    assert shared_classes(manifests, "operation", 5) == []
    assert shared_classes({}, "phase", 5) == []


def test_verdict_says_what_is_reliable(table: Table2) -> None:
    sentence = accuracy_sentence(table)
    start = "On OphSim (nano, a single run), test split, matched epochs: Bora's clips showed no"
    assert sentence.startswith(start)
    assert "Ophora's clips raised top-1 (SlowFast +" in sentence
    alone = table.model_copy(
        update={"rows": tuple(r for r in table.rows if r.training_data == "Source")}
    )
    assert "no augmented arm" in accuracy_sentence(alone)


def test_a_loss_is_called_a_loss(tmp_path: Path) -> None:
    cells = [
        make_cell(tmp_path, arm, accuracy=a) for arm, a in (("Source", 0.6), ("Source + mine", 0.3))
    ]
    worse = build_table2(cells, data="OphNet2024", scale="paper", recipe="reference")
    assert "mine's clips lowered top-1 (SlowFast -" in accuracy_sentence(worse)
    assert "p = 0.000" not in accuracy_sentence(worse)


def test_a_verdict_on_both_schedules_says_both(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, "Source", accuracy=0.45)]
    cells += [
        make_cell(tmp_path, "Source + mine", accuracy=accuracy, schedule=schedule)
        for schedule, accuracy in (("matched_epochs", 0.7), ("matched_steps", 0.2))
    ]
    sentence = accuracy_sentence(
        build_table2(cells, data="OphSim", scale="nano", recipe="reference")
    )
    epochs, steps = sentence.split(" Test split, ")
    assert "matched epochs: mine's clips raised top-1" in epochs
    assert steps.startswith("matched steps: mine's clips lowered top-1")


def test_many_arms_are_named_by_what_they_did(tmp_path: Path) -> None:
    accuracies = {"Source": 0.5, "Source + a": 0.8, "Source + b": 0.2, "Source + c": 0.21}
    accuracies |= {"Source + d": 0.5001, "Only a": 0.1}
    cells = [make_cell(tmp_path, arm, accuracy=value) for arm, value in accuracies.items()]
    sentence = accuracy_sentence(
        build_table2(cells, data="OphSim", scale="nano", recipe="reference")
    )
    assert sentence.partition("matched epochs: ")[2] == (
        "a raised top-1; b, c, Only a lowered top-1; d showed no reliable difference in top-1."
    )
