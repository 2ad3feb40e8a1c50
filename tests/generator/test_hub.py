"""Pipelines of diffusers as generators: tiny ones of several classes, saved, loaded and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UserError
from core.stage import ClipStage
from core.video import write_video
from generator.base import ClipShape, GivenWeights
from generator.hub.call import Call, size_asked
from generator.hub.pipeline import PipelineGenerator, PipelineSampler
from tests.generator.hub_pipelines import pipeline_folder
from tests.generator.tiny import CAPTIONS, SHAPE, common, moving_square

SEEDS = (3, 4)
CAUSAL = {"vae_scale_factor_temporal": 4}
LTX = {"vae_temporal_compression_ratio": 8, "vae_spatial_compression_ratio": 32}


class Starts(ClipStage):
    """Two files, red and blue squares, for seeds 3 and 4."""

    def execute(self, folder: Path) -> dict[str, Any]:
        clips = []
        for seed in SEEDS:
            write_video(folder / "clips" / f"{seed}.mp4", moving_square(2 * (seed - 3)))
            clips.append(
                Clip(clip_id=f"c{seed}", video_id="v", path=f"{seed}.mp4", source="tiny", seed=seed)
            )
        Manifest(root=folder / "clips", clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": 2}


def generator_of(
    kind: str, root: Path, shape: ClipShape = SHAPE, starts: bool | None = None
) -> PipelineGenerator:
    folder = root / kind if (root / kind).is_dir() else pipeline_folder(kind, root)
    wanted = "ImageToVideo" in kind if starts is None else starts
    return PipelineGenerator(
        given=GivenWeights.at(folder, **common(root)),
        shape=shape,
        first_frames=Starts(**common(root)) if wanted else None,
        **common(root),
    )


@pytest.mark.parametrize(
    "kind",
    [
        "CogVideoXPipeline",
        "WanPipeline",
        "LTXPipeline",
        "LattePipeline",
        "AnimateDiffPipeline",
        "CogVideoXImageToVideoPipeline",
        "LTXImageToVideoPipeline",
    ],
)
def test_two_clips_of_the_asked_size_that_their_seeds_decide(kind: str, tmp_path: Path) -> None:
    generator = generator_of(kind, tmp_path)
    sampling = Call.of(tmp_path / kind).sampling(2, 2.0, "fp32")
    sampler = generator.sampler(sampling)
    both = sampler(CAPTIONS[:2], SEEDS, sampling)
    assert both.shape == (2, SHAPE.num_frames, SHAPE.height, SHAPE.width, 3)
    assert both.dtype == np.uint8 and both[0].std() > 0
    assert not np.array_equal(both[0], both[1])
    again = generator.sampler(sampling)(CAPTIONS[1:2], SEEDS[1:], sampling)
    np.testing.assert_array_equal(again[0], both[1])
    assert generator.run()["pipeline"] == kind


def test_a_clip_goes_on_from_its_own_first_frame(tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    def pipeline(**arguments: Any) -> Any:
        seen.append(np.asarray(arguments["image"]))
        frames = np.zeros((1, arguments["num_frames"], 32, 32, 3), np.float32)
        return SimpleNamespace(frames=frames)

    generator = generator_of("LTXImageToVideoPipeline", tmp_path)
    call = Call.of(generator.weights())
    sampling = call.sampling(1, 1.0, "fp32")
    sampler = generator.sampler(sampling)
    sampler.pipeline = pipeline
    sampler(CAPTIONS[:2], SEEDS[::-1], sampling)
    for image, channel in zip(seen, (2, 0), strict=True):
        assert image.shape == (32, 32, 3)
        assert image[12, 6].argmax() == channel and image[12, 6, channel] > 150


class Named:
    """Attributes, and a transformer that says its patch."""

    def __init__(self, patch: Any = None, **named: int) -> None:
        self.__dict__ |= named
        self.transformer = None if patch is None else SimpleNamespace(config={"patch_size": patch})


@pytest.mark.parametrize(
    ("pipeline", "asked"),
    [
        (Named(2, **CAUSAL, vae_scale_factor_spatial=8), (17, 80, 112)),
        (Named((1, 2, 2), **CAUSAL, vae_scale_factor_spatial=16), (17, 96, 128)),
        (Named(1, **LTX), (17, 96, 128)),
        (Named(2, vae_scale_factor_temporal=6, vae_scale_factor_spatial=8), (19, 80, 112)),
        (Named(vae_scale_factor=8), (16, 80, 112)),
    ],
)
def test_the_next_size_that_a_class_can_make(pipeline: Named, asked: tuple[int, int, int]) -> None:
    assert size_asked(pipeline, ClipShape(num_frames=16, width=112, height=80)) == asked


def test_what_is_longer_and_larger_is_cut_and_shrunk() -> None:
    """Brightness is a frame's number: the first are kept."""
    made = np.broadcast_to(np.arange(17)[:, None, None, None] / 17, (17, 64, 64, 3))

    def pipeline(**arguments: Any) -> Any:
        assert set(arguments) == {"prompt", "num_frames", "generator"}  # no more than it knows
        return SimpleNamespace(frames=[made])

    call = Call("Some", {"prompt": None, "num_frames": 16, "generator": None})
    sampling = call.sampling(1, 1.0, "fp32")
    sampler = PipelineSampler(pipeline, call, SHAPE, {})
    (clip,) = sampler(["a"], [0], sampling)
    assert clip.shape == (9, 32, 32, 3)
    np.testing.assert_array_equal(clip[:, 0, 0, 0], np.round(np.arange(9) / 17 * 255))
    sampler.shape = ClipShape(num_frames=24, width=32, height=32)
    with pytest.raises(UserError, match=r"^a Some made an array of \(17, 64, 64, 3\), no 24 fr"):
        sampler(["a"], [0], sampling)
    made = np.full((17, 64, 64, 3), np.nan)
    sampler.shape = SHAPE
    with pytest.raises(UserError, match="made no numbers: choose another `precision`"):
        sampler(["a"], [0], sampling)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (NameError("name 'ftfy' is not defined", name="ftfy"), "a Some needs a library: .* ftfy$"),
        (ValueError("height: 33"), "^a Some makes no clip of 9 frames of 32x32: height: 33$"),
    ],
)
def test_what_a_pipeline_says_no_to_is_one_line(fault: Exception, line: str) -> None:
    def pipeline(**_: Any) -> Any:
        raise fault

    call = Call("Some", {"prompt": None, "num_frames": 16})
    sampling = call.sampling(1, 1.0, "fp32")
    with pytest.raises(UserError, match=line):
        PipelineSampler(pipeline, call, SHAPE, {})(["a"], [0], sampling)


