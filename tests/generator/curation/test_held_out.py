"""Curation scored on OphVL-sim with talk, texts and fonts that it was not built on (held_out/).

    make test ARGS="tests/generator/curation/test_held_out.py -s --held-out-clips 1200"
prints the tables of docs/curation.md; by default fewer clips are drawn.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from tabulate import tabulate

from benchmarks.datasets.ophvl_sim.narration import NARRATIONS_PATH, NarrationBook, narrate
from benchmarks.datasets.ophvl_sim.overlays import OVERLAYS_PATH, OverlayBook
from benchmarks.datasets.ophvl_sim.writer import write_ophvl_sim
from core.runtime import Runtime
from generator.curation.narrated import CLIPS_CSV, NarratedFolder
from generator.curation.stages import Curation, PrivacyFilter
from tests.presets import DYNAMICS_NANO, RESOLUTION_NANO

HELD_OUT = Path(__file__).with_name("held_out")
SEED = 9001  # no corpus of the suite has it
NARRATIONS = NarrationBook.load(HELD_OUT / "narrations.yaml")
OVERLAYS = OverlayBook.load(HELD_OUT / "overlays.yaml")
DESCRIPTIONS: list[tuple[str, list[str]]] = yaml.safe_load(
    (HELD_OUT / "descriptions.yaml").read_text(encoding="utf-8")
)
TALK = [line for kind, lines in NARRATIONS if kind != "lead_ins" for line in lines]


@dataclass
class Scored:
    """What happened to every clip, beside what was done to it."""

    truth: list[dict[str, str]]
    curated: dict[str, dict[str, str]]
    private: dict[str, dict[str, str]]
    terms: dict[str, list[str]]
    instructions: dict[str, str] = field(default_factory=dict)

    def dropped_at(self, step: str, clip_id: str) -> bool | None:
        """None for clips that did not come so far."""
        rows = self.private if step == "privacy" else self.curated
        if clip_id not in rows or rows[clip_id]["step"] in ("readable", "resolution"):
            return None
        return rows[clip_id]["step"] == step

    def shares(self, step: str, column: str) -> dict[str, tuple[int, int]]:
        """Kind of defect -> (clips dropped at the step, clips that came to it)."""
        counts: dict[str, list[bool]] = defaultdict(list)
        for row in self.truth:
            dropped = self.dropped_at(step, row["clip id"])
            kinds = [kind for kind in row[column].split("+") if kind]
            if column == "defects":
                kinds = [kind for kind in kinds if kind in ("static", "shaky", "hard_cut")]
            if dropped is not None:
                for kind in kinds or ["none"]:
                    counts[kind].append(dropped)
        return {kind: (sum(found), len(found)) for kind, found in sorted(counts.items())}


@pytest.fixture(scope="module")
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    root, cache = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("cache")
    count = request.config.getoption("--held-out-clips")
    write_ophvl_sim(root, seed=SEED, num_clips=count, overlays=OVERLAYS)
    with (root / "ground_truth.csv").open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    rng, terms = np.random.default_rng(SEED), {}
    with (root / CLIPS_CSV).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip id", "caption"])
        for number, row in enumerate(truth):
            description, terms[row["clip id"]] = DESCRIPTIONS[number % len(DESCRIPTIONS)]
            writer.writerow([row["clip id"], narrate(rng, description, NARRATIONS)])
    common = {"infra": {"folder": cache}, "runtime": Runtime(workers=1)}
    curation = Curation(
        narrated=NarratedFolder.at(
            root, source="OphVL-sim, held out", hash_memory=cache / "hashes.json", **common
        ),
        dynamics=DYNAMICS_NANO,
        resolution=RESOLUTION_NANO,
        **common,
    )
    privacy = PrivacyFilter(clips=curation, **common)
    privacy.run()
    outcome = Scored(truth, decisions(curation), decisions(privacy), terms)
    outcome.instructions = {c.clip_id: c.caption or "" for c in curation.manifest().clips}
    return outcome


def decisions(stage: Curation | PrivacyFilter) -> dict[str, dict[str, str]]:
    with (stage.folder / "decisions.csv").open(newline="", encoding="utf-8") as file:
        return {row["clip id"]: row for row in csv.DictReader(file)}


def show(title: str, shares: dict[str, tuple[int, int]]) -> None:
    rows = [
        [kind, clips, dropped, f"{dropped / clips:.3f}"]
        for kind, (dropped, clips) in shares.items()
    ]
    print(f"\n{title}\n" + tabulate(rows, ["kind", "clips", "dropped", "share"], "github"))


def test_held_out_texts_are_others_than_the_simulators() -> None:
    ours, theirs = OVERLAYS, OverlayBook.load(OVERLAYS_PATH)
    for ours_kind, theirs_kind in zip(ours.overlays, theirs.overlays, strict=True):
        assert ours_kind.kind == theirs_kind.kind
        # A clock's text is filled in; what surrounds it differs.
        assert not set(ours_kind.texts) & set(theirs_kind.texts)
        assert not set(ours_kind.fonts) & set(theirs_kind.fonts)
    assert not set(ours.names) & set(theirs.names)
    built_on = NarrationBook.load(NARRATIONS_PATH)
    shared = {line for _, lines in built_on for line in lines} & {
        line for _, lines in NARRATIONS for line in lines
    }
    assert shared == {"{description}."}


@pytest.mark.slow
def test_privacy_finds_text_and_little_else(scored: Scored) -> None:
    kinds = scored.shares("privacy", "overlay_kinds")
    show("Privacy filter, by kind of text", kinds)
    fate = [
        (bool(row["overlay_text"]), dropped)
        for row in scored.truth
        if (dropped := scored.dropped_at("privacy", row["clip id"])) is not None
    ]
    hits = sum(text and dropped for text, dropped in fate)
    recall = hits / sum(text for text, _ in fate)
    precision = hits / sum(dropped for _, dropped in fate)
    print(f"recall {recall:.4f}, precision {precision:.4f}, {len(fate)} clips")
    assert recall >= 0.98
    assert precision >= 0.95


@pytest.mark.slow
def test_dynamics_finds_static_and_cut_ridden_clips(scored: Scored) -> None:
    shares = scored.shares("dynamics", "defects")
    show("Dynamics filter, by defect", shares)
    found, clips = np.add(shares["static"], shares["hard_cut"])
    assert found / clips >= 0.95
    assert shares["none"][0] / shares["none"][1] <= 0.05


@pytest.mark.slow
def test_instructions_keep_the_operation_and_drop_the_talk(scored: Scored) -> None:
    kept = [
        term.lower() in instruction.lower()
        for clip_id, instruction in scored.instructions.items()
        for term in scored.terms[clip_id]
    ]
    captions = {clip_id: row["raw_caption"] for clip_id, row in scored.curated.items()}
    said = [
        line.rstrip(".?!").lower() in instruction.lower()
        for clip_id, instruction in scored.instructions.items()
        for line in TALK
        if line in captions[clip_id]
    ]
    print(
        f"\nterms kept {np.mean(kept):.4f} of {len(kept)}, "
        f"narration sentences left {np.mean(said):.4f} of {len(said)}"
    )
    assert np.mean(kept) >= 0.98
    assert np.mean(said) < 0.02
