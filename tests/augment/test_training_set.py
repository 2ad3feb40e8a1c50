"""Mixing: what joins, how much of it, and with which weight."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pydantic
import pytest

from augment.training_set import Mixing, TrainingSet
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.mixture import Chosen
from core.stage import ClipSource


class Listed(ClipSource):
    """A source with `clips[label]` clips a class; one clip a class is in val when `real`."""

    clips: dict[int, int]
    real: bool = False
    labelled: bool = True

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = []
        for label, count in self.clips.items():
            for index in range(count):
                split = ("val" if index == 0 else "train") if self.real else None
                clips.append(
                    Clip(
                        clip_id=f"{label}-{index}",
                        video_id="v",
                        path="v.mp4",
                        labels={"phase": label} if self.labelled else {},
                        source="x",
                        split=split,
                    )
                )
        Manifest(root=folder, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {}


@pytest.fixture
def build(tmp_path: Path) -> Any:
    infra = {"folder": tmp_path}

    def make(*synthetic: dict[int, int], with_labels: bool = True, **mixing: Any) -> TrainingSet:
        # 20, 4 and 1 training clips of classes 0, 1, 2; one more of each in val.
        real = Listed(clips={0: 21, 1: 5, 2: 2}, real=True, infra=infra)
        others = tuple(Listed(clips=clips, infra=infra) for clips in synthetic)
        return TrainingSet(
            task="phase",
            sources=(real, *others),
            mixing=Mixing(**mixing),
            with_labels=with_labels,
            infra=infra,
        )

    return make


def counts(chosen: list[Chosen]) -> Counter[tuple[int, int]]:
    return Counter((item.source, item.label) for item in chosen)


def ids(chosen: list[Chosen]) -> set[tuple[int, str]]:
    return {(item.source, item.clip_id) for item in chosen if item.source}


def test_source_alone_is_its_train_split(build: Any) -> None:
    chosen = build().chosen()
    assert counts(chosen) == {(0, 0): 20, (0, 1): 4, (0, 2): 1}
    assert "0-0" not in {item.clip_id for item in chosen}  # it is in val


def test_swapped_clips_stand_in_and_do_not_join(build: Any) -> None:
    stage = build({0: 3, 2: 5}, swap=0.25, class_balanced=True)
    chosen = stage.chosen()
    assert [item.stand_in for item in chosen] == [False] * 25 + [True] * 8
    assert {item.swap for item in chosen[:25]} == {0.25} and chosen[-1].swap == 0
    assert stage.run()["clips"] == [25, 8]
    by_class = Counter[int]()
    for item in chosen[:25]:
        by_class[item.label] += item.weight  # type: ignore[assignment]
    assert all(total == pytest.approx(25 / 3) for total in by_class.values())


def test_all_synthetic_clips_of_all_sources_join_by_default(build: Any) -> None:
    stage = build({0: 3, 2: 5}, {5: 2})
    assert counts(stage.chosen()) == {
        (0, 0): 20,
        (0, 1): 4,
        (0, 2): 1,
        (1, 0): 3,
        (1, 2): 5,
        (2, 5): 2,
    }
    result = stage.run()
    assert result["clips"] == [25, 8, 2]
    assert result["per_class"] == {"0": [20, 3, 0], "1": [4, 0, 0], "2": [1, 5, 0], "5": [0, 0, 2]}
    assert {item.weight for item in stage.chosen()} == {1.0}


def test_few_labels_keep_some_real_clips_of_each_class(build: Any) -> None:
    def chosen(most: int, **mixing: Any) -> list[Chosen]:
        found: list[Chosen] = build({0: 3}, real_per_class=most, **mixing).chosen()
        return found

    assert counts(chosen(2)) == {(0, 0): 2, (0, 1): 2, (0, 2): 1, (1, 0): 3}
    two, three = ({item.clip_id for item in chosen(n) if not item.source} for n in (2, 3))
    assert two < three
    assert two != {item.clip_id for item in chosen(2, seed=1) if not item.source}


def test_clips_without_labels_say_so(build: Any) -> None:
    found = build({0: 3, 1: 2}, with_labels=False, class_balanced=True).chosen()
    assert all(item.unlabelled == (item.source == 1) for item in found)
    assert {item.weight for item in found if item.unlabelled} == {1.0}
    assert sum(item.weight for item in found if not item.unlabelled) == pytest.approx(25)
    with pytest.raises(UserError, match="without a label cannot stand in"):
        build({0: 3}, with_labels=False, swap=0.5).run()


def test_only_synthetic_clips_leave_before_the_end(build: Any) -> None:
    chosen = build({0: 3}, until=0.25).chosen()
    assert {(item.source, item.until) for item in chosen} == {(0, 1.0), (1, 0.25)}
    with pytest.raises(UserError, match=r"mixing\.until: an arm without real clips"):
        build({0: 3}, with_labels=False, until=0.25).run()


def test_ratio_keeps_classes_even(build: Any) -> None:
    stage = build({0: 10, 1: 10, 2: 10}, ratio=0.6)  # 15 clips for 25 real ones
    assert {key: n for key, n in counts(stage.chosen()).items() if key[0]} == {
        (1, 0): 5,
        (1, 1): 5,
        (1, 2): 5,
    }
    assert stage.run()["offered"] == [25, 30]


def test_ratio_serves_scarce_classes_first(build: Any) -> None:
    chosen = build({0: 30, 1: 1, 2: 3}, ratio=0.4).chosen()
    assert {key: n for key, n in counts(chosen).items() if key[0]} == {
        (1, 0): 6,
        (1, 1): 1,
        (1, 2): 3,
    }


def test_smaller_ratio_is_a_subset_of_a_larger_one(build: Any) -> None:
    few, many = (ids(build({0: 20, 1: 20}, ratio=ratio).chosen()) for ratio in (0.4, 0.8))
    assert len(few) == 10
    assert len(many) == 20
    assert few < many


def test_ratio_above_the_offer_takes_all(build: Any) -> None:
    assert len(ids(build({0: 4}, ratio=100).chosen())) == 4


def test_subset_is_a_draw_by_seed_not_the_first_clips(build: Any) -> None:
    draws = [ids(build({0: 40}, ratio=0.4, seed=seed).chosen()) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] != {(1, f"0-{index}") for index in range(10)}


def test_order_is_that_of_the_manifests(build: Any) -> None:
    chosen = build({0: 40}, ratio=0.4).chosen()
    numbers = [int(item.clip_id.split("-")[1]) for item in chosen if item.source]
    assert numbers == sorted(numbers)
    assert [item.source for item in chosen] == sorted(item.source for item in chosen)


@pytest.mark.parametrize(("limit", "classes"), [(1, {7}), (2, {2, 7}), (5, {1, 2, 7})])
def test_only_rare_classes_get_synthetic_clips(build: Any, limit: int, classes: set[int]) -> None:
    chosen = build({0: 3, 1: 3, 2: 3, 7: 3}, rare_below=limit).chosen()
    assert {item.label for item in chosen if item.source} == classes


def test_class_balanced_weights_sum_to_equal_parts(build: Any) -> None:
    chosen = build({2: 4}, class_balanced=True).chosen()
    sums: Counter[int] = Counter()
    for item in chosen:
        sums[item.label] += item.weight  # type: ignore[assignment]
    assert sums[0] == pytest.approx(sums[1]) == pytest.approx(sums[2])
    assert sum(sums.values()) == pytest.approx(len(chosen))


def test_every_setting_is_part_of_the_key(build: Any) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"ratio": 1.0},
        {"rare_below": 3},
        {"class_balanced": True},
        {"until": 0.5},
        {"seed": 1},
    ]
    stages = [build({0: 3}, **mixing) for mixing in settings] + [build({0: 4}), build()]
    assert len({stage.infra.uid() for stage in stages}) == len(stages)
    assert stages[1].infra.clone_obj().infra.uid() == stages[1].infra.uid()


@pytest.mark.parametrize(
    "bad",
    [
        {"ratio": 0},
        {"ratio": float("inf")},
        {"rare_below": 0},
        {"ratoi": 1},
        {"until": 0},
        {"until": 0.5, "swap": 0.5},
        {"until": 0.5, "class_balanced": True},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Mixing(**bad)


def test_real_source_without_training_clips(tmp_path: Path) -> None:
    only_val = Listed(clips={0: 1, 1: 1}, real=True, infra={"folder": tmp_path})
    stage = TrainingSet(task="phase", sources=(only_val,), infra={"folder": tmp_path})
    with pytest.raises(UserError, match="Listed has no clip in its train split: give"):
        stage.run()


def test_synthetic_clip_without_the_tasks_label(tmp_path: Path) -> None:
    infra = {"folder": tmp_path}
    real = Listed(clips={0: 3}, real=True, infra=infra)
    unlabelled = Listed(clips={0: 1}, labelled=False, infra=infra)
    stage = TrainingSet(task="phase", sources=(real, unlabelled), infra=infra)
    with pytest.raises(UserError, match="has no phase label"):
        stage.run()
