import errno
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import core.stage
from core.clip import MANIFEST_NAME
from core.errors import StageBusy, UserError
from core.files import read_json
from core.runtime import Runtime
from core.stage import RESULT_NAME, Stage
from tests.core.stages import BlueClips, Count, Double, DoubleV2, FailOnce, Reader, RedClips

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-c", "from tests.core.stages import main; main()"]


@pytest.fixture
def infra(tmp_path: Path) -> dict[str, Any]:
    return {"folder": str(tmp_path / "cache")}


def in_other_process(folder: str, *, seconds_per_step: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "SECONDS_PER_STEP": str(seconds_per_step)}
    return subprocess.Popen(
        [*RUN, folder],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


# --- computed once


def test_a_stage_runs_once(infra: dict[str, Any]) -> None:
    first = Count(steps=3, infra=infra)
    assert not first.is_done() and first.record() == {}
    assert first.run() == {"total": 3}
    again = Count(steps=3, infra=infra)
    assert again.is_done() and again.run() == {"total": 3}
    assert (again.folder / "log.txt").read_text().splitlines() == ["step 0", "step 1", "step 2"]
    assert read_json(again.folder / RESULT_NAME) == {"total": 3}
    record = again.record()
    assert 0 <= record["seconds"] < 10 and "commit" in record


def test_upstream_runs_on_demand_and_once(infra: dict[str, Any]) -> None:
    stage = Double(count=Count(steps=4, infra=infra), infra=infra)
    assert not stage.count.is_done()
    assert stage.run() == {"value": 12}
    other = Double(count=Count(steps=4, infra=infra), factor=3, infra=infra)
    assert other.run() == {"value": 18}
    assert len((other.count.folder / "log.txt").read_text().splitlines()) == 4


def test_a_failure_is_tried_again(infra: dict[str, Any]) -> None:
    stage = FailOnce(infra=infra)
    broken = stage.folder.parent / "broken"
    broken.parent.mkdir(parents=True)
    broken.touch()
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            FailOnce(infra=infra).run()
    assert not stage.is_done()
    broken.unlink()
    assert FailOnce(infra=infra).run() == {"ok": True}
    assert (stage.folder / "log.txt").read_text() == "run\n" * 3


def test_without_a_folder_it_says_so() -> None:
    with pytest.raises(ValueError, match=r"Count has no cache folder: set infra\.folder"):
        Count().run()


# --- what the key depends on


def key(stage: Stage) -> str:
    return stage.infra.uid()


def test_key_depends_on_hyperparameters_and_upstream() -> None:
    stages = [
        Double(),
        Double(factor=3),
        Double(count=Count(steps=6)),
        Double(count=Count(steps=6, offset=1)),
        DoubleV2(),
    ]
    assert len({key(stage) for stage in stages}) == len(stages)


def test_key_does_not_depend_on_machinery(infra: dict[str, Any]) -> None:
    machinery = Runtime(device="cpu", threads=3, workers=7, wait=False)
    here = Double(count=Count(infra=infra, runtime=machinery), infra=infra, runtime=machinery)
    elsewhere = Double(infra={"folder": "elsewhere"})
    assert key(here) == key(elsewhere)


def test_version_enters_the_key_of_everything_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(Count()), key(Double(count=Count()))
    monkeypatch.setattr(Count, "version", "2")
    after = key(Count()), key(Double(count=Count()))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_sources_with_equal_fields_have_their_own_keys(infra: dict[str, Any]) -> None:
    readers = {
        colour: Reader(source=kind(count=1, infra=infra), infra=infra)
        for colour, kind in (("red", RedClips), ("blue", BlueClips))
    }
    assert key(readers["red"]) != key(readers["blue"])
    assert {colour: reader.run() for colour, reader in readers.items()} == {
        "red": {"ids": ["red-0"]},
        "blue": {"ids": ["blue-0"]},
    }
    # The same with every field at its default, where only the class tells them apart.
    red, blue = (Reader(source=kind(infra=infra), infra=infra) for kind in (RedClips, BlueClips))
    assert red.run() != blue.run()


def test_the_folder_is_named_after_the_configuration(infra: dict[str, Any]) -> None:
    folder = Count(steps=7, infra=infra).folder
    assert "steps=7" in folder.name and folder.parent.name == "Count,1"


def test_moving_a_module_changes_no_folder(
    infra: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Double(count=Count(steps=4, infra=infra), infra=infra)
    assert before.run() == {"value": 12}
    handed = pickle.loads(pickle.dumps(before))  # as a worker process has it
    for kind in (Count, Double):
        monkeypatch.setattr(kind, "__module__", "moved.elsewhere")
    after = Double(count=Count(steps=4, infra=infra), infra=infra)
    assert after.folder == before.folder == handed.folder
    assert after.is_done() and after.count.is_done()


def test_two_stages_never_share_a_name() -> None:
    body = {"__module__": "some.other.module"}
    with pytest.raises(TypeError, match=r"tests\.core\.stages has a stage Count: name it"):
        type("Count", (Stage,), body)


# --- the tower


def test_tower_lists_dependencies_first_and_once(infra: dict[str, Any]) -> None:
    red, blue = RedClips(infra=infra), BlueClips(infra=infra)
    stage = Reader(source=red, more=(blue, RedClips(infra=infra)), infra=infra)
    assert [type(s).__name__ for s in stage.upstream()] == ["RedClips", "BlueClips", "RedClips"]
    assert [type(s).__name__ for s in stage.tower()] == ["RedClips", "BlueClips", "Reader"]


def test_clip_source_runs_for_its_manifest(infra: dict[str, Any]) -> None:
    source = RedClips(count=3, infra=infra)
    manifest = source.manifest()
    assert len(manifest) == 3 and (source.folder / MANIFEST_NAME).is_file()
    assert manifest.path_of(manifest.clips[1]) == source.folder / "red/1.mp4"


# --- kill, resume, two runs at once


def test_kill_in_the_middle_then_resume(infra: dict[str, Any], tmp_path: Path) -> None:
    # Without waiting: the lock of a killed run is free.
    stage = Count(steps=5, infra=infra, runtime=Runtime(wait=False))
    process = in_other_process(infra["folder"], seconds_per_step=0.5)
    wait_for(stage.folder / "step-1.txt", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not stage.is_done()
    assert stage.run() == {"total": 10}

    uninterrupted = Count(steps=5, infra={"folder": str(tmp_path / "other")})
    assert uninterrupted.run() == {"total": 10}
    for name in (RESULT_NAME, *(f"step-{k}.txt" for k in range(5))):
        assert (stage.folder / name).read_bytes() == (uninterrupted.folder / name).read_bytes()
    steps = (stage.folder / "log.txt").read_text().splitlines()
    assert steps.count("step 0") == steps.count("step 1") == 1  # whole steps are not done twice
    assert steps.count("step 4") == 1


def test_a_second_run_waits_or_says_busy(
    infra: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core.stage, "QUIET_WAIT_S", 0.1)
    stage = Count(steps=5, infra=infra)
    process = in_other_process(infra["folder"], seconds_per_step=0.4)
    wait_for(stage.folder / "step-0.txt", process)

    impatient = Count(steps=5, infra=infra, runtime=Runtime(wait=False))
    with pytest.raises(StageBusy, match=r"another run holds .*leave out --no-wait") as raised:
        impatient.run()
    assert isinstance(raised.value, UserError) and "\n" not in str(raised.value)

    assert stage.run() == {"total": 10}
    assert "waiting for another run that holds" in capsys.readouterr().err
    out, err = process.communicate()
    assert (process.returncode, out.strip()) == (0, "{'total': 10}"), err
    log = (stage.folder / "log.txt").read_text().splitlines()
    assert log == [f"step {k}" for k in range(5)]  # computed once, by the first run
    assert impatient.run() == {"total": 10}  # and the refusal is not remembered


def test_a_file_system_without_locks_is_one_line(
    infra: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    stage = Count(steps=1, infra=infra)
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(UserError, match=r"\.lock: No locks available: .* gives no locks"):
            stage.run()
    assert Count(steps=1, infra=infra).run() == {"total": 0}  # the next command
