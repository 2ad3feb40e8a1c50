"""The metric encoders and `GenerationQuality`, on real mp4 files and real checkpoints."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.metrics.clip_features import ClipFeatures, QualitySettings
from benchmarks.metrics.encoders import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    EncoderFolder,
    VideoEncoder,
    VideoEncoderTraining,
)
from benchmarks.metrics.frames import FrameProtocol, read_clip
from benchmarks.metrics.ophclip import (
    OphClip,
    OphClipNetwork,
    OphClipTraining,
    build_tokenizer,
    contrastive_loss,
    tokenize,
)
from benchmarks.metrics.quality import GenerationQuality
from benchmarks.tables.schema import Metric
from classifiers.slowfast import SlowFast
from core import fitting
from core.batch import Batch
from core.clip import Split
from core.errors import UserError
from core.files import sha256_of_file
from core.optimisation import Optimisation
from core.runtime import Runtime
from core.training import CHECKPOINT_NAME
from core.video import read_span
from tests.benchmarks.metrics.toy import CAPTIONS, DiscClips, draw

PROTOCOL = FrameProtocol(num_frames=9, width=64, height=32)
ALONE = Runtime(workers=1)
SMALL_CLIP = OphClipNetwork(channels=(8, 8, 16, 16), embedding_dim=16, text_dim=16, text_layers=1)


def video_training(folder: Path, **fields: Any) -> VideoEncoderTraining:
    values: dict[str, Any] = {
        "clips": DiscClips(count=36, seed=1, infra={"folder": folder}),
        "task": "operation",
        "num_classes": 6,
        "network": SlowFast(depth=18, stem_dim_outs=(8, 1), alpha=3),
        "protocol": PROTOCOL,
        "optimisation": Optimisation(steps=4, batch_size=6, lr=2e-3, checkpoint_every=2),
    }
    return VideoEncoderTraining(**(values | fields), infra={"folder": folder}, runtime=ALONE)


def clip_training(folder: Path, **fields: Any) -> OphClipTraining:
    values: dict[str, Any] = {
        "clips": DiscClips(count=84, seed=2, held_out_every=5, infra={"folder": folder}),
        "network": SMALL_CLIP,
        "protocol": PROTOCOL,
        "optimisation": Optimisation(steps=60, batch_size=16, lr=5e-3, warmup_steps=6),
    }
    return OphClipTraining(**(values | fields), infra={"folder": folder}, runtime=ALONE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_only_clips_of_the_split_are_read(folder: Path) -> None:
    encoders = {
        "video_encoder": video_training(folder),
        "image_text_encoder": clip_training(folder),
    }
    real = DiscClips(count=24, seed=7, held_out_every=2, infra={"folder": folder})

    def features(split: Split | None, count: int) -> ClipFeatures:
        settings = QualitySettings(num_clips=count, protocol=PROTOCOL)
        fields = {"clips": real, "split": split, "settings": settings, **encoders}
        return ClipFeatures(**fields, infra={"folder": folder})

    every, held = features(None, 24).arrays(), features("test", 12).arrays()
    for name, rows in held.items():
        np.testing.assert_allclose(rows, every[name][::2], rtol=1e-4, atol=1e-5, err_msg=name)
    with pytest.raises(UserError, match="only 12 clips"):
        features("test", 13).run()
    stage = GenerationQuality(
        real=real, real_split="test", generated=real, **encoders,
        settings=QualitySettings(num_clips=12, protocol=PROTOCOL), infra={"folder": folder},
    )  # fmt: skip
    assert stage.run()["metrics"]  # of those 12 against any 12


def quality(
    folder: Path, generated: DiscClips, with_text: DiscClips | None = None, **settings: Any
) -> dict[str, dict[str, Any]]:
    there = {"infra.folder": str(folder)}
    stage = GenerationQuality(
        real=DiscClips(count=36, seed=7, infra={"folder": folder}),
        with_text=None if with_text is None else with_text.infra.clone_obj(there),
        generated=generated.infra.clone_obj(there),
        video_encoder=video_training(folder),
        image_text_encoder=clip_training(folder),
        settings=QualitySettings(**({"num_clips": 36, "protocol": PROTOCOL} | settings)),
        infra={"folder": folder},
    )
    metrics: dict[str, dict[str, Any]] = stage.run()["metrics"]
    return metrics


def test_ophclip_learns_which_caption_fits(folder: Path) -> None:
    """Held-out clips find their own colour; chance for a random encoder is 1 in 3."""
    training = clip_training(folder)
    encoder = OphClip(training.weights(), torch.device("cpu"))
    clips = np.stack([draw(label, 90_000 + k) for k in range(5) for label in range(6)])
    frames = encoder.frames(clips)[1].mean(axis=1)
    cosines = frames @ encoder.texts(CAPTIONS).T
    colours = cosines.argmax(axis=1) // 2
    assert (colours == np.tile(np.arange(6), 5) // 2).mean() > 0.8
    assert training.run()["held_out_top5"] is not None


def test_metrics_carry_their_protocol_and_encoders(folder: Path) -> None:
    metrics = quality(folder, DiscClips(count=36, seed=8))
    assert list(metrics) == [
        "fid_ophclip_nano_36x9",
        "fvd_slowfast_nano_36x9",
        "kvd_slowfast_nano_36x9",
        "clipscore_mean_embedding_ophclip_nano_36x9",
        "clipscore_mean_frame_ophclip_nano_36x9",
        "kid_ophclip_nano_36x1",
        "mmd2_slowfast_nano_36x9",
        "precision_k5_slowfast_nano_36x9",
        "recall_k5_slowfast_nano_36x9",
        "density_k5_slowfast_nano_36x9",
        "coverage_k5_slowfast_nano_36x9",
        "is_slowfast_nano_36x9",
        "motion_w1_pixels_36x9",
        "consistency_w1_ophclip_nano_36x9",
    ]
    shared = {"n", "encoder", "encoder_sha256", "width", "height", "fps", "codec"}
    for name, entry in metrics.items():
        assert shared <= set(entry) and name.endswith(f"_{entry['n']}x{entry['num_frames']}")
        Metric(**entry, paper=None)  # the tables take it
    fvd = metrics["fvd_slowfast_nano_36x9"]
    assert fvd["n"] == 36 and fvd["num_frames"] == 9 and (fvd["width"], fvd["height"]) == (64, 32)
    assert fvd["encoder_sha256"] == sha256_of_file(video_training(folder).weights() / WEIGHTS_NAME)
    assert "36 features of 288 dimensions" in fvd["warning"]
    assert "warning" not in metrics["fid_ophclip_nano_36x9"]  # 324 frames of 16 dimensions
    kid = metrics["kid_ophclip_nano_36x1"]
    assert (kid["subsets"], kid["subset_size"]) == (100, 18) and kid["subset_std"] > 0


def test_metrics_mean_what_they_say(folder: Path) -> None:
    """Own clips are nearest; frozen frames are far for FVD and over time; wrong prompts lower the
    CLIPScore."""
    fresh = quality(folder, DiscClips(count=36, seed=8))
    frozen = quality(folder, DiscClips(count=36, seed=8, frozen=True))
    swapped = quality(folder, DiscClips(count=36, seed=8, swap=True))
    same = quality(folder, DiscClips(count=36, seed=7))
    fvd, score = "fvd_slowfast_nano_36x9", "clipscore_mean_embedding_ophclip_nano_36x9"
    assert same[fvd]["value"] < 1e-4 and same["fid_ophclip_nano_36x9"]["value"] < 1e-4
    assert frozen[fvd]["value"] > fresh[fvd]["value"]
    motion, steady = "motion_w1_pixels_36x9", "consistency_w1_ophclip_nano_36x9"
    assert same[motion]["value"] == same[steady]["value"] == 0
    assert frozen[motion]["value"] > 2 * fresh[motion]["value"]
    assert frozen[steady]["generated_mean"] > fresh[steady]["generated_mean"]
    assert frozen[motion]["generated_mean"] < 0.2 * frozen[motion]["real_mean"]
    assert same["precision_k5_slowfast_nano_36x9"]["value"] == 1
    assert same["density_k5_slowfast_nano_36x9"]["value"] >= 1
    assert same["mmd2_slowfast_nano_36x9"]["value"] == 0
    inception = same["is_slowfast_nano_36x9"]
    assert 1 <= inception["value"] == inception["real"] <= 6
    assert swapped[score]["value"] < fresh[score]["value"] - 3
    assert swapped[fvd]["value"] == fresh[fvd]["value"]  # prompts do not enter FVD
    assert same[score]["value"] == same[score]["real"]


def test_frechet_distances_have_a_second_reference_where_clips_bear_text(folder: Path) -> None:
    generated, others = DiscClips(count=36, seed=8), DiscClips(count=36, seed=9)
    alone, both = (quality(folder, generated, with_text=each) for each in (None, others))
    fid, fvd = "fid_with_text_ophclip_nano_36x9", "fvd_with_text_slowfast_nano_36x9"
    assert set(both) - set(alone) == {fid, fvd}
    assert {name: both[name] for name in alone} == alone
    assert list(both).index(fid) == list(both).index("fid_ophclip_nano_36x9") + 1
    assert both[fvd]["value"] != both["fvd_slowfast_nano_36x9"]["value"]
    same = quality(folder, generated, with_text=DiscClips(count=36, seed=7))  # the reference itself
    assert same[fid] == same["fid_ophclip_nano_36x9"]


def test_too_few_clips_and_missing_prompts_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="num_clips 50: only 36 clips"):
        quality(folder, DiscClips(count=36, seed=8), num_clips=50)
    with pytest.raises(UserError, match="no caption"):
        quality(folder, DiscClips(count=36, seed=8, captions=False))
    with pytest.raises(UserError, match="trained for"):
        quality(folder, DiscClips(count=36, seed=8), protocol=FrameProtocol(num_frames=8))


def test_a_killed_training_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = video_training(tmp_path / "straight").run()
    killed = video_training(tmp_path / "killed")

    def die_at_step_3(step: int, *rest: Any) -> Batch:
        if step == 3:
            raise KeyboardInterrupt
        return batch_at(step, *rest)

    batch_at = fitting.batch_at
    monkeypatch.setattr(fitting, "batch_at", die_at_step_3)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert (killed.folder / CHECKPOINT_NAME).is_file()
    monkeypatch.undo()
    assert killed.run()["sha256"] == straight["sha256"]


def test_a_shipped_encoder_is_identified_by_content(folder: Path, tmp_path: Path) -> None:
    weights = video_training(folder).weights()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in (WEIGHTS_NAME, CONFIG_NAME):
            (tmp_path / name / file).write_bytes((weights / file).read_bytes())
    one, two = (
        EncoderFolder(**EncoderFolder.identify(tmp_path / name), infra={"folder": tmp_path / "c"})
        for name in ("one", "two")
    )
    assert one.infra.uid() == two.infra.uid()
    assert one.weights() == tmp_path / "one"
    clips = np.stack([draw(0, 1), draw(3, 2)])
    cpu = torch.device("cpu")
    np.testing.assert_array_equal(
        VideoEncoder(one.weights(), cpu).features(clips), VideoEncoder(weights, cpu).features(clips)
    )
    (tmp_path / "one" / WEIGHTS_NAME).write_bytes(b"other")
    changed = EncoderFolder(path=tmp_path / "one", sha256=one.sha256, infra={"folder": tmp_path})
    with pytest.raises(UserError, match="expected"):
        changed.run()
    with pytest.raises(UserError, match="expected a folder with"):
        EncoderFolder.identify(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": None}, "not as a training leaves them \\(KeyError"),
        ({"protocol": {"num_frames": "x"}}, "not as a training leaves them \\(ValidationError"),
        ({"network": {"kind": "SlowFast", "depth": 18, "alpha": 3}}, "leaves them \\(RuntimeError"),
        (None, "config.json: list instead of names and values"),
    ],
)
def test_an_encoder_of_another_form_is_refused(
    changes: dict[str, Any] | None, message: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(video_training(folder).weights(), tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / CONFIG_NAME).read_text())
    changed = [] if changes is None else {k: v for k, v in (config | changes).items() if v}
    (tmp_path / CONFIG_NAME).write_text(json.dumps(changed))
    with pytest.raises(UserError, match=message) as error:
        VideoEncoder(tmp_path, torch.device("cpu"))
    assert "\n" not in str(error.value)


def test_clips_of_another_size_pass_once_through_the_codec(tmp_path: Path) -> None:
    small = DiscClips(count=1, infra={"folder": tmp_path}).manifest()
    large = DiscClips(count=1, width=128, height=64, infra={"folder": tmp_path}).manifest()
    for manifest in (small, large):
        assert read_clip(manifest, manifest.clips[0], PROTOCOL).shape == PROTOCOL.shape
    frames = read_clip(large, large.clips[0], PROTOCOL)
    plain = read_span(large.path_of(large.clips[0]), num_frames=9, size=(64, 32))
    assert 0 < np.abs(frames.astype(int) - plain).mean() < 4  # compressed, and the same picture


def test_tokenizer_is_word_level_and_knows_what_it_does_not_know() -> None:
    tokenizer = build_tokenizer(["A probe, a needle"], max_tokens=8)
    ids, mask = tokenize(tokenizer, ["a NEEDLE", "a drum " * 9])
    words = {name: tokenizer.token_to_id(name) for name in ("a", "needle", ",", "probe")}
    assert sorted(words.values()) == [4, 5, 6, 7]
    assert ids[0].tolist() == [2, words["a"], words["needle"], 3, 0, 0, 0, 0]
    assert mask[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert ids[1].tolist() == [2, *[words["a"], 1] * 3, 3]  # cut, the end mark kept


def test_contrastive_loss_has_closed_forms() -> None:
    eye = torch.eye(4)
    scale = torch.tensor(1.0)
    apart = contrastive_loss(eye, eye, scale, torch.eye(4, dtype=torch.bool))
    assert apart.item() == pytest.approx(np.log(np.e + 3) - 1, rel=1e-6)
    # All captions equal: every text is a positive, so the best loss is log 4.
    equal = contrastive_loss(
        eye[:1].repeat(4, 1), eye[:1].repeat(4, 1), scale, torch.ones(4, 4) > 0
    )
    assert equal.item() == pytest.approx(np.log(4), rel=1e-6)
