"""Synthesis with a real, tiny generator: plan, seeds, files, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.synthesis import CaptionSynthesis, ClassSynthesis, SynthesisSettings
from core.errors import UserError
from core.video import probe, read_span
from generator.ophora.training import GivenOphora
from generator.sampling import Sampling
from tests.generator.tiny import SHAPE, CaptionedClips, common, ophora_base, weights

SAMPLING = Sampling(steps=1, guidance_scale=2.0, batch_size=3)


def generator(root: Path) -> GivenOphora:
    base = ophora_base(root).weights()
    return GivenOphora(given=weights(base, root), shape=SHAPE, **common(root))


def class_synthesis(root: Path, **fields: object) -> ClassSynthesis:
    values: dict[str, object] = {
        "source": "ophora",
        "generator": generator(root),
        "task": "phase",
        "operations_of_class": ((0,), (9, 10), (1,)),
        "settings": SynthesisSettings(clips_per_class=2),
        "sampling": SAMPLING,
        **fields,
    }
    return ClassSynthesis(**values, **common(root))


def test_every_class_gets_its_clips_with_prompts_and_seeds(tmp_path: Path) -> None:
    manifest = class_synthesis(tmp_path).manifest()
    assert [clip.label("phase") for clip in manifest.clips] == [0, 0, 1, 1, 2, 2]
    assert len({clip.seed for clip in manifest.clips}) == 6
    assert manifest.clips[2].caption != manifest.clips[3].caption  # one prompt an operation
    info = probe(manifest.path_of(manifest.clips[0]))
    assert (info.num_frames, info.width, info.height, info.fps) == (9, 32, 32, 8.0)
    first, second = (read_span(manifest.path_of(clip)) for clip in manifest.clips[:2])
    assert not np.array_equal(first, second)


def test_killed_synthesis_gives_the_same_files(tmp_path: Path) -> None:
    whole = class_synthesis(tmp_path / "whole")
    whole.run()
    killed = class_synthesis(tmp_path / "killed")
    killed.run()
    # As after a kill in the second batch: one of its clips and all that follows are missing.
    for name in ("result.json", "manifest.jsonl", "videos/phase001_0001.mp4"):
        (killed.folder / name).unlink()
    untouched = (killed.folder / "videos" / "phase000_0000.mp4").stat().st_mtime_ns
    again = class_synthesis(tmp_path / "killed")
    again.infra.clear_job()
    again.run()
    for file in sorted((whole.folder / "videos").iterdir()):
        assert file.read_bytes() == (again.folder / "videos" / file.name).read_bytes(), file.name
    assert (again.folder / "videos" / "phase000_0000.mp4").stat().st_mtime_ns == untouched


def test_several_processes_make_the_same_files(tmp_path: Path) -> None:
    one = generator(tmp_path)
    two = one.infra.clone_obj({"runtime.workers": 2})
    alone = class_synthesis(tmp_path / "one", generator=one)
    together = class_synthesis(tmp_path / "two", generator=two)
    assert alone.run() == together.run()
    for file in sorted((alone.folder / "videos").iterdir()):
        assert file.read_bytes() == (together.folder / "videos" / file.name).read_bytes(), file


def test_promptable_policy_leaves_classes_out(tmp_path: Path) -> None:
    settings = SynthesisSettings(clips_per_class=1, policy="promptable")
    stage = class_synthesis(
        tmp_path, settings=settings, operations_of_class=((0,), (9,), (1,), (2,))
    )
    made = [request.labels["phase"] for request in stage.requests()]
    assert made == [0, 1]  # 2 and 3 are promptless


def test_captions_are_used_in_order_and_must_suffice(tmp_path: Path) -> None:
    clips = CaptionedClips(num_clips=4, **common(tmp_path))
    fields = {
        "source": "ophora",
        "generator": generator(tmp_path),
        "clips": clips,
        "sampling": SAMPLING,
    }
    stage = CaptionSynthesis(**fields, num_clips=3, **common(tmp_path))
    made = stage.manifest()
    assert [clip.caption for clip in made.clips] == [
        clip.caption for clip in clips.manifest().clips[:3]
    ]
    with pytest.raises(UserError, match="only 4 captioned clips are held out"):
        CaptionSynthesis(**fields, num_clips=5, **common(tmp_path)).run()
