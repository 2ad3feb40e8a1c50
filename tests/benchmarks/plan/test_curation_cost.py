"""What `--dry-run` says about curation, against what a run then does."""

from __future__ import annotations

import csv
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.simulated import OphVLSim
from benchmarks.plan.curation_cost import curation_cost
from core.runtime import Runtime
from core.video import write_video
from generator.curation.chat import ANSWERS_NAME
from generator.curation.endpoint import Endpoint
from generator.curation.journal import Journal
from generator.curation.narrated import NarratedFolder
from generator.curation.privacy import OpenAIPrivacy
from generator.curation.refine import OpenAIRefine, prompt
from generator.curation.stages import Curation, PrivacyFilter
from tests.generator.curation.chat_server import ChatServer
from tests.generator.curation.scenes import moving
from tests.presets import DYNAMICS_NANO, RESOLUTION_NANO

CAPTION = "A hook turns the lens in the bag."


@pytest.fixture
def narrated(tmp_path: Path) -> NarratedFolder:
    """Three clips of two seconds, and a fourth in the list alone."""
    for number in range(3):
        write_video(tmp_path / "corpus" / "clips" / f"a_{number}.mp4", moving(number))
    with (tmp_path / "corpus" / "clips.csv").open("w", newline="") as file:
        rows = [[f"a_{number}", CAPTION] for number in range(4)]
        csv.writer(file).writerows([["clip id", "caption"], *rows])
    return NarratedFolder.at(
        tmp_path / "corpus", source="test", hash_memory=tmp_path / "hashes.json", **common(tmp_path)
    )


def common(root: Path) -> dict[str, Any]:
    return {"infra": {"folder": root / "cache"}, "runtime": Runtime(workers=1)}


def curation(root: Path, narrated: Any, **fields: Any) -> Curation:
    return Curation(
        narrated=narrated,
        dynamics=DYNAMICS_NANO,
        resolution=RESOLUTION_NANO,
        **common(root),
        **fields,
    )


def test_hours_follow_from_clips_that_are_there(tmp_path: Path, narrated: NarratedFolder) -> None:
    stage = curation(tmp_path, narrated)
    for planned in (stage, PrivacyFilter(clips=stage, **common(tmp_path))):
        said = curation_cost(planned)
        found = re.match(
            r"at most 4 clips; ([\d.]+) hours in 1 processes \(([\d.]+) s a clip, measured on 3\)$",
            said,
        )
        assert found and float(found[2]) > 0, said
    assert not stage.is_begun()  # looking left nothing behind


def test_nothing_is_measured_before_clips_are_drawn(tmp_path: Path) -> None:
    corpus = OphVLSim(seed=1, num_clips=375_000, **common(tmp_path))
    assert curation_cost(curation(tmp_path, corpus)) == "at most 375,000 clips"


def test_calls_and_tokens_of_language_models(tmp_path: Path, narrated: NarratedFolder) -> None:
    endpoint = Endpoint(base_url="http://127.0.0.1:9/v1", model="m", requests_per_minute=2)
    stage = curation(tmp_path, narrated, refine=OpenAIRefine(endpoint=endpoint))
    letters = sum(len(message["content"]) for message in prompt(CAPTION))
    tokens = 4 * letters / 4 / 1e6
    said = re.search(r"4 calls, ([\d.]+) \+ 0\.0 M tokens, 0\.03 hours", curation_cost(stage))
    assert said and float(said[1]) == pytest.approx(tokens, abs=0.06)
    privacy = PrivacyFilter(
        clips=stage,
        privacy=OpenAIPrivacy(endpoint=endpoint.model_copy(update={"requests_per_minute": None})),
        **common(tmp_path),
    )
    said = curation_cost(privacy)  # two frames of each two-second clip
    assert "8 calls, 0.0 + 0.0 M tokens (hours are known after the first answers)" in said


def test_hours_of_a_begun_run_come_from_its_answers(
    tmp_path: Path, narrated: NarratedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with closing(ChatServer(lambda body, number: CAPTION)) as server:
        endpoint = Endpoint(base_url=server.base_url, model="m", concurrency=2)
        stage = curation(tmp_path, narrated, refine=OpenAIRefine(endpoint=endpoint))
        stage.run()
    assert len(Journal.read(stage.folder / ANSWERS_NAME)) == 1
    assert "measured on 1 answers" in curation_cost(stage)
