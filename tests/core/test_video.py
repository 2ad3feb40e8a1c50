import pickle
from collections.abc import Callable
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from core.errors import UnreadableVideo, UserError
from core.isolated import LIMIT_NAME, Isolated
from core.timeline import OutsideVideo
from core.video import (
    Frames,
    probe,
    read_frames,
    read_span,
    resize,
    uniform_indices,
    write_video,
)

GreyClip = Callable[..., Path]
GreyIndex = Callable[[Frames], list[int]]


def noise(num_frames: int, height: int = 64, width: int = 96) -> Frames:
    """Smooth random colours, which h264 keeps well."""
    coarse = np.random.default_rng(0).integers(0, 256, (num_frames, 4, 6, 3), dtype=np.uint8)
    return resize(coarse, (width, height))


# --- writing and reading back


def test_written_frames_come_back_in_order_and_colour(tmp_path: Path) -> None:
    frames = noise(9)
    write_video(tmp_path / "a.mp4", frames)
    back = read_frames(tmp_path / "a.mp4", range(9))
    assert back.shape == frames.shape and back.dtype == np.uint8
    assert np.abs(back.astype(int) - frames).mean() < 8
    wrong = np.abs(back.astype(int) - np.roll(frames, 1, axis=0)).mean()
    assert wrong > 40  # the tolerance above tells one frame from the next
    swapped = np.abs(back.astype(int) - frames[..., ::-1]).mean()
    assert swapped > 40  # and RGB from BGR


def test_writing_is_deterministic_and_the_codec_is_h264(tmp_path: Path) -> None:
    # Many times, with other memory in use: with x264's defaults one in twenty came out another.
    kept, contents = [], set()
    for attempt in range(60):
        kept.append(np.zeros(1000 * attempt + 1, np.uint8))
        write_video(tmp_path / "a.mp4", noise(9))
        contents.add((tmp_path / "a.mp4").read_bytes())
    assert len(contents) == 1
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


@pytest.mark.parametrize("fps", [8.0, 25.0, 29.97, 12.5])
def test_frame_rate_is_kept(grey_clip: GreyClip, fps: float) -> None:
    assert probe(grey_clip(fps=fps)).fps == pytest.approx(fps, rel=1e-3)


def test_probe(grey_clip: GreyClip) -> None:
    info = probe(grey_clip(num_frames=20, size=(120, 80)))
    assert (info.num_frames, info.width, info.height) == (20, 120, 80)
    assert info.duration_s == pytest.approx(2.5)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 64, 96, 3), np.uint8),
        np.zeros((4, 64, 96), np.uint8),
        np.zeros((4, 64, 96, 4), np.uint8),
        np.zeros((4, 64, 96, 3), np.float32),
        np.zeros((4, 63, 96, 3), np.uint8),
        np.zeros((4, 64, 95, 3), np.uint8),
    ],
)
def test_frames_that_cannot_be_written(tmp_path: Path, frames: Frames) -> None:
    with pytest.raises(ValueError, match=r"expected|even size"):
        write_video(tmp_path / "a.mp4", frames)
    assert not list(tmp_path.iterdir())


def test_resize_shape_and_mean() -> None:
    frames = noise(3)
    small = resize(frames, (48, 32))
    assert small.shape == (3, 32, 48, 3)
    assert small.mean() == pytest.approx(frames.mean(), abs=1)  # area interpolation keeps the mean
    assert resize(frames, (96, 64)) is frames
    assert resize(frames, (120, 80)).shape == (3, 80, 120, 3)


# --- which frames


@pytest.mark.parametrize(
    ("available", "wanted", "indices"),
    [
        (10, 4, [0, 3, 6, 9]),
        (9, 9, list(range(9))),
        (125, 8, [0, 18, 35, 53, 71, 89, 106, 124]),
        (3, 5, [0, 0, 1, 2, 2]),
        (1, 8, [0] * 8),
        (7, 1, [0]),
    ],
)
def test_uniform_indices(available: int, wanted: int, indices: list[int]) -> None:
    assert uniform_indices(available, wanted).tolist() == indices


@pytest.mark.parametrize(("available", "wanted"), [(0, 8), (8, 0)])
def test_uniform_indices_of_nothing(available: int, wanted: int) -> None:
    with pytest.raises(ValueError, match="cannot sample"):
        uniform_indices(available, wanted)


