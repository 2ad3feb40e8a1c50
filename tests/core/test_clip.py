import json
import shutil
from pathlib import Path
from typing import Any

import pydantic
import pytest

from core.clip import Clip, Manifest
from core.errors import UserError


def clip(clip_id: str = "a", **changes: Any) -> Clip:
    fields = {"clip_id": clip_id, "video_id": "case_1", "path": "videos/1.mp4", "source": "OphSim"}
    return Clip.model_validate({**fields, **changes})


def full_manifest(root: Path) -> Manifest:
    return Manifest(
        root=root,
        clips=(
            clip("a", start_s=0.0, end_s=1.25, labels={"phase": 3, "operation": 1}, split="train"),
            clip("b", caption="A “blue” stain\u2028and\x85a tear\n", split="test", seed=7),
            clip("c", end_s=0.06, split="train"),
        ),
    )


# --- one clip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_s": 2.0, "end_s": 2.0}, "end_s 2.0 is not after start_s 2.0"),
        ({"start_s": 2.0, "end_s": 1.0}, "end_s 1.0 is not after start_s 2.0"),
        ({"end_s": 0.0}, "greater than 0"),
        ({"start_s": -0.1}, "greater than or equal to 0"),
        ({"end_s": float("nan")}, "finite number"),
        ({"start_s": float("inf")}, "finite number"),
        ({"path": "/etc/passwd"}, "stay inside the root"),
        ({"path": "videos/../../secret.mp4"}, "stay inside the root"),
        ({"path": ""}, "at least 1 character"),
        ({"clip_id": ""}, "at least 1 character"),
        ({"labels": {"phase": -1}}, "greater than or equal to 0"),
        ({"labels": {"phase": 1.5}}, "valid integer"),
        ({"split": "dev"}, "'train', 'val' or 'test'"),
        ({"labl": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_clip_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        clip(**changes)


def test_label_per_task() -> None:
    assert clip(labels={"phase": 0, "operation": 5}).label("phase") == 0
    assert clip(labels={"phase": 0, "operation": 5}).label("operation") == 5
    with pytest.raises(UserError, match="clip 'a' has no operation label"):
        clip(labels={"phase": 0}).label("operation")


# --- manifests


def test_manifest_round_trip(tmp_path: Path) -> None:
    manifest = full_manifest(tmp_path / "data")
    manifest.save(tmp_path / "manifest.jsonl")
    assert Manifest.load(tmp_path / "manifest.jsonl") == manifest
    assert len(manifest) == 3
    assert [c.clip_id for c in manifest.of_split("train").clips] == ["a", "c"]
    assert not manifest.of_split("val").clips


def test_manifest_of_no_clips(tmp_path: Path) -> None:
    Manifest(root=tmp_path, clips=()).save(tmp_path / "m.jsonl")
    assert len(Manifest.load(tmp_path / "m.jsonl")) == 0


def test_a_results_folder_can_be_moved(tmp_path: Path) -> None:
    old = tmp_path / "old"
    full_manifest(old / "stage").save(old / "stage" / "manifest.jsonl")
    shutil.move(old, tmp_path / "new")
    manifest = Manifest.load(tmp_path / "new/stage/manifest.jsonl")
    assert manifest.path_of(manifest.clips[0]) == tmp_path / "new/stage/videos/1.mp4"


def test_a_root_elsewhere_is_absolute(tmp_path: Path) -> None:
    full_manifest(tmp_path / "data").save(tmp_path / "stage" / "manifest.jsonl")
    assert Manifest.load(tmp_path / "stage/manifest.jsonl").root == tmp_path / "data"


def test_saving_is_deterministic_and_short(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        full_manifest(tmp_path).save(tmp_path / name)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(lines[0]) == {"root": "."}
    assert "seed" not in json.loads(lines[1])  # unset fields are left out


def test_a_manifest_with_a_field_for_each_label_is_read(tmp_path: Path) -> None:
    full_manifest(tmp_path).save(tmp_path / "new.jsonl")
    text = (tmp_path / "new.jsonl").read_text(encoding="utf-8")
    old = text.replace('"labels":{"phase":3,"operation":1},', '"phase_id":3,"operation_id":1,')
    assert old != text
    (tmp_path / "old.jsonl").write_text(old, encoding="utf-8")
    assert Manifest.load(tmp_path / "old.jsonl") == Manifest.load(tmp_path / "new.jsonl")
    quoted = clip(caption='it says "phase_id": 7, and no more', labels={"phase": 1})
    Manifest(root=tmp_path, clips=(quoted,)).save(tmp_path / "quoted.jsonl")
    assert Manifest.load(tmp_path / "quoted.jsonl").clips == (quoted,)


def test_duplicate_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="clip_id 'a' appears twice"):
        Manifest(root=tmp_path, clips=(clip("a"), clip("a")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'line 1 must be {"root": FOLDER}'),
        ("[]\n", 'line 1 must be {"root": FOLDER}'),
        ('{"root": 5}\n', 'line 1 must be {"root": FOLDER}'),
        ('{"folder": "."}\n', 'line 1 must be {"root": FOLDER}'),
        ('{"root": "a\\u0000b"}\n', 'line 1 must be {"root": FOLDER}'),
        ('{"root": "a\\ud800"}\n', 'line 1 must be {"root": FOLDER}'),
        ("[" * 100_000, 'line 1 must be {"root": FOLDER}'),
        ("9" * 5000, 'line 1 must be {"root": FOLDER}'),
        ('{"root": "."}\nnot json\n', "line 2, line: Invalid JSON"),
        ('{"root": "."}\n{"clip_id": "a"}\n', "line 2, video_id: Field required"),
    ],
)
def test_bad_manifest_names_file_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        Manifest.load(path)
    assert str(raised.value).startswith(f"manifest {path}") and message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "../x.mp4"}, "stay inside the root"),
        ({"path": "a\0.mp4"}, "no path holds a zero"),
        ({"end_s": -1}, "line 3, end_s"),
        ({"clip_id": "a"}, "clip_id 'a' appears twice"),
        ({"weight": 2}, "line 3, weight: Extra inputs"),
    ],
)
def test_an_edited_line_is_checked(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "m.jsonl"
    full_manifest(tmp_path).save(path)
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[2] = json.dumps({**json.loads(lines[2]), **changes})
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Manifest.load(path)


def test_missing_or_binary_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Manifest.load(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8 text"):
        Manifest.load(tmp_path / "m.jsonl")


def test_videos_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    (disk / "1.mp4").write_text("x")
    (root / "videos").symlink_to(disk)
    manifest = Manifest(root=root, clips=(clip(),))
    assert manifest.path_of(manifest.clips[0]).read_text() == "x"
