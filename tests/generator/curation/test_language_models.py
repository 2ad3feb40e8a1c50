"""Real language models with random weights: in this process, and behind `transformers serve`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from core.errors import UserError
from core.runtime import Runtime
from generator.curation.chat import ANSWERS_NAME
from generator.curation.endpoint import Endpoint
from generator.curation.journal import Journal
from generator.curation.local import LocalModel
from generator.curation.narrated import NarratedFolder
from generator.curation.privacy import OpenAIPrivacy
from generator.curation.refine import OpenAIRefine, TransformersRefine, refine_captions
from generator.curation.stages import JOURNAL_NAME, Curation, judge_privacy
from tests.generator.curation.scenes import moving
from tests.generator.curation.tiny_models import save_qwen, save_qwen_vl
from tests.presets import DYNAMICS_NANO, RESOLUTION_NANO

CAPTION = "Hi there, viewers. The hook turns the lens implant in the bag."
START_S = 120.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return save_qwen(folder / "qwen"), save_qwen_vl(folder / "qwen_vl")


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """`transformers serve` on a free port; ends with the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    arguments = [str(command), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        [*arguments, "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + START_S
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def test_a_model_of_this_machine_refines_and_is_asked_once(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = TransformersRefine(local=LocalModel(model=str(models[0]), max_tokens=6))
    refined = dict(refine_captions([CAPTION, CAPTION], settings, tmp_path))
    assert refined[0] == refined[1]
    asked = (tmp_path / ANSWERS_NAME).read_bytes()
    assert asked.count(b"\n") in (1, 2, 3)  # one question, and what was asked after a rejection
    assert dict(refine_captions([CAPTION], settings, tmp_path))[0] == refined[0]
    assert (tmp_path / ANSWERS_NAME).read_bytes() == asked


def test_a_local_model_is_known_by_its_contents(models: tuple[Path, Path], tmp_path: Path) -> None:
    first = LocalModel(model=str(models[0]))
    moved = tmp_path / "moved"
    moved.symlink_to(models[0], target_is_directory=True)
    assert LocalModel(model=str(moved)).identity == first.identity
    assert LocalModel(model=str(models[1])).identity != first.identity
    assert LocalModel(model="Qwen/Qwen2.5-72B-Instruct").identity == (
        "Qwen/Qwen2.5-72B-Instruct@main"
    )


def test_a_folder_without_a_model_is_refused(tmp_path: Path, models: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=r"no such folder; give one, or a hub id"):
        LocalModel(model=str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"no config\.json in it"):
        LocalModel(model=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    broken = TransformersRefine(local=LocalModel(model=str(tmp_path)))
    with pytest.raises(UserError, match=r"transformers cannot load it"):
        dict(refine_captions([CAPTION], broken, tmp_path))


@pytest.mark.slow
def test_clips_are_refined_and_judged_by_served_models(
    served: str, models: tuple[Path, Path], corpus: Callable[..., Path], tmp_path: Path
) -> None:
    root = corpus({f"{name}_0": (moving(seed), CAPTION) for seed, name in enumerate("abc")})
    infra, runtime = {"folder": tmp_path / "cache"}, Runtime(workers=1)
    text, sight = (
        Endpoint(base_url=served, model=str(model), max_tokens=6, concurrency=2) for model in models
    )
    curation = Curation(
        narrated=NarratedFolder.at(
            root,
            source="made for the test",
            hash_memory=tmp_path / "hashes.json",
            infra=infra,
            runtime=Runtime(workers=1),
        ),
        refine=OpenAIRefine(endpoint=text),
        dynamics=DYNAMICS_NANO,
        resolution=RESOLUTION_NANO,
        infra=infra,
        runtime=runtime,
    )
    assert curation.run()["clips_out"] == 3  # whatever it answers, no clip is lost
    questions = Journal(curation.folder / ANSWERS_NAME).records
    assert questions and all(item["model"] == str(models[0]) for item in questions)
    privacy = OpenAIPrivacy(endpoint=sight)
    first = judge_privacy(tmp_path, curation.manifest(), privacy, 1)
    reasons = [verdict.sighting and verdict.sighting.reason for verdict in first.values()]
    assert reasons == ["unclear answer"] * 3  # random letters are neither yes nor no
    asked = (tmp_path / ANSWERS_NAME).read_bytes()
    (tmp_path / JOURNAL_NAME).unlink()  # what it saw is lost, what it was answered is not
    gone = privacy.model_copy(
        update={"endpoint": sight.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})}
    )
    assert judge_privacy(tmp_path, curation.manifest(), gone, 1) == first
    assert (tmp_path / ANSWERS_NAME).read_bytes() == asked