def test_steps_and_guidance_are_those_of_the_class_unless_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    own = Call.of(tmp_path).sampling(None, None, "fp32")
    assert (own.steps, own.guidance_scale, own.batch_size) == (50, 5.0, 1)
    named = Call.of(tmp_path).sampling(7, 1.5, "bf16", offload=True)
    assert (named.steps, named.guidance_scale, named.precision) == (7, 1.5, "bf16")
    assert named.faster.offload and named.scheduler == "folder"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (None, "no model_index.json in it, so no pipeline"),
        ("Blobs", "_class_name 'Blobs' is no pipeline of diffusers"),
        ("WanTransformer3DModel", "_class_name 'WanTransformer3DModel' is no pipeline"),
        (["mine", "Mine"], r"_class_name \['mine', 'Mine'\] is no pipeline of diffusers"),
        (
            "StableDiffusionPipeline",
            "a StableDiffusionPipeline takes no number of frames: it makes",
        ),
        ("WanVideoToVideoPipeline", "a WanVideoToVideoPipeline takes no number of frames"),
        ("LTXConditionPipeline", "a LTXConditionPipeline needs `conditions`"),
    ],
)
def test_what_is_no_pipeline_of_videos_is_refused(kind: Any, fault: str, tmp_path: Path) -> None:
    if kind is not None:
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    with pytest.raises(UserError, match=fault):
        Call.of(tmp_path)


def test_an_image_to_video_pipeline_without_first_frames_and_half_a_pipeline(
    tmp_path: Path,
) -> None:
    bare = generator_of("LTXImageToVideoPipeline", tmp_path, starts=False)
    with pytest.raises(UserError, match="a LTXImageToVideoPipeline needs first frames"):
        bare.run()
    folder = pipeline_folder("LTXPipeline", tmp_path)
    (folder / "vae" / "config.json").unlink()
    generator = generator_of("LTXPipeline", tmp_path)
    with pytest.raises(UserError, match="the pipeline cannot be read"):
        generator.sampler(Call.of(folder).sampling(1, 1.0, "fp32"))
