"""The leakage audit: rules, records that count only for their own clips, a user's arm for real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.arm import Arm
from benchmarks.audits.findings import (
    AUDITS_NAME,
    Audits,
    broken_rules,
    identities,
    read_audits,
    stages_of,
    synthetic_arms,
    valid_audits,
)
from benchmarks.audits.leakage import audit, markdown
from benchmarks.audits.rows import share_of
from benchmarks.config.files import load_config
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan import Inputs, Plan
from benchmarks.scoring.record import ArmAudit, outcome
from benchmarks.tables.of_run import audits_note
from core.errors import UserError
from core.files import write_json
from core.video import Frames, read_span, write_video
from tests.generator.curation.scenes import moving, with_text

CHANCE = {"pairs": 1000, "largest": 0.9, "same": 0}


def copies(count: int) -> dict[str, Any]:
    named = [
        {"clip": f"made{n}", "copy_of": f"real{n}", "split": "test", "similarity": 0.99}
        for n in range(count)
    ]
    return {"suspects": 500, "references": 100, "copies": named, "percent": count / 5,
            "chance": CHANCE}  # fmt: skip


def found(**other: dict[str, Any]) -> dict[str, dict[str, Any]]:
    clean = {name: copies(0) for name in ("held_out", "train", "corpus", "corpus_held_out")}
    clean["text"] = {"clips": 500, "with_text": [], "percent": 0.0}
    clean["memorisation"] = nearness(52.0, 0.2)
    clean["of_real"] = nearness(55.0, 0.01)
    return clean | other


def nearness(percent: float, p_value: float, per_side: int = 400) -> dict[str, Any]:
    return {"nearer_to_seen": percent, "p_value": p_value, "per_side": per_side}


def plan_of(folder: Path, *overrides: str) -> Plan:
    return Plan(load_config("smoke", overrides), Inputs(folder))


def records(plan: Plan, **other: dict[str, Any]) -> Audits:
    """What the audit would write, had it found `found(**other)` in every arm."""
    arms = tuple(
        ArmAudit(
            task=task,
            training_data=arm.label,
            arm=arm,
            stages=identities(stages_of(plan, task, clips)),
            found=found(**other),
            broken=broken_rules(found(**other)),
        )
        for task, arm, clips in synthetic_arms(plan)
    )
    return Audits(arms=arms, table1={})


def saved(plan: Plan, audits: Audits) -> Path:
    path = plan.inputs.results / AUDITS_NAME
    write_json(path, audits.model_dump(mode="json"))
    return path


@pytest.mark.parametrize(
    ("other", "broken"),
    [
        ({}, ()),
        ({"train": copies(9)}, ()),  # no leak: the arm trains on these clips anyway
        ({"held_out": copies(1)}, ("1 clip like val or test clips",)),
        ({"corpus": copies(5)}, ()),  # 1% exactly
        ({"corpus": copies(6)}, ("1.2% copies of the generator's training clips",)),
        (
            {"corpus_held_out": copies(2)},
            ("2 clips of the generator's corpus like val or test clips",),
        ),
        ({"memorisation": nearness(64.0, 0.0)}, ()),  # real clips: 55%
        ({"memorisation": nearness(70.0, 0.05)}, ()),
        ({"memorisation": nearness(70.0, 0.001, per_side=6)}, ()),
        (
            {"memorisation": nearness(70.0, 0.001)},
            (
                "70.0% of the clips nearer to the generator's training clips than to others, "
                "55.0% of real clips",
            ),
        ),
        (
            {"text": {"clips": 9, "with_text": ["a"], "percent": 11.11}},
            ("text in 11.11% of the clips",),
        ),
    ],
)
def test_each_rule_breaks_alone(other: dict[str, Any], broken: tuple[str, ...]) -> None:
    assert broken_rules(found(**other)) == broken


def note(plan: Plan, audits: Mapping[tuple[Task, Arm], ArmAudit]) -> list[str]:
    return audits_note([(task, arm) for task, arm, _ in synthetic_arms(plan)], audits.values())


def test_an_audit_counts_for_its_own_clips_only(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    path = saved(plan, records(plan, held_out=copies(3)))
    valid = valid_audits(plan, path)
    assert [outcome(valid[key]) for key in valid] == ["failed", "failed"]
    assert note(plan, valid) == [
        "Audits: Bora failed (3 clips like val or test clips); "
        "Ophora failed (3 clips like val or test clips)."
    ]
    other_clips = plan_of(tmp_path, "synthesis.seed=1")
    other_data = plan_of(tmp_path, "ophsim.seed=2")
    for changed in (other_clips, other_data):
        assert valid_audits(changed, path) == {}
    assert note(other_clips, {}) == [
        "Audits: Bora not run; Ophora not run. To run: "
        "`python -m benchmarks.audits.leakage` with the options of this run."
    ]
    other_ophora = plan_of(tmp_path, "ophora.sampling.steps=3")
    valid = valid_audits(other_ophora, saved(plan, records(plan)))
    assert list(valid) == [("phase", other_ophora.arms.named("bora"))]
    assert note(other_ophora, valid)[0].startswith("Audits: Bora passed; Ophora not run.")
    assert valid_audits(plan_of(tmp_path, "sources=[source]"), path) == {}


def test_a_file_that_is_no_audit_is_refused_and_none_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / AUDITS_NAME
    assert read_audits(path).arms == ()
    path.write_text('{"arms": [{"task": "phase"}], "table1": {}}')
    with pytest.raises(UserError, match=r"no audit of this suite \(arms\.0\..*delete it$"):
        read_audits(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_audits(path)


def test_pairs_are_named_up_to_twenty(tmp_path: Path) -> None:
    text = markdown(records(plan_of(tmp_path), held_out=copies(25)))
    lines = text.splitlines()
    assert lines.count("- made3 ~ real3 (test, 0.99)") == 2  # once an arm
    assert "- made19 ~ real19 (test, 0.99)" in lines and "made20" not in text
    assert lines.count("- and 5 more, in audits.json") == 2
    assert "real val and test clips (phase): 0 of 1,000, the largest similarity 0.9" in text


def test_text_in_table_1_is_shown_with_its_interval_and_without_arms() -> None:
    read = {"clips": 100, "with_text": [f"made{n}" for n in range(10)], "percent": 10.0}
    text = markdown(Audits(arms=(), table1={"Ophora (TPT-only)": read}))
    assert share_of(read, "with_text")[2] == "5.5 to 17.4%"  # Wilson, by hand
    row = next(line for line in text.splitlines() if "TPT-only" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "Ophora (TPT-only)", "100", "10 (10.0%)", "5.5 to 17.4%",
    ]  # fmt: skip
    assert "An arm passes" not in text and "Chance" not in text


def test_generators_that_the_run_does_not_train_are_compared_with_the_labelled_set(
    tmp_path: Path,
) -> None:
    given = plan_of(tmp_path, "ophora.weights=generator/weights/ophora_base")
    names = {arm.id: set(stages_of(given, task, c)) for task, arm, c in synthetic_arms(given)}
    assert names["ophora"] == {"held_out", "train", "text"}
    assert names["bora"] > {"corpus", "corpus_held_out", "memorisation"}


def test_nothing_to_audit_and_clips_that_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no synthetic clips in this run"):
        audit(plan_of(tmp_path, "sources=[source]"))
    with pytest.raises(UserError, match=r"Source \+ Bora: its clips are not in .*first run"):
        audit(plan_of(tmp_path))


def flicker(seed: int) -> Frames:
    """(8, 64, 96, 3) uint8: coarse noise."""
    blobs = np.random.default_rng(seed).integers(0, 256, (8, 8, 12, 3), np.uint8)
    return blobs.repeat(8, axis=1).repeat(8, axis=2)


@pytest.mark.slow
def test_a_users_copy_of_a_test_clip_and_text_fail_the_arm(tmp_path: Path) -> None:
    data = (
        "ophsim={train_cases: 2, train_clips: 52, val_cases: 2, val_clips: 52, test_cases: 2,"
        " test_clips: 52, minimum: 1}"
    )
    test_clips = plan_of(tmp_path, data).data.labelled["phase"].manifest().of_split("test")
    stolen = test_clips.clips[7]
    frames = read_span(test_clips.path_of(stolen), start_s=stolen.start_s, end_s=stolen.end_s)
    folder = tmp_path / "mine"
    write_video(folder / "6" / "stolen.mp4", frames[:, :, ::-1].copy(), crf=28)
    write_video(folder / "6" / "text.mp4", with_text(moving(), "PHACO ACADEMY", (40, 30)))
    for number in range(2):
        write_video(folder / "7" / f"own{number}.mp4", flicker(number))
    plan = plan_of(tmp_path, data, f"sources=[source, mine={folder}]")
    plan.arms.synthetic["phase"][plan.arms.named("mine")].run()
    (arm,) = audit(plan).arms
    assert arm.broken == ("1 clip like val or test clips", "text in 25.0% of the clips")
    (pair,) = arm.found["held_out"]["copies"]
    assert pair["copy_of"] == stolen.clip_id and pair["split"] == "test"
    assert arm.found["train"]["copies"] == [] and set(arm.found) == {"held_out", "train", "text"}
    text = markdown(Audits(arms=(arm,), table1={}))
    assert f"~ {stolen.clip_id} (test, " in text and "| failed" in text
