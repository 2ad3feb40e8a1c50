"""The ledger of a full-scale plan: its parts against the published sizes, and what can be saved."""

from __future__ import annotations

import re

import pytest

from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from benchmarks.plan.ledger import (
    CLEAN_CLIPS,
    CURATED_CLIPS,
    LABELLED_CLIPS,
    OPHVL_CLIPS,
    ledger,
)


def numbers(text: str, row: str) -> list[float]:
    """The figures of a row of a table."""
    line = next(line for line in text.splitlines() if line.startswith(row))
    return [float(each.replace(",", "")) for each in re.findall(r"[\d,.]+$|[\d,.]+(?=\s)", line)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("plans")
    configs = {
        "two": load_config("paper/ophnet_phase", []),
        "one": load_config(
            "paper/ophnet_phase", ["sources=[source, ophora]", "quality.rows=[ophora]"]
        ),
        "classes": load_config(
            "paper/ophnet_phase", ["sources=[source, endora]", "quality.rows=[endora]"]
        ),
    }
    return {name: ledger(Plan(config, Inputs(root))) for name, config in configs.items()}


def test_encoded_clips_take_the_disk_that_their_latents_do(made: dict[str, str]) -> None:
    # float16: 13 x 60 x 90 latents of 16 channels and 226 embeddings of 4,096, of each clip twice
    # (fine-tuning reads the clean ones).
    each = 2 * (13 * 60 * 90 * 16 + 226 * 4096)
    assert each * CURATED_CLIPS / 1e12 == pytest.approx(0.66, abs=0.005)
    assert numbers(made["one"], "encoding")[-1] == round(each * (CURATED_CLIPS + CLEAN_CLIPS) / 1e9)


def test_every_clip_and_every_curated_clip_is_asked_about_once(made: dict[str, str]) -> None:
    extra = 2 * 1600  # at most: captions held out for Table 1 without --corpus-root
    calls = numbers(made["one"], "curation")[-1]
    assert 0 <= calls - OPHVL_CLIPS - CURATED_CLIPS <= extra
    assert f"{OPHVL_CLIPS:,} narrated clips" in made["one"].replace("\n", " ")


def test_leaving_a_source_out_saves_what_the_ledger_says(made: dict[str, str]) -> None:
    whole, less = (numbers(made[name], "all")[0] for name in ("two", "one"))
    saved = sum(
        numbers(made["two"], row)[0] for row in ("Source + Bora in", "Bora (w/ Ophora-160K) in")
    )
    assert 0 < saved < whole
    # What both need, Bora's training, is in neither line alone.
    assert whole - less > saved


def test_the_parts_add_up(made: dict[str, str]) -> None:
    parts = ("generators", "synthesis for Table 2", "synthesis for Table 1", "classifiers")
    hours = sum(numbers(made["two"], part)[-2] for part in parts)
    assert hours == pytest.approx(numbers(made["two"], "all")[0], abs=2)


def test_clips_that_a_stage_chooses_are_no_more_than_it_reads(made: dict[str, str]) -> None:
    labelled, trained_on = LABELLED_CLIPS["phase"]
    frames = 3 * 8 * 224**2 / 1e9  # of Source's clips and of 100 a phase: no arm is a corpus
    assert numbers(made["classes"], "classifiers")[-1] == round(frames * (labelled + 5200))
    # Endora reads frames as well: of the curated clips and, by class, of the labelled ones.
    read = 3 * 16 * 128**2 / 1e9 * (CURATED_CLIPS + trained_on)
    assert read < numbers(made["classes"], "generators")[-1] < 1.5 * read