def test_read_span_picks_its_seconds(grey_clip: GreyClip, grey_index: GreyIndex) -> None:
    path = grey_clip(num_frames=40)
    assert grey_index(read_span(path, start_s=1.0, end_s=2.0)) == list(range(8, 16))
    assert grey_index(read_span(path, start_s=2.0, end_s=4.5, num_frames=4)) == [16, 22, 29, 35]
    assert grey_index(read_span(path, start_s=4.9, end_s=5.9, num_frames=3)) == [39, 39, 39]
    for start_s, end_s in ((5.0, 5.5), (4.9, 6.1), (7.0, None)):
        with pytest.raises(OutsideVideo, match=r"clip.mp4: the span from .* 0.00 to 5.00 s"):
            read_span(path, start_s=start_s, end_s=end_s, num_frames=3)
    assert read_span(path, num_frames=2, size=(48, 32)).shape == (2, 32, 48, 3)


def test_random_access_is_exact(grey_clip: GreyClip, grey_index: GreyIndex) -> None:
    path = grey_clip(num_frames=40)
    wanted = [39, 0, 17, 17, 3]
    assert grey_index(read_frames(path, wanted)) == wanted


def test_reading_survives_another_librarys_torch_bridge(
    grey_clip: GreyClip, grey_index: GreyIndex
) -> None:
    path = grey_clip()
    decord.bridge.set_bridge("torch")
    try:
        assert grey_index(read_frames(path, [2, 1])) == [2, 1]
        assert probe(path).num_frames == 24
    finally:
        decord.bridge.set_bridge("native")


# --- files that cannot be read


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        for start in range(0, 16_000, 1024):
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def index_first(path: Path, keep: float) -> None:
    """An mp4 with its index in front, cut off in the middle of the pictures."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for image in np.random.default_rng(1).integers(0, 256, (48, 64, 96, 3), dtype=np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    path.write_bytes(data[: int(len(data) * keep)])


def make_unreadable(path: Path, how: str) -> None:
    if how == "zero bytes":
        path.touch()
    elif how == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(4096))
    elif how == "text":
        path.write_text("<html>404 not found</html>")
    elif how == "folder":
        path.mkdir()
    elif how == "audio only":
        audio_only(path)
    elif how == "truncated, index last":
        write_video(path, noise(24))
        path.write_bytes(path.read_bytes()[:-600])
    elif how == "truncated, index first":
        index_first(path, keep=0.5)
    else:
        assert how == "missing"


UNREADABLE = [
    "missing",
    "zero bytes",
    "garbage",
    "text",
    "folder",
    "audio only",
    "truncated, index last",
    "truncated, index first",
]


@pytest.mark.parametrize("how", UNREADABLE)
def test_unreadable_file_is_one_error_of_one_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "broken.mp4"
    make_unreadable(path, how)
    with pytest.raises(UnreadableVideo) as raised:
        read_span(path, num_frames=8)
    assert isinstance(raised.value, UserError)
    assert raised.value.path == path
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert raised.value.reason
    again = pickle.loads(pickle.dumps(raised.value))  # it comes out of worker processes
    assert (type(again), again.path, again.reason) == (UnreadableVideo, path, raised.value.reason)


def test_reasons_tell_missing_from_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UnreadableVideo, match="the file is empty"):
        probe(tmp_path / "empty.mp4")
    with pytest.raises(UnreadableVideo, match="no such file"):
        probe(tmp_path / "absent.mp4")


@pytest.mark.parametrize(
    ("name", "reason"), [("hangs", "no progress within 0.3 s"), ("crashes", "SIGSEGV")]
)
def test_a_file_that_brings_the_decoder_down_is_unreadable(
    grey_clip: GreyClip,
    grey_index: GreyIndex,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    reason: str,
) -> None:
    monkeypatch.setenv(LIMIT_NAME, "0.3")
    decoder = Isolated("tests.core.hanging_decoder")
    monkeypatch.setattr("core.video._DECODER", decoder)
    path = grey_clip(f"{name}.mp4")
    with pytest.raises(UnreadableVideo, match=rf"{name}\.mp4: .*{reason}"):
        read_span(path, num_frames=2)
    with monkeypatch.context() as patch, pytest.raises(UnreadableVideo, match=reason):
        patch.setattr("core.video._DECODER", None)  # is not tried again
        probe(path)
    assert grey_index(read_span(grey_clip("other.mp4"), num_frames=2)) == [0, 23]
    decoder.close()


def test_index_beyond_the_end(grey_clip: GreyClip) -> None:
    with pytest.raises(UnreadableVideo):
        read_frames(grey_clip(num_frames=8), [7, 8])


def test_real_video_of_another_camera() -> None:
    folder = Path(__file__).parents[3] / "shared/data/real_videos"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/real_videos")
    info = probe(folder / "sport_340x256_30fps.mp4")
    assert (info.width, info.height, round(info.fps)) == (340, 256, 30)
    frames = read_span(folder / "sport_340x256_30fps.mp4", start_s=1.0, num_frames=8, size=(96, 64))
    assert frames.shape == (8, 64, 96, 3) and frames.std() > 10
