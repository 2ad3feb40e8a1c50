"""Real clips through a real (tiny) autoencoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.audits.reconstruction import Reconstruction
from core.errors import UserError
from core.video import read_frames, write_video
from generator.backbone.autoencoder import (
    decode,
    load_autoencoder,
    posterior_of,
    to_frames,
    to_network,
)
from generator.base import GivenWeights
from generator.encoding import training_frames
from tests.generator.tiny import SHAPE, CaptionedClips, common, ophora_base


def test_clips_come_back_as_the_autoencoder_keeps_them(tmp_path: Path) -> None:
    base = ophora_base(tmp_path)
    clips = CaptionedClips(num_clips=3, broken=(1,), **common(tmp_path))
    stage = Reconstruction(
        clips=clips,
        split="train",
        autoencoder=GivenWeights.at(base.weights() / "vae", **common(tmp_path)),
        shape=SHAPE,
        **common(tmp_path),
    )
    assert stage.run() == {"clips": 2}
    manifest = stage.manifest()
    assert [clip.clip_id for clip in manifest.clips] == ["c0", "c2"]
    assert [clip.caption for clip in manifest.clips] == [
        clips.manifest().clips[index].caption for index in (0, 2)
    ]
    source = clips.manifest()
    frames = training_frames(source, source.clips[0], SHAPE)
    with torch.inference_mode():
        vae = load_autoencoder(base.weights() / "vae")
        expected = to_frames(decode(vae, posterior_of(vae, to_network(frames[None])).mean))[0]
    write_video(tmp_path / "expected.mp4", expected)
    every = np.arange(9)
    found = read_frames(manifest.path_of(manifest.clips[0]), every)
    assert found.shape == (9, 32, 32, 3)
    assert np.array_equal(found, read_frames(tmp_path / "expected.mp4", every))
    assert np.abs(found.astype(int) - frames).mean() > 3  # a network of random weights


def test_no_readable_clip_is_an_error(tmp_path: Path) -> None:
    clips = CaptionedClips(num_clips=1, broken=(0,), **common(tmp_path))
    autoencoder = GivenWeights.at(ophora_base(tmp_path).weights() / "vae", **common(tmp_path))
    stage = Reconstruction(
        clips=clips, split="train", autoencoder=autoencoder, shape=SHAPE, **common(tmp_path)
    )
    with pytest.raises(UserError, match=r"none of 1 clips can be read$"):
        stage.run()
