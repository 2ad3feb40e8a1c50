"""OphSim: the drawing engine, the plan of cases and the data set on disk."""

import itertools
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from benchmarks.datasets import taxonomy
from benchmarks.datasets.ophsim import dataset
from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.plan import phase_rows
from benchmarks.datasets.ophsim.programmes import EffectUse, Table, ToolUse, table
from benchmarks.datasets.ophsim.render import render_clip
from core.errors import UserError

STANDARD = CaseAppearance.standard()


# Taxonomy


def test_class_tables_hold_ophnets_totals() -> None:
    # Source: OphNet2024, rows of the two challenge files by split.
    assert [sum(taxonomy.PHASE_COUNTS[s]) for s in taxonomy.SPLITS] == [8773, 2964, 2937]
    assert [sum(taxonomy.OPERATION_COUNTS[s]) for s in taxonomy.SPLITS] == [10505, 3522, 3481]
    assert len(taxonomy.PHASES) == 52
    assert len(taxonomy.OPERATIONS) == 107


def test_only_others_has_no_phase() -> None:
    homeless = [i for i, phase in enumerate(taxonomy.PHASE_OF_OPERATION) if phase is None]
    assert homeless == [taxonomy.OTHERS_OPERATION]
    assert len(taxonomy.PHASES_OF_OTHERS) == 25
    named = {phase for phase in taxonomy.PHASE_OF_OPERATION if phase is not None}
    assert named == set(range(52)) - {taxonomy.OTHERS_PHASE}


# Drawing


@pytest.mark.parametrize("operation", [0, 9, 21, 106])
def test_a_clip_depends_on_its_arguments_only(operation: int) -> None:
    case = CaseAppearance.draw(5)
    first = render_clip(operation, case, 1, 9, 96, 64)
    render_clip(operation, CaseAppearance.draw(6), 1, 4, 48, 32)  # must leave no trace
    assert first.shape == (9, 64, 96, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, render_clip(operation, case, 1, 9, 96, 64))
    assert not np.array_equal(first, render_clip(operation, case, 2, 9, 96, 64))


@pytest.mark.parametrize("operation", [3, 9, 37, 68])
def test_size_changes_resolution_not_content(operation: int) -> None:
    small = render_clip(operation, STANDARD, 0, 5, 96, 64)
    large = render_clip(operation, STANDARD, 0, 5, 288, 192)
    shrunk = np.stack([cv2.resize(f, (96, 64), interpolation=cv2.INTER_AREA) for f in large])
    assert np.abs(small.astype(float) - shrunk).mean() < 4.0


def test_every_operation_with_a_tool_shows_it_and_moves() -> None:
    for row in table().operations:
        clip, mask = render_clip(row.operation_id, STANDARD, 0, 9, 96, 64, with_mask=True)
        assert mask.shape == clip.shape[:3]
        assert mask.any() == any(programme.tools for programme in row.variants), row.operation_id
        change = np.abs(np.diff(clip.astype(int), axis=0)).max()
        assert change > 40 or row.operation_id in (1, 2), row.operation_id


def test_noise_can_be_left_out_and_nothing_else_changes() -> None:
    case = CaseAppearance.draw(8, nuisance=1.0)
    noisy, clean = (
        render_clip(9, case, 0, 5, 96, 64, noise=n).astype(float) for n in (True, False)
    )
    residue = noisy - clean
    assert 0.3 * case.noise < residue.std() < 1.3 * case.noise
    assert abs(residue.mean()) < 1.0


def test_operations_of_one_phase_look_different() -> None:
    clips = [render_clip(i, STANDARD, 0, 5, 48, 32).astype(float) for i in range(106)]
    for phase in range(51):
        own = [i for i, p in enumerate(taxonomy.PHASE_OF_OPERATION) if p == phase]
        for place, first in enumerate(own):
            for second in own[place + 1 :]:
                assert np.abs(clips[first] - clips[second]).max() > 60, (first, second)


def test_others_takes_its_tissue_from_the_phase_it_is_filed_under() -> None:
    rare = render_clip(106, STANDARD, 0, 5, 48, 32)
    filed = render_clip(106, STANDARD, 0, 5, 48, 32, phase_id=22)
    assert not np.array_equal(rare, filed)
    with pytest.raises(ValueError, match="phase_id=99"):
        render_clip(106, STANDARD, 0, 5, 48, 32, phase_id=99)


def test_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="operation_id=107"):
        render_clip(107, STANDARD, 0, 5, 48, 32)


def test_one_number_says_how_much_cases_differ() -> None:
    assert {CaseAppearance.draw(seed, nuisance=0.0) for seed in range(40)} == {STANDARD}
    assert CaseAppearance.draw(3) == CaseAppearance.draw(3, nuisance=1.0)
    assert (STANDARD.noise, STANDARD.blur, STANDARD.drift, STANDARD.tremor) == (0, 0, 0, 0)
    some, all_of_it = (
        [CaseAppearance.draw(seed, nuisance) for seed in range(40)] for nuisance in (0.25, 1.0)
    )
    assert some[7] == CaseAppearance.draw(7, 0.25)
    assert len({case.iris for case in some}) > 30  # eyes differ in full already
    assert 10 < np.ptp([case.rotation for case in some]) <= 16
    assert np.ptp([case.rotation for case in all_of_it]) > 40
    assert max(case.haze for case in some) < 0.12
    assert {case.mirror for case in some} == {False}
    assert {case.mirror for case in all_of_it} == {True, False}


