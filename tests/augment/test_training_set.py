"""Mixing: what joins, how much of it, and until when."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pydantic
import pytest

from augment.training_set import Mixing, PromptedTrainingClips, TrainingSet
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.mixture import Chosen
from core.stage import ClipStage


class Listed(ClipStage):
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
    assert {item.until for item in stage.chosen()} == {1.0}


def test_few_labels_keep_some_real_clips_of_each_class(build: Any) -> None:
    def chosen(most: int, **mixing: Any) -> list[Chosen]:
        found: list[Chosen] = build({0: 3}, real_per_class=most, **mixing).chosen()
        return found

    assert counts(chosen(2)) == {(0, 0): 2, (0, 1): 2, (0, 2): 1, (1, 0): 3}
    two, three = ({item.clip_id for item in chosen(n) if not item.source} for n in (2, 3))
    assert two < three
    assert two != {item.clip_id for item in chosen(2, seed=1) if not item.source}


def test_clips_without_labels_say_so(build: Any) -> None:
    found = build({0: 3, 1: 2}, with_labels=False).chosen()
    assert len(found) == 30
    assert all(item.unlabelled == (item.source == 1) for item in found)


def test_only_synthetic_clips_leave_before_the_end(build: Any) -> None:
    chosen = build({0: 3}, until=0.25).chosen()
    assert {(item.source, item.until) for item in chosen} == {(0, 1.0), (1, 0.25)}
    with pytest.raises(UserError, match=r"mixing\.until: an arm without real clips"):
        build({0: 3}, with_labels=False, until=0.25).run()


def test_order_is_that_of_the_manifests(build: Any) -> None:
    chosen = build({0: 40}, {1: 2}, real_per_class=3).chosen()
    assert [item.source for item in chosen] == sorted(item.source for item in chosen)
    for source in range(3):
        numbers = [int(item.clip_id.split("-")[1]) for item in chosen if item.source == source]
        by_label = [item.label for item in chosen if item.source == source]
        assert by_label == sorted(by_label)
        assert source == 0 or numbers == sorted(numbers)


def test_every_setting_is_part_of_the_key(build: Any) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"until": 0.5},
        {"real_per_class": 2},
        {"real_per_class": 2, "seed": 1},
    ]
    stages = [build({0: 3}, **mixing) for mixing in settings] + [build({0: 4}), build()]
    assert len({stage.infra.uid() for stage in stages}) == len(stages)
    assert stages[1].infra.clone_obj().infra.uid() == stages[1].infra.uid()


@pytest.mark.parametrize(
    "bad",
    [{"real_per_class": 0}, {"real_per_clas": 1}, {"until": 0}, {"until": 1.5}],
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


@pytest.mark.parametrize("most", [None, 3])
def test_a_generator_may_learn_from_the_classifiers_own_clips_alone(
    most: int | None, tmp_path: Path
) -> None:
    infra = {"folder": tmp_path}
    real = Listed(clips={0: 21, 1: 5, 2: 2}, real=True, infra=infra)
    mixing = Mixing(real_per_class=most, seed=4)
    trained_on = TrainingSet(task="phase", sources=(real,), mixing=mixing, infra=infra).chosen()
    prompts = (("cut", "a blade cuts"), (), ("a lens unfolds",))
    stage = PromptedTrainingClips(
        clips=real, task="phase", prompts_of_class=prompts, real_per_class=most, seed=4, infra=infra
    )
    found = stage.manifest().clips
    own = [item.clip_id for item in trained_on if item.label != 1]  # class 1 has no prompt
    assert [clip.clip_id for clip in found] == own and {clip.split for clip in found} == {"train"}
    captions = [clip.caption for clip in found if clip.label("phase") == 0]
    assert captions[:3] == ["cut", "a blade cuts", "cut"] and len(captions) == (most or 20)
    assert stage.run() == {"clips": len(own), "classes": 2, "offered": 25}
    silent = PromptedTrainingClips(
        clips=real, task="phase", prompts_of_class=((), (), ()), infra=infra
    )
    with pytest.raises(UserError, match="no training clip is of a class that has prompts: add"):
        silent.run()
