"""Choosing an arm's clips, by a real training and by the shipped OphCLIP, from real mp4 files."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from augment.training_set import TrainingSet
from benchmarks.metrics.encoders import EncoderFolder
from benchmarks.metrics.frames import FrameProtocol, read_clip
from benchmarks.metrics.ophclip import OphClip
from benchmarks.metrics.zero_shot import ZeroShot
from benchmarks.plan.data import PROJECT_ROOT
from benchmarks.plan.selection import ConfidentClips, RetrievedClips
from classifiers.prediction import predict
from classifiers.recipe import Recipe
from classifiers.training import ClassifierTraining
from core.errors import UserError
from core.runtime import Runtime
from tests.classifiers.toy import CLASSES, TINY, ToyClips

ENCODER = PROJECT_ROOT / "generator/weights/ophclip_nano"
PROMPTS = ("red", "eye", "dye", "lens")
RECIPE = Recipe(
    optimiser="adamw", lr=2e-3, weight_decay=0.05, epochs=2, batch_size=4, grad_clip=1.0
)


def trained(real: ToyClips, common: dict[str, Any]) -> ClassifierTraining:
    return ClassifierTraining(
        task="phase",
        num_classes=CLASSES,
        network=TINY,
        recipe=RECIPE,
        mixture=TrainingSet(sources=(real,), task="phase", **common),
        evaluation=real,
        size=16,
        **common,
    )


def chances_of(classifier: ClassifierTraining, clips: ToyClips) -> dict[int, dict[str, float]]:
    """By class, the probability of that class for each of its clips."""
    manifest, table = clips.manifest(), classifier.cache_of(clips).table()
    rows = [table.rows[clip.clip_id] for clip in manifest.clips]
    chances = softmax(predict(classifier.model(), table.frames, rows), axis=1)
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for clip, row in zip(manifest.clips, chances, strict=True):
        found[clip.label("phase")][clip.clip_id] = float(row[clip.label("phase")])
    return found


def test_the_likeliest_of_each_class_are_chosen_and_none_below_the_limit(tmp_path: Path) -> None:
    common: dict[str, Any] = {"infra": {"folder": str(tmp_path)}, "runtime": Runtime(workers=1)}
    real, offered = ToyClips(**common), ToyClips(videos=9, seed=5, splits=False, **common)
    classifier = trained(real, common)
    chances = chances_of(classifier, offered)
    limit = float(np.median([chance for group in chances.values() for chance in group.values()]))
    stage = ConfidentClips(
        clips=offered,
        task="phase",
        classifier=classifier,
        at_least=limit,
        clips_per_class=3,
        **common,
    )
    kept = {clip.clip_id for clip in stage.manifest().clips}
    wanted = set()
    for group in chances.values():
        likely = sorted((-chance, name) for name, chance in group.items() if chance >= limit)
        wanted |= {name for _, name in likely[:3]}
    assert kept == wanted and 0 < len(kept) < 9 * CLASSES / 2
    with pytest.raises(UserError, match=r"^arm: none of 36 clips has a probability of"):
        ConfidentClips(
            clips=offered, task="phase", classifier=classifier, at_least=0.999, **common
        ).run()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def by_hand(offered: ToyClips) -> dict[str, np.ndarray]:
    """By id, a clip's zero-shot probabilities; those of the first file cannot be read."""
    encoder, manifest = OphClip(ENCODER, torch.device("cpu")), offered.manifest()
    texts, seen = unit(encoder.texts(PROMPTS)), {}
    for clip in manifest.clips[CLASSES:]:
        frames = read_clip(manifest, clip, FrameProtocol())[np.newaxis]
        shown = unit(unit(encoder.frames(frames)[1][0]).mean(axis=0))
        seen[clip.clip_id] = softmax(encoder.logit_scale * texts @ shown)
    return seen


def by_prompts(offered: ToyClips, common: dict[str, Any]) -> ZeroShot:
    return ZeroShot(
        clips=offered,
        encoder=EncoderFolder(**EncoderFolder.identify(ENCODER), **common),
        protocol=FrameProtocol(),
        prompts_of_class=tuple((prompt,) for prompt in PROMPTS),
        **common,
    )


def test_prompts_choose_alone_and_with_a_classifier(tmp_path: Path) -> None:
    """Zero-shot probabilities by hand, from the frames as the metrics see them."""
    common: dict[str, Any] = {"infra": {"folder": str(tmp_path)}, "runtime": Runtime(workers=1)}
    real, offered = ToyClips(**common), ToyClips(seed=5, corrupt=1, **common)
    manifest, seen = offered.manifest(), by_hand(offered)
    labels = {clip.clip_id: clip.label("phase") for clip in manifest.clips}
    chosen: dict[str, Any] = {
        "clips": offered,
        "task": "phase",
        "zero_shot": by_prompts(offered, common),
        "at_least": 1 / CLASSES,
        **common,
    }
    stage = ConfidentClips(**chosen)
    wanted = {name for name, chances in seen.items() if chances[labels[name]] >= 1 / CLASSES}
    assert {clip.clip_id for clip in stage.manifest().clips} == wanted
    assert 0 < len(wanted) < len(seen) and stage.run()["offered"] == len(manifest)

    classifier = trained(real, common)
    table = classifier.cache_of(offered).table()
    logits = predict(classifier.model(), table.frames, [table.rows[name] for name in seen])
    products = {n: seen[n] * softmax(row) for n, row in zip(seen, logits, strict=True)}
    both = {name for name, p in products.items() if p[labels[name]] >= p.sum() / CLASSES}
    stage = ConfidentClips(classifier=classifier, **chosen)
    assert {clip.clip_id for clip in stage.manifest().clips} == both


def test_clips_are_filed_by_what_they_look_like_whatever_they_are_called(tmp_path: Path) -> None:
    common: dict[str, Any] = {"infra": {"folder": str(tmp_path)}, "runtime": Runtime(workers=1)}
    narrated = ToyClips(videos=9, seed=5, splits=False, corrupt=1, **common)
    filed: dict[str, Any] = {
        "clips": narrated, "task": "phase", "zero_shot": by_prompts(narrated, common), **common,
    }  # fmt: skip
    seen = by_hand(narrated)
    limit = float(np.median([chances.max() for chances in seen.values()]))
    stage = RetrievedClips(at_least=limit, clips_per_class=3, **filed)
    wanted: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for name, chances in seen.items():
        if chances.max() >= limit:
            wanted[int(chances.argmax())].append((-float(chances.max()), name))
    found = {clip.clip_id: clip.label("phase") for clip in stage.manifest().clips}
    assert found == {n: label for label, g in wanted.items() for _, n in sorted(g)[:3]}
    assert 0 < len(found) < len(seen) and stage.run()["offered"] == len(narrated.manifest())
    with pytest.raises(UserError, match=r"^arm: none of 32 narrated clips has a probability of"):
        RetrievedClips(at_least=0.999999, **filed).run()