def test_instruments_keep_their_colours_in_the_plain_world() -> None:
    """The phaco's blue-green handle: the same hue in every case of the plain world."""
    for seed in range(6):
        case = CaseAppearance.draw(seed, nuisance=0.25)
        plain = replace(case, cast=(1.0, 1.0, 1.0), exposure=1.0, contrast=1.0, falloff=0.0, blur=0)
        clip, mask = render_clip(28, plain, 0, 5, 288, 192, with_mask=True, noise=False)
        red, green, blue = clip[2][mask[2]].astype(float).mean(0)
        assert blue > green > red + 40, seed


def test_thin_instruments_are_wide_enough_for_64_rows() -> None:
    """The thinnest shafts, two pixels wide in a plain drawing, cover three at least."""
    for operation in (6, 20, 62):  # hooks and a spatula
        _, mask = render_clip(operation, STANDARD, 0, 5, 96, 64, with_mask=True)
        spread = cv2.distanceTransform(mask[2].astype(np.uint8), cv2.DIST_L2, 3)
        assert 2 * spread.max() > 3, operation


# The data table


@pytest.mark.parametrize(
    ("model", "row"),
    [
        (ToolUse, {"tool": "phacco"}),
        (ToolUse, {"tool": "phaco", "site": "centr"}),
        (ToolUse, {"tool": "phaco", "motion": "jump"}),
        (EffectUse, {"effect": "pool", "args": {"radios": 1.0}}),
        (EffectUse, {"effect": "pool", "at": "moon"}),
        (EffectUse, {"effect": "explosion"}),
    ],
)
def test_a_slip_in_the_table_is_refused(model: type[ToolUse | EffectUse], row: dict) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(row)


def test_the_table_must_list_every_operation() -> None:
    data = table().model_dump()
    data["operations"] = data["operations"][:-1]
    with pytest.raises(ValidationError, match="operations 0-106"):
        Table.model_validate(data)


# Planning


@pytest.fixture(scope="module")
def plan() -> list[dataset.Case]:
    return dataset.plan_cases(seed=0)


@pytest.mark.parametrize(("split", "cases", "clips"), [("train", 24, 900), ("val", 30, 1000),
                                                       ("test", 60, 2000)])  # fmt: skip
def test_default_plan_has_every_class_in_every_split(
    plan: list[dataset.Case], split: str, cases: int, clips: int
) -> None:
    own = [case for case in plan if case.split == split]
    rows = [row for case in own for row in phase_rows(case)]
    phases = Counter(row[0].phase_id for row in rows)
    operations = Counter(s.operation_id for case in own for s in case.segments)
    assert len(own) == cases
    assert clips <= len(rows) <= 1.06 * clips
    assert set(phases) == set(range(52))
    assert set(operations) == set(range(107))
    assert min(phases.values()) >= 2
    assert min(operations.values()) >= 2
    # OphNet merges 16.2% of its operations into a neighbour's phase row.
    assert 0.12 < 1 - len(rows) / operations.total() < 0.20


def test_class_frequencies_follow_ophnets_long_tail(plan: list[dataset.Case]) -> None:
    planned = Counter(
        s.operation_id for case in plan if case.split == "test" for s in case.segments
    )
    ours = [planned[i] for i in range(107)]
    assert spearmanr(ours, taxonomy.OPERATION_COUNTS["test"]).statistic > 0.95
    assert ours[0] / sum(ours) == pytest.approx(424 / 3481, abs=0.02)


def test_neighbouring_phase_rows_have_different_phases(plan: list[dataset.Case]) -> None:
    for case in plan:
        phases = [row[0].phase_id for row in phase_rows(case)]
        assert all(a != b for a, b in itertools.pairwise(phases))


def test_most_operations_last_one_to_two_seconds(plan: list[dataset.Case]) -> None:
    frames = np.array([s.frames for case in plan for s in case.segments])
    assert np.mean((frames >= 9) & (frames <= 18)) > 0.9
    assert 4 <= frames.min() < 9
    assert frames.max() <= 18


def test_val_and_test_do_not_depend_on_the_number_of_training_cases() -> None:
    def held_out(train_cases: int) -> list[tuple[int, tuple[dataset.Segment, ...]]]:
        cases = dataset.plan_cases(seed=0, train_cases=train_cases)
        return [(c.appearance_seed, c.segments) for c in cases if c.split != "train"]

    assert held_out(8) == held_out(24)


def test_another_seed_gives_other_cases() -> None:
    looks = [{c.appearance_seed for c in dataset.plan_cases(seed=seed)} for seed in (0, 1)]
    assert not looks[0] & looks[1]


def test_too_few_clips_name_the_cure() -> None:
    with pytest.raises(UserError, match=r"train_clips=20.*at least 104"):
        dataset.plan_cases(seed=0, train_clips=20)
