"""The review kit: blinded, made alike, kept over a reload, and read back with its faults found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from benchmarks.review.answers import load_key, read_answers
from benchmarks.review.kit import CRITERIA_PATH, Choice, Criteria, Key, build_kit
from benchmarks.review.summary import agreement, class_means, means, write_review
from core.clip import Clip, Manifest
from core.errors import UserError
from core.video import probe, write_video
from generator.base import ClipShape
from tests.benchmarks.browsing import open_page, violations

NASTY = "<b onclick=alert(1)>Gel</b>"
NAMES = [NASTY, "Cut", "Pause"]
SHAPE = ClipShape(num_frames=9, width=96, height=64)


def manifest(root: Path, source: str, frames: int, size: tuple[int, int]) -> Manifest:
    """Three clips of each of three classes."""
    clips = []
    for number in range(9):
        name = f"{source}{number}.mp4"
        write_video(root / name, np.full((frames, *size, 3), 20 * number, np.uint8))
        clips.append(Clip(clip_id=f"{source}-{number}", video_id="v", path=name,
                          labels={"phase": number % 3}, source=source))  # fmt: skip
    return Manifest(root=root, clips=tuple(clips))


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    manifests = {
        "Real": manifest(root, "taped", 24, (128, 192)),
        "Ophora": manifest(root, "painted", 9, (64, 96)),
    }
    (root / "taped0.mp4").write_bytes(b"broken")
    target = root / "kit"
    criteria = Criteria.load(CRITERIA_PATH)
    build_kit(target, manifests, NAMES, Choice("phase", classes=2, clips=2), SHAPE, criteria)
    with pytest.raises(UserError, match="holds a kit already"):
        build_kit(target, manifests, NAMES, Choice("phase"), SHAPE, criteria)
    return target


def answers_of(key: Key, rater: str, score: Any, **fields: Any) -> dict[str, Any]:
    scores = {
        item.id: {c.id: score(item, n) for n, c in enumerate(key.criteria.criteria)}
        for item in key.items
    }
    return {"kit": key.kit, "rater": rater, "scores": scores, "seconds": {}} | fields


def write(path: Path, answers: dict[str, Any]) -> Path:
    path.write_text(json.dumps(answers), encoding="utf-8")
    return path


def test_a_kit_is_balanced_blinded_and_alike(kit: Path) -> None:
    key = load_key(kit)
    assert len(key.criteria.criteria) == 7 and len(key.criteria.levels) == 4
    counts = {(item.source, item.class_id) for item in key.items}
    assert len(key.items) == 8 and len(counts) == 4  # 2 classes x 2 sources x 2 clips
    assert "taped-0" not in {item.clip_id for item in key.items}  # unreadable
    page = (kit / "review.html").read_text(encoding="utf-8")
    for secret in ("Ophora", "taped", "painted", key.items[0].clip_id):
        assert secret not in page
    looks = set()
    for item in key.items:
        info = probe(kit / "clips" / f"{item.id}.mp4")
        looks.add((info.width, info.height, info.fps, info.num_frames))
    assert looks == {(96, 64, 8.0, 9)}


def test_scores_survive_a_reload_and_the_export_aggregates(kit: Path, browser: Browser) -> None:
    with open_page(browser, kit / "review.html") as page:
        page.get_by_label("Your name").fill("Dr Ä 1")
        page.get_by_role("button", name="Begin").click()
        page.wait_for_function("document.querySelector('video').currentTime > 0")
        first = page.locator("video").get_attribute("src")
        for group in page.locator("fieldset").all():
            group.get_by_label("2 50-90% real").check()
        page.get_by_role("button", name="Next").click()
        page.locator("fieldset").first.get_by_label("0 0-10% real").check()
        second = page.locator("video").get_attribute("src")
        assert "Clip 2 of 8; 1 scored" in page.get_by_role("status").inner_text()
        assert not violations(page)
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

        page.reload()
        assert page.get_by_label("Your name").input_value() == "Dr Ä 1"
        page.get_by_role("button", name="Begin").click()
        assert page.locator("video").get_attribute("src") == second != first
        assert page.locator("fieldset").first.get_by_label("0 0-10% real").is_checked()
        page.get_by_role("button", name="Back").click()
        assert page.locator("video").get_attribute("src") == first
        assert page.locator("input[value='2']:checked").count() == 7
        page.get_by_role("button", name="First clip without").click()
        assert page.locator("video").get_attribute("src") == second
        assert page.locator("#asked").inner_text() in NAMES  # markup is text
        with page.expect_download() as download:
            page.get_by_role("button", name="Export").click()
        file = kit / "answers.json"
        download.value.save_as(file)
    review = read_answers(load_key(kit), [file])
    assert review.raters == ("Dr Ä 1",) and int((~np.isnan(review.scores)).sum()) == 8
    assert "48 scores of 7 clips missing" in review.notes[0]


def test_means_and_agreement_are_those_of_the_scores(kit: Path, tmp_path: Path) -> None:
    key = load_key(kit)
    rng = np.random.default_rng(0)
    noise = {item.id: rng.integers(0, 2) for item in key.items}

    def good(item: Any, number: int) -> int:
        return int(2 + noise[item.id]) if item.source == "Real" else int(noise[item.id])

    files = [
        write(tmp_path / "a.json", answers_of(key, "A", good)),
        write(tmp_path / "b.json", answers_of(key, "B", lambda i, n: good(i, n) if n else 1)),
    ]
    review = read_answers(key, files)
    found = {
        (source, name): (mean, low, high) for source, name, _, mean, low, high in means(review)
    }
    expected = np.mean([good(item, 1) for item in key.items if item.source == "Real"])
    mean, low, high = found["Real", "Phase Completeness"]
    assert mean == pytest.approx(expected) and low <= mean <= high
    by_name = {name: (alpha, kappa) for name, alpha, kappa in agreement(review)}
    assert by_name["Phase Completeness"] == (pytest.approx(1.0), pytest.approx(1.0))
    alpha, kappa = by_name["Phase Matching"]  # B says 1 whatever there is to see
    assert alpha is not None and alpha < 0.2 and kappa == pytest.approx(0.0)
    text = write_review(review, tmp_path / "out")
    assert "| Real" in text and "Krippendorff" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "review.md",
        "means.csv",
        "action_logic.svg",
        "classes_Real.svg",
        "classes_Ophora.svg",
    }
    classes, scores = class_means(review, "Ophora")
    asked = {item.asked: item.class_id for item in key.items}
    assert sorted(asked, key=asked.__getitem__) == classes
    for name, row in zip(classes, scores, strict=True):
        mine = [i for i in key.items if i.source == "Ophora" and i.asked == name]
        assert row[1:] == pytest.approx(np.mean([good(item, 1) for item in mine]))
    figure = (tmp_path / "out" / "classes_Ophora.svg").read_text(encoding="utf-8")
    assert "Action Effectiveness" in figure and f"{scores[0, 1]:.2f}" in figure


def test_faulty_files_do_not_count_and_are_named(kit: Path, tmp_path: Path) -> None:
    key = load_key(kit)
    good = answers_of(key, "A", lambda item, number: number % 4)
    files = [
        write(tmp_path / "good.json", good),
        write(tmp_path / "again.json", good | {"scores": {}}),
        write(tmp_path / "copied.json", good | {"rater": "B"}),
        write(tmp_path / "other.json", good | {"rater": "C", "kit": "0"}),
        write(tmp_path / "high.json", answers_of(key, "D", lambda item, number: 4)),
        write(tmp_path / "unknown.json", good | {"rater": "E", "scores": {"x": {}}}),
        write(tmp_path / "odd.json", {"rater": "F"}),
        tmp_path / "absent.json",
    ]
    review = read_answers(key, files)
    assert review.raters == ("A",) and len(review.faults) == 7
    for fault, part in zip(
        review.faults,
        ("reviewer 'A' is in", "the same scores as in", "of kit 0, not", "is no score of this kit",
         "clip 'x' is not in the kit", "not a reviewer's file", "no such file"),
        strict=True,
    ):  # fmt: skip
        assert part in fault
    with pytest.raises(UserError, match="no reviewer's file counts"):
        read_answers(key, files[-1:])


@pytest.mark.parametrize(
    ("start", "encoding"),
    [(b"\xef\xbb\xbf", "utf-8"), (b"", "utf-16"), (b"", "utf-16-le"), (b"", "utf-8")],
)
def test_files_that_an_editor_saved_anew_count(
    kit: Path, tmp_path: Path, start: bytes, encoding: str
) -> None:
    key = load_key(kit)
    text = json.dumps(answers_of(key, "Dr Ä", lambda i, n: n % 4), indent=1, ensure_ascii=False)
    path = tmp_path / "a.json"
    path.write_bytes(start + text.replace("\n", "\r\n").encode(encoding))
    review = read_answers(key, [path])
    assert review.raters == ("Dr Ä",) and review.faults == review.notes == ()
    assert not np.isnan(review.scores).any()


def test_of_one_reviewers_files_the_fuller_one_counts_and_copies_once(
    kit: Path, tmp_path: Path
) -> None:
    key = load_key(kit)
    whole = answers_of(key, "Anna", lambda item, number: number % 4)
    half = whole | {"scores": dict(list(whole["scores"].items())[:3])}
    changed = answers_of(key, "Ben", lambda item, number: 1, seconds={key.items[0].id: 4.0})
    files = [
        write(tmp_path / "anna half.json", half),
        write(tmp_path / "anna.json", whole),
        write(tmp_path / "anna (1).json", whole),
        write(tmp_path / "anna small.json", whole | {"rater": "anna "}),
        write(tmp_path / "ben early.json", answers_of(key, "Ben", lambda item, number: 0)),
        write(tmp_path / "ben.json", changed),
    ]
    review = read_answers(key, files)
    assert review.raters == ("Anna", "Ben") and review.notes == ()
    assert not np.isnan(review.scores).any() and (review.scores[1] == 1).all()
    faults = [fault.removeprefix(f"{tmp_path}/") for fault in review.faults]
    assert faults == [
        f"anna half.json: reviewer 'Anna' is in {files[1]}, which counts: it "
        "holds 56 scores, this one 21",
        f"anna (1).json: the same scores as in {files[1]}",
        f"anna small.json: the same scores as in {files[1]}",
        f"ben early.json: reviewer 'Ben' is in {files[5]}, which counts: it "
        "holds 56 scores, this one 56",
    ]


def test_a_file_in_another_alphabet_is_named_with_the_cure(kit: Path, tmp_path: Path) -> None:
    key = load_key(kit)
    good = write(tmp_path / "good.json", answers_of(key, "A", lambda item, number: 1))
    text = json.dumps(answers_of(key, "Dr Ä", lambda i, n: 2), ensure_ascii=False)
    (tmp_path / "latin.json").write_bytes(text.encode("latin-1"))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    review = read_answers(key, [good, tmp_path / "latin.json", tmp_path / "deep.json", tmp_path])
    assert review.raters == ("A",)
    assert "is not UTF-8: save it as UTF-8" in review.faults[0]
    assert "recursion" in review.faults[1] and "is a directory" in review.faults[2]
