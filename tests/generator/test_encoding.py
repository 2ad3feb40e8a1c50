"""Pre-encoding: shapes, scaling, zero padding, resuming, damaged shards."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from core.clip import Clip, Manifest
from core.errors import UserError
from core.runtime import Precision, Runtime
from core.video import read_frames, write_video
from generator.backbone.autoencoder import load_autoencoder, posterior_of, to_network
from generator.backbone.lessons import corrupt_spans
from generator.backbone.text import word_tokenizer
from generator.base import ClipShape
from generator.encoding import SHARD_CLIPS, Encoding, training_frames
from tests.generator.tiny import SHAPE, TEXT_TOKENS, CaptionedClips, common, ophora_base


def encoding(root: Path, precision: Precision = "fp32", **fields: object) -> Encoding:
    clips = CaptionedClips(**{"num_clips": 6, **fields}, **common(root))
    parts = ophora_base(root)
    return Encoding(
        clips=clips,
        parts=parts,
        shape=SHAPE,
        max_text_tokens=TEXT_TOKENS,
        precision=precision,
        **common(root),
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_latents_are_the_scaled_posterior(precision: Precision, tmp_path: Path) -> None:
    stage = encoding(tmp_path, precision)
    data = stage.load()
    latents, text, mask = data.rows([4, 0])
    assert len(data) == 6 and data.latent_shape == (3, 4, 4, 4)
    assert latents.shape == (2, 3, 4, 4, 4) and text.shape == (2, TEXT_TOKENS, 16)
    assert mask.dtype == torch.bool and mask.sum(1).tolist() == [6, 6]  # five words and the end
    vae = load_autoencoder(stage.parts.weights() / "vae")
    manifest = stage.clips.manifest()
    frames = training_frames(manifest, manifest.clips[4], SHAPE)
    with torch.inference_mode():
        posterior = posterior_of(vae, to_network(frames[None]))
    scale = vae.config.scaling_factor
    error = latents[0].transpose(0, 1) - posterior.mean[0] * scale
    spread = posterior.std[0] * scale
    assert error.abs().max() > 0  # sampled, not the mean
    assert (error.abs() < 6 * spread + 1e-2).all()


def test_the_size_is_known_before_and_a_full_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = encoding(tmp_path)
    stage.parts.run()
    each = stage.bytes_per_clip()
    assert f"{each / 1e6:,.2f} MB a clip" in stage.cost()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=6 * each - 1))
    with pytest.raises(UserError, match=r"6 encoded clips take about .* GB are free: free some"):
        stage.run()
    monkeypatch.undo()
    again = encoding(tmp_path / "again")
    again.run()
    found = sum(
        tensor.nbytes
        for file in again.folder.glob("shard-*.safetensors")
        for name, tensor in load_file(file).items()
        if name != "mask"
    )
    assert found == 6 * each
    assert again.cost().startswith("6 clips, ")


def test_short_clips_end_in_zero_frames(tmp_path: Path) -> None:
    clips = CaptionedClips(num_clips=2, last_is_short=True, **common(tmp_path))
    manifest = clips.manifest()
    frames = training_frames(manifest, manifest.clips[1], SHAPE)
    assert frames.shape == (9, 32, 32, 3)
    assert frames[:5].max() > 0 and frames[5:].max() == 0
    assert training_frames(manifest, manifest.clips[0], SHAPE)[8].max() > 0


def test_damaged_shard_is_named(tmp_path: Path) -> None:
    stage = encoding(tmp_path)
    stage.run()
    shard = next(stage.folder.glob("shard-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(UserError, match=r"shard-00000.safetensors: damaged"):
        stage.load()


def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    written = []
    for workers in (1, 2):
        root = tmp_path / str(workers)
        runtime = Runtime(workers=workers, device="cpu")
        stage = encoding(root, num_clips=SHARD_CLIPS + 2).model_copy(update={"runtime": runtime})
        assert stage.run()["rows_per_shard"] == [SHARD_CLIPS, 2]
        written.append(
            {
                (file.name, name): tensor
                for file in stage.folder.glob("*.safetensors")
                for name, tensor in load_file(file).items()
            }
        )
    alone, shared = written
    assert len(alone) == 7 and alone.keys() == shared.keys()
    assert all(torch.equal(alone[name], shared[name]) for name in alone)


def test_one_unreadable_clip_is_left_out_and_counted(tmp_path: Path) -> None:
    stage = encoding(tmp_path, broken=(2,))
    result = stage.run()
    assert result["clips"] == 5 and result["unreadable"] == ["c2.mp4"]
    assert len(stage.load()) == 5


def test_more_unreadable_clips_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 of 6 video files"):
        encoding(tmp_path, broken=(2, 3)).run()


@pytest.mark.parametrize("frames", [5, 13, 20])
def test_frame_counts_that_the_autoencoder_changes_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match="8k or 8k"):
        ClipShape(num_frames=frames, width=32, height=32)


def test_tokenizer_survives_saving_and_splits_unknown_words(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["The forceps tear"])
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    text = "the forceps tear, zq"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert tokenizer.convert_ids_to_tokens(tokenizer("the forceps").input_ids) == [
        "▁the", "▁forceps", "</s>",
    ]  # fmt: skip
    assert tokenizer.unk_token_id not in tokenizer(text).input_ids


def test_span_corruption_hides_what_the_target_shows() -> None:
    ids = list(range(100, 120))
    source, target = corrupt_spans(ids, [1, 2, 3], torch.Generator().manual_seed(0))
    hidden = [token for token in target[:-1] if token >= 100]
    assert sorted(hidden + [token for token in source if token >= 100]) == ids
    assert 0 < len(hidden) < 8 and source[-1] == target[-1] == 1


def test_the_released_codes_deviations_are_options(tmp_path: Path) -> None:
    ours = encoding(tmp_path)
    stage = Encoding(
        **{name: getattr(ours, name) for name in ("clips", "parts", "shape", "max_text_tokens")},
        sample_posterior=False,
        scale_latents=False,
        frames="floor_stride",
        **common(tmp_path),
    )
    latents, _, _ = stage.load().rows([0])
    manifest = stage.clips.manifest()
    frames = read_frames(manifest.path_of(manifest.clips[0]), range(9), (32, 32))  # of 12: stride 1
    vae = load_autoencoder(stage.parts.weights() / "vae")
    with torch.inference_mode():
        mean = posterior_of(vae, to_network(frames[None])).mean
    torch.testing.assert_close(latents[0].transpose(0, 1), mean[0], atol=2e-3, rtol=2e-3)
    shard = next(stage.folder.glob("shard-*.safetensors"))
    with safe_open(shard, "pt") as file:
        assert file.metadata() == {"posterior": "mean", "scaling_factor": "1.0"}


def test_a_stride_takes_the_first_half_of_a_clip_just_too_short(tmp_path: Path) -> None:
    path = tmp_path / "c.mp4"
    write_video(path, np.stack([np.full((32, 32, 3), 2 * n, np.uint8) for n in range(97)]))
    manifest = Manifest(
        root=tmp_path, clips=(Clip(clip_id="c", video_id="v", path="c.mp4", source="tiny"),)
    )
    shape = ClipShape(num_frames=49, width=32, height=32)
    for rule, last in (("uniform", 192), ("floor_stride", 96)):
        frames = training_frames(manifest, manifest.clips[0], shape, rule)
        assert abs(int(frames[48].mean()) - last) < 4
