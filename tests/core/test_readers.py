"""Other libraries that decode: the same pixels as PyAV, or none."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.errors import UnreadableVideo, UserError
from core.isolated import Isolated
from core.readers import DECODER_NAME, Decoder, chosen_decoder, open_video
from core.runtime import Runtime
from core.video import check_decoder, read_frames, read_span, write_video

OTHERS: tuple[Decoder, ...] = ("decord", "torchcodec")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """48 frames of noise that moves, with B-frames and more than one key picture."""
    noise = np.random.default_rng(3).integers(0, 256, (64, 160, 3), dtype=np.uint8)
    frames = np.stack([np.roll(noise, 3 * shift, axis=1)[:, :96] for shift in range(48)])
    write_video(tmp_path / "clip.mp4", frames)
    return tmp_path / "clip.mp4"


def at_times(path: Path, stamps: list[int]) -> Path:
    """An mp4 whose grey frames appear at `stamps`, in hundredths of a second."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for level, stamp in enumerate(stamps):
            grey = np.full((64, 96, 3), 20 + 5 * level, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("decoder", OTHERS)
def test_the_same_pixels_in_any_order(
    decoder: Decoder, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(decoder)
    asked = [40, 3, 3, 17, 47, 0]
    ours = read_frames(clip, asked), read_span(clip, start_s=1.0, end_s=3.0, num_frames=8)
    monkeypatch.setenv(DECODER_NAME, decoder)
    np.testing.assert_array_equal(read_frames(clip, asked), ours[0])
    theirs = read_span(clip, start_s=1.0, end_s=3.0, num_frames=8)
    np.testing.assert_array_equal(theirs, ours[1])


@pytest.mark.parametrize("decoder", OTHERS)
def test_a_variable_rate_is_read_alike_or_refused(decoder: Decoder, tmp_path: Path) -> None:
    pytest.importorskip(decoder)
    path = at_times(tmp_path / "vfr.mp4", [30, 40, 90, 100, 250, 260])
    ours = list(open_video(path, "pyav").pictures(range(6)))
    try:
        theirs = list(open_video(path, decoder).pictures(range(6)))
    except UnreadableVideo as error:
        assert "set runtime.decoder=pyav" in str(error)
    else:
        np.testing.assert_array_equal(theirs, ours)


def test_other_times_are_refused_with_the_picture(
    grey_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = grey_clip()
    shifted = lambda name: (24, lambda rank: (rank / 8 + 0.5, np.zeros((64, 96, 3), np.uint8)))  # noqa: E731
    monkeypatch.setattr("core.readers._decord", shifted)
    with pytest.raises(UnreadableVideo, match=r"picture 2 at 0\.750 s, not 0\.250 s: set runtime"):
        list(open_video(path, "decord").pictures([2]))
    monkeypatch.setattr("core.readers._decord", lambda name: (23, shifted))
    with pytest.raises(UnreadableVideo, match="decord sees 23 pictures, not 24: set runtime"):
        open_video(path, "decord")


def test_what_the_library_cannot_read_has_its_name(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "av1.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("libsvtav1", rate=8, options={"preset": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(8):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(open_video(tmp_path / "av1.mp4", "pyav").pictures([0, 7]))) == 2
    with pytest.raises(UnreadableVideo, match=r"av1\.mp4.*decord"):
        list(open_video(tmp_path / "av1.mp4", "decord").pictures([0]))


def test_the_setting_reaches_this_process_and_is_checked_first() -> None:
    Runtime(decoder="decord").apply()
    assert chosen_decoder() == "decord"
    Runtime().apply()
    assert chosen_decoder() == "pyav"
    check_decoder("decord")
    with pytest.raises(ValueError, match="decoder"):
        Runtime(decoder="decrod")


def test_a_library_that_does_not_load_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchcodec.py").write_text("raise ImportError('no FFmpeg')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("core.video._DECODER", Isolated("core.decoding"))
    with pytest.raises(UserError, match=r"runtime\.decoder=torchcodec.*no FFmpeg.*set it to pyav"):
        check_decoder("torchcodec")
