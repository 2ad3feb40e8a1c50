"""Both stages and the folder source, on real clips: outcome, resume, endpoints, bad input."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.clip import Clip
from core.errors import UserError
from core.runtime import Runtime
from core.stage import Stage
from generator.curation import dynamics
from generator.curation.decisions import assign_splits
from generator.curation.endpoint import Endpoint
from generator.curation.narrated import NarratedFolder, read_captions
from generator.curation.privacy import OpenAIPrivacy
from generator.curation.refine import OpenAIRefine
from generator.curation.stages import JOURNAL_NAME, Curation, PrivacyFilter
from tests.generator.curation.chat_server import ChatServer
from tests.generator.curation.scenes import eye, moving, with_text
from tests.presets import DYNAMICS_NANO, RESOLUTION_NANO

SMALL = {"dynamics": DYNAMICS_NANO, "resolution": RESOLUTION_NANO}
CAPTION = "Hi there, viewers. The hook turns the lens implant in the bag."
INSTRUCTION = "The hook turns the lens implant in the bag."
Corpus = Callable[..., Path]


def clips() -> dict[str, Any]:
    """Two clean clips, and one for each reason to drop one."""
    wild = np.stack([eye(seed) if seed % 2 else 255 - eye(seed) for seed in range(16)])
    return {
        "a_0": (moving(1), CAPTION),
        "a_1": (np.repeat(eye(1)[None], 16, axis=0), CAPTION),
        "b_0": (with_text(moving(2), "stay tuned folks", (30, 150)), CAPTION),
        "b_1": (moving(2, size=(96, 64)), CAPTION),
        "b_x_2": (wild, CAPTION),
        "c_0": (moving(3), ""),
        "c_1": (moving(4), CAPTION),
        "d_0": (None, CAPTION),
    }


def stages(root: Path, tmp_path: Path, **fields: Any) -> tuple[Curation, PrivacyFilter]:
    infra, runtime = {"folder": tmp_path / "cache"}, Runtime(workers=1)
    privacy = {"privacy": fields.pop("privacy")} if "privacy" in fields else {}
    narrated = folder_of(root, tmp_path)
    curation = Curation(narrated=narrated, infra=infra, runtime=runtime, **SMALL, **fields)
    return curation, PrivacyFilter(clips=curation, infra=infra, runtime=runtime, **privacy)


def folder_of(root: Path, tmp_path: Path) -> NarratedFolder:
    return NarratedFolder.at(
        root,
        source="made for the test",
        hash_memory=tmp_path / "hashes.json",
        infra={"folder": tmp_path / "cache"},
        runtime=Runtime(workers=1),
    )


def rows(stage: Curation | PrivacyFilter) -> dict[str, dict[str, str]]:
    with (stage.folder / "decisions.csv").open(newline="", encoding="utf-8") as file:
        return {row["clip id"]: row for row in csv.DictReader(file)}


def test_every_clip_has_one_reason_and_the_funnels_add_up(corpus: Corpus, tmp_path: Path) -> None:
    curation, clean = stages(corpus(clips()), tmp_path)
    assert clean.run()["clips_out"] == 2
    reasons = {clip_id: row["reason"] for clip_id, row in rows(curation).items()}
    assert reasons == {
        "a_0": "",
        "a_1": "static",
        "b_0": "",
        "b_1": "low resolution",
        "b_x_2": "restless",
        "c_0": "no caption",
        "c_1": "",
    }
    assert rows(curation)["b_1"]["value"] == "96x64"
    assert rows(curation)["a_0"]["raw_caption"] == CAPTION
    assert [clip.caption for clip in curation.manifest().clips] == [INSTRUCTION] * 3
    assert [clip.clip_id for clip in clean.manifest().clips] == ["a_0", "c_1"]
    assert rows(clean)["b_0"]["reason"] == "text" and float(rows(clean)["b_0"]["value"]) > 0.7
    assert "tuned" not in (clean.folder / JOURNAL_NAME).read_text()  # what it says is not kept
    for stage in (curation, clean):
        funnel = json.loads((stage.folder / "funnel.json").read_text())
        left = funnel["clips_in"]
        for step in funnel["steps"]:
            assert step["before"] == left
            assert step["after"] == left - sum(step["dropped"].values())
            left = step["after"]
        assert left == funnel["clips_out"] == len(stage.manifest())
    assert (curation.narrated.folder / "missing.txt").read_text() == "d_0\n"


def test_an_interrupted_run_looks_at_no_clip_twice_and_ends_the_same(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = corpus(clips())
    whole = stages(root, tmp_path / "whole")[0]
    whole.run()
    resumed = stages(root, tmp_path / "resumed")[0]
    looked: list[str] = []
    count = dynamics.count_keyframes

    def stop_after_three(path: Path, *rest: Any) -> Any:
        if len(looked) == 3:
            raise KeyboardInterrupt
        looked.append(Path(path).stem)
        return count(path, *rest)

    monkeypatch.setattr("generator.curation.stages.count_keyframes", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        resumed.run()
    assert not resumed.is_done()
    with (resumed.folder / JOURNAL_NAME).open("a") as file:
        file.write('{"clip_id": "c_1", "lo')  # the kill tore the last line

    def go_on(path: Path, *rest: Any) -> Any:
        looked.append(Path(path).stem)
        return count(path, *rest)

    monkeypatch.setattr("generator.curation.stages.count_keyframes", go_on)
    resumed.run()
    assert sorted(looked) == ["a_0", "a_1", "b_0", "b_x_2", "c_0", "c_1"]
    for name in ("manifest.jsonl", "decisions.csv", "funnel.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.slow
def test_workers_change_nothing(corpus: Corpus, tmp_path: Path) -> None:
    texts = []
    for workers in (1, 2):
        curation = stages(corpus(clips()), tmp_path / str(workers))[0]
        curation = curation.infra.clone_obj({"runtime.workers": workers})
        curation.run()
        texts.append((curation.folder / "decisions.csv").read_bytes())
    assert texts[0] == texts[1]


def test_one_unreadable_file_is_skipped_two_stop_the_run(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = corpus(clips())
    (root / "clips" / "a_1.mp4").write_bytes(b"")
    curation = stages(root, tmp_path / "one")[0]
    assert curation.run()["unreadable"] == 1
    assert curation.run()["left_out"]["unreadable"]["number"] == 1
    assert rows(curation)["a_1"]["step"] == "readable"
    assert (
        "1 of 7 clips left out: unreadable (1: a_1: the file is empty)" in capsys.readouterr().err
    )
    (root / "clips" / "b_1.mp4").write_bytes(b"garbage")
    broken = stages(root, tmp_path / "two")[0]
    with pytest.raises(
        UserError, match=r"2 of 7 clips .*unreadable \(2: a_1: .*, b_1: .*\); repair"
    ):
        broken.run()


def test_nothing_left_is_an_error_that_names_the_reason(corpus: Corpus, tmp_path: Path) -> None:
    root = corpus({"a_0": (moving(1, size=(96, 64)), CAPTION)})
    with pytest.raises(UserError, match=r"keeps none of 1 .*low resolution"):
        stages(root, tmp_path)[0].run()


def test_endpoints_refine_and_judge_with_images(
    corpus: Corpus, tmp_path: Path, chat_server: Callable[..., ChatServer]
) -> None:
    def script(body: dict[str, Any], number: int) -> str:
        content = body["messages"][-1]["content"]
        if isinstance(content, str):
            return INSTRUCTION
        assert content[0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
        return "Yes, a logo." if number == 4 else "No."

    server = chat_server(script)
    endpoint = Endpoint(base_url=server.base_url, model="m", concurrency=1)
    chosen = {name: clip for name, clip in clips().items() if name in ("a_0", "b_0", "c_1")}
    curation, clean = stages(
        corpus(chosen),
        tmp_path,
        refine=OpenAIRefine(endpoint=endpoint),
        privacy=OpenAIPrivacy(endpoint=endpoint),
    )
    assert clean.run()["clips_out"] == 2
    assert {row["caption_by"] for row in rows(curation).values()} == {"llm"}
    # One call for the three equal captions; then two frames a clip, but one after a "yes".
    assert [row["frames_read"] for row in rows(clean).values()] == ["2", "1", "2"]
    assert len(server.bodies) == 1 + 5


def test_an_unclear_answer_counts_as_sensitive(
    corpus: Corpus, tmp_path: Path, chat_server: Callable[..., ChatServer]
) -> None:
    server = chat_server(lambda body, number: "Hard to say")
    endpoint = Endpoint(base_url=server.base_url, model="m")
    root = corpus({"a_0": (moving(1), CAPTION)})
    clean = stages(root, tmp_path, privacy=OpenAIPrivacy(endpoint=endpoint))[1]
    with pytest.raises(UserError, match="unclear answer"):
        clean.run()


def key_of(stage: Stage) -> str:
    return stage.infra.uid()


def test_the_key_knows_contents_and_models_but_no_places(corpus: Corpus, tmp_path: Path) -> None:
    root = corpus({"a_0": (moving(1), CAPTION)})
    first = stages(root, tmp_path)[0]
    moved = root.rename(tmp_path / "elsewhere")
    assert key_of(stages(moved, tmp_path)[0]) == key_of(first)
    (moved / "clips.csv").write_text("clip id,caption\na_0,The hook turns the lens.\n")
    assert key_of(stages(moved, tmp_path)[0]) != key_of(first)

    def key(**options: Any) -> str:
        endpoint = Endpoint(**{"base_url": "http://a/v1", "model": "m", **options})
        return key_of(stages(moved, tmp_path, refine=OpenAIRefine(endpoint=endpoint))[0])

    assert key(base_url="http://b/v1", concurrency=3) == key()
    assert key(model="n") != key()
    assert key_of(stages(moved, tmp_path)[0]) != key()


def test_splits_are_by_video_stable_and_never_empty() -> None:
    def clip(video: int, number: int) -> Clip:
        name = f"v{video}"
        return Clip(clip_id=f"{name}_{number}", video_id=name, path="x", source="s")

    many = assign_splits([clip(video, number) for video in range(400) for number in (0, 1)])
    sides = {c.video_id: c.split for c in many}
    assert all(sides[c.video_id] == c.split for c in many)
    assert 0.15 < sum(side == "val" for side in sides.values()) / 400 < 0.25
    fewer = assign_splits([clip(video, 0) for video in range(0, 400, 2)])
    assert all(sides[c.video_id] == c.split for c in fewer)
    for count in range(2, 8):
        assert {c.split for c in assign_splits([clip(v, 0) for v in range(count)])} == {
            "train",
            "val",
        }


def test_the_published_form_is_read(corpus: Corpus, tmp_path: Path) -> None:
    root = corpus({"some_video_12": (moving(1), 'a "quoted", text')}, column="instruction")
    (clip,) = folder_of(root, tmp_path).manifest().clips
    assert (clip.video_id, clip.caption) == ("some_video", 'a "quoted", text')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_id,caption\nx,y\n", "line 1: column 'clip id' is missing"),
        ("clip id,text\nx,y\n", "line 1: column 'caption' is missing"),
        ("", "column 'clip id' is missing: the file is empty"),
        ('clip id,caption\na,"b\nc,d\n', "line 2: a quotation mark opens"),
        ("clip id,caption\na,b,c\n", "line 2: 3 cells where the header has 2"),
        ("clip id,caption\nx,y\nx,z\n", "line 3: clip id 'x' appears twice"),
        ("clip id,caption\n,y\n", "line 2: no clip id"),
    ],
)
def test_a_bad_csv_is_named_with_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_captions(tmp_path)


def test_a_folder_without_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no clips\.csv in it"):
        folder_of(tmp_path, tmp_path)
    for climbing in ("../../etc/x", "/etc/x"):
        (tmp_path / "clips.csv").write_text(f"clip id,caption\n{climbing},y\n")
        with pytest.raises(UserError, match=r"outside its root|none of the 1 clips"):
            folder_of(tmp_path, tmp_path)
    (tmp_path / "clips.csv").write_text("clip id,caption\nx_0,y\n")
    with pytest.raises(UserError, match="none of the 1 clips"):
        folder_of(tmp_path, tmp_path)
