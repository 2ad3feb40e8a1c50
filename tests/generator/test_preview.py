"""Sample sheets: they are drawn, show the network as it is, and change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.training import LOG_NAME
from generator.base import ClipShape, Sampling
from generator.bora.training import BoraTraining, GivenBora
from generator.diffusion import DenoiserTraining
from generator.ophora.training import OphoraTraining
from generator.preview import EmbeddingSampler, Preview
from tests.generator.tiny import (
    CAPTIONS,
    bora_base,
    common,
    denoiser_training,
    weights,
)

SAMPLING = Sampling(steps=2, guidance_scale=3.0)


def training(
    root: Path, kind: type[DenoiserTraining], preview: Preview | None = None
) -> DenoiserTraining:
    return denoiser_training(root, kind, 5, preview=preview)


@pytest.mark.parametrize("kind", [OphoraTraining, BoraTraining])
def test_sheets_change_nothing_but_themselves(kind: type[DenoiserTraining], tmp_path: Path) -> None:
    preview = Preview(every=2, clips=3, sampling=SAMPLING)
    watched, alone = (
        training(tmp_path / "watched", kind, preview),
        training(tmp_path / "alone", kind),
    )
    assert watched.run() == alone.run()
    assert (watched.folder / LOG_NAME).read_bytes() == (alone.folder / LOG_NAME).read_bytes()
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert (watched.weights() / name).read_bytes() == (alone.weights() / name).read_bytes()

    sheets = sorted(watched.folder.glob("samples-*.png"))
    assert [sheet.stem[-6:] for sheet in sheets] == ["000002", "000004", "000005"]
    assert not list(alone.folder.glob("samples-*"))
    first, *_, last = (np.asarray(Image.open(sheet)).astype(int) for sheet in sheets)
    strip = first.shape[0] // 6  # three clips, real and sampled
    assert (first[:strip] == last[:strip]).all()  # the real clip
    assert (first[strip : 2 * strip] != last[strip : 2 * strip]).any()


@pytest.mark.parametrize("kind", [OphoraTraining, BoraTraining])
def test_encoded_captions_draw_what_captions_draw(
    kind: type[DenoiserTraining], tmp_path: Path
) -> None:
    stage = training(tmp_path, kind)
    data = stage.encoding.load()
    assert data.captions == [CAPTIONS[index % 3] for index in range(6)]
    sampler = stage.sampler(SAMPLING)
    by_caption = sampler(data.captions[:2], [7, 8], SAMPLING).astype(int)
    _, text, mask = data.rows([0, 1])
    embedded: EmbeddingSampler = sampler  # type: ignore[assignment]
    encoded = embedded.from_embeddings(text, mask, data.empty_text, [7, 8], SAMPLING)
    # The stored embeddings are half precision.
    assert np.abs(encoded - by_caption).max() <= 2
    assert (by_caption[0] != by_caption[1]).any()


def test_a_bora_of_another_clip_shape_is_refused(tmp_path: Path) -> None:
    folder = bora_base(tmp_path).weights()
    other = ClipShape(num_frames=9, width=48, height=32)
    given = GivenBora(given=weights(folder, tmp_path), shape=other, **common(tmp_path))
    with pytest.raises(UserError, match=r"9 frames of 32x32, not of 9 frames of 48x32$"):
        given.sampler(SAMPLING)
