"""Videos of the page: the right clips, small enough, linked where there is no room."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.collect.pictures import class_panels
from benchmarks.collect.players import HEIGHT_PX, MOST_FRAMES, caption_scenes, class_scenes
from benchmarks.report.classes import class_table, confusion_chart
from benchmarks.report.page import Report, render
from benchmarks.report.shown import ROOM_BYTES, embedded
from benchmarks.tables.build import build_table2
from benchmarks.tables.schema import Tables
from core.clip import Clip, Manifest
from core.errors import UserError
from core.video import probe, read_span, write_video
from tests.benchmarks.scores import make_cell

NAMES = [f"p{k}" for k in range(52)]


def manifest(root: Path, source: str, labels: list[int], level: int, **fields: object) -> Manifest:
    clips = []
    for index, label in enumerate(labels):
        path = f"{source}{index}.mp4"
        write_video(root / path, np.full((120, 240, 360, 3), level + label, np.uint8))
        clips.append(
            Clip(clip_id=f"c{index}", video_id="v", path=path, labels={"phase": label},
                 source=source, caption=f"caption {index}", **fields)
        )  # fmt: skip
    return Manifest(root=root, clips=tuple(clips))


def test_each_class_has_a_small_clip_of_each_source(tmp_path: Path) -> None:
    real = manifest(tmp_path, "real", [7, 3, 3], 100, start_s=1.0, end_s=15.0)
    made = manifest(tmp_path, "made", [3, 9], 50)
    (tmp_path / "real1.mp4").write_bytes(b"broken")
    scenes = class_scenes({"Real": real, "Made": made}, "phase", NAMES, tmp_path)
    assert [scene.title for scene in scenes] == ["3 · p3", "7 · p7", "9 · p9"]
    first = scenes[0].exhibits
    assert [(player.source, player.clip_id) for player in first] == [("Real", "c2"), ("Made", "c0")]
    assert scenes[1].exhibits[1].url == "" and scenes[2].exhibits[0].url == ""
    video = tmp_path / first[0].url
    info = probe(video)
    assert (info.width, info.height) == (216, HEIGHT_PX)
    frames = read_span(video)
    assert len(frames) <= MOST_FRAMES and abs(float(frames.mean()) - 103) < 4
    assert abs(len(frames) / info.fps - 14.0) < 0.6  # plays as fast as the clip


def test_clips_beyond_the_room_are_linked(tmp_path: Path) -> None:
    real = manifest(tmp_path / "cache", "real", [3], 100, start_s=1.0, end_s=2.5)
    made = manifest(tmp_path / "cache", "made", [3], 50)
    folder = tmp_path / "results" / "run"
    scenes = class_scenes({"Real": real, "Made": made}, "phase", NAMES, folder)
    (linked,) = embedded(scenes, folder, room_bytes=10)
    urls = ["clips/scene000-00.mp4", "clips/scene000-01.mp4"]
    assert [player.url for player in linked.exhibits] == urls
    sizes = [(folder / url).stat().st_size for url in urls]
    (some,) = embedded(scenes, folder, room_bytes=sizes[0])
    assert some.exhibits[0].url.startswith("data:video/mp4;base64,")
    assert some.exhibits[1].url == urls[1]
    shutil.rmtree(tmp_path / "cache")  # the page's own copies play without it
    assert abs(float(read_span(folder / urls[0]).mean()) - 103) < 4
    (folder / urls[0]).unlink()
    with pytest.raises(UserError, match=r"run: clips/scene000-00\.mp4 is missing: copy the whole"):
        embedded(scenes, folder)


def test_clips_of_a_caption_are_found_by_its_id(tmp_path: Path) -> None:
    real, made = manifest(tmp_path, "real", [1, 2], 100), manifest(tmp_path, "made", [1, 2], 50)
    scenes = caption_scenes({"Real": real, "Made": made}, 5, tmp_path)
    assert [scene.title for scene in scenes] == ["caption 0", "caption 1"]
    assert all(len({p.clip_id for p in scene.exhibits}) == 1 for scene in scenes)


def test_a_page_of_106_classes_and_six_sources_stays_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 64, 96, 3), np.uint8)
    sources = ["Real (test)", "Bora", "Ophora", "Endora", "mine", "captioned"]
    write_video(tmp_path / "noise.mp4", noise)  # hardest to compress
    manifests = {
        source: Manifest(
            root=tmp_path,
            clips=tuple(
                Clip(clip_id=f"{source}{label}", video_id="v", path="noise.mp4",
                     labels={"operation": label}, source=source, caption="of the usual length " * 4)
                for label in range(106)
            ),
        )
        for source in sources
    }  # fmt: skip
    names = [f"operation {label}" for label in range(107)]
    scenes = class_scenes(manifests, "operation", names, tmp_path)
    scenes = embedded(scenes, tmp_path, ROOM_BYTES)
    players = [player for scene in scenes for player in scene.exhibits]
    linked = [player for player in players if player.url.startswith("clips/")]
    assert len(scenes) == 106 and len(players) == 636 and 0 < len(linked) < 636
    cells = [
        make_cell(tmp_path, arm, classifier=classifier, task="operation")
        for arm in ("Source", *(f"Source + {source}" for source in sources[1:]))
        for classifier in ("SlowFast", "MViTv2")
    ]
    table = build_table2(cells, data="OphSim", scale="nano", recipe="reference")
    classes = class_table(cells, "operation", names, dict.fromkeys(range(107), "head"))
    confusions = confusion_chart("operation", "SlowFast", np.eye(107))
    assert classes is not None
    page = render(
        Report(
            Tables(table),
            scenes=scenes,
            panels=embedded(
                class_panels(manifests, "operation", names, range(6), tmp_path), tmp_path
            ),
            classes=[classes],
            mistakes=[confusions],
        )
    )
    assert 8e6 < len(page.encode()) < 15e6
