"""Every picture by its time, in every kind of file, against a plain sequential decode."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core import decoding
from core.errors import UnreadableVideo
from core.video import end_of, probe, read_frames, read_span, read_spans, timeline_of
from tests.core.moving import constant, ffmpeg, numbers_of, sequential, write_timed

REAL_VIDEOS = Path(__file__).parents[3] / "shared/data/real_videos"
VARIABLE = [Fraction(n, 30) for n in range(40)] + [
    Fraction(4, 3) + Fraction(n, 5) for n in range(20)
]


def assert_exact(path: Path, *, seeks: bool = True) -> None:
    """All pictures, and any few of them in any order, are those of a sequential decode."""
    numbers, _ = sequential(path)
    assert timeline_of(path).num_frames == len(numbers)
    assert numbers_of(read_frames(path, range(len(numbers)))) == numbers
    rng = np.random.default_rng(len(numbers))
    for count in (1, 1, 1, 1, 2, 2, 3, 5, 8):
        ranks = rng.integers(0, len(numbers), count)
        assert numbers_of(read_frames(path, ranks)) == [numbers[rank] for rank in ranks]
    decoding.frames(path, [len(numbers) - 1, 0], None)  # here, to look inside
    assert decoding._kept is not None and decoding._kept[1]._may_seek == seeks


FILES = {
    "mp4": ("a.mp4", {}),
    "mp4, B pictures": ("a.mp4", {"bframes": 3}),
    "mp4, one key picture": ("a.mp4", {"bframes": 2, "gop": 250}),
    "mp4, in fragments": ("a.mp4", {"container_options": {"movflags": "frag_keyframe"}}),
    "mov": ("a.mov", {"bframes": 2}),
    "mkv": ("a.mkv", {"bframes": 3}),
    "flv": ("a.flv", {"bframes": 2, "base": Fraction(1, 1000)}),
    "ts": ("a.ts", {"bframes": 2}),
    "avi": ("a.avi", {"codec": "mpeg4", "base": Fraction(1, 25)}),
    "avi, B pictures": ("a.avi", {"codec": "mpeg4", "bframes": 2, "base": Fraction(1, 25)}),
    "avi, mjpeg": ("a.avi", {"codec": "mjpeg", "base": Fraction(1, 25)}),
    "webm, VP8": ("a.webm", {"codec": "libvpx"}),
    "webm, VP9": ("a.webm", {"codec": "libvpx-vp9"}),
    "webm, live": ("a.webm", {"codec": "libvpx", "container_options": {"live": "1"}}),
    "mp4, AV1": ("a.mp4", {"codec": "libsvtav1"}),
    "mp4, HEVC with open groups": ("a.mp4", {"codec": "libx265", "bframes": 3}),
}


@pytest.mark.parametrize("kind", FILES)
def test_constant_rate(tmp_path: Path, kind: str) -> None:
    name, options = FILES[kind]
    if options.get("codec") not in {None, *av.codecs_available}:
        pytest.skip(f"PyAV has no {options['codec']}")
    path = write_timed(tmp_path / name, constant(), **options)
    assert_exact(path)
    first_s = float(timeline_of(path).times[0])
    assert first_s == pytest.approx(0.08 if kind == "flv" else 0.0)  # flv: two pictures held back
    assert timeline_of(path).fps == pytest.approx(25.0, rel=0.01)
    assert end_of(path) == pytest.approx(timeline_of(path).end_s, abs=1e-6)
    assert numbers_of(read_span(path, start_s=first_s + 1.0, end_s=first_s + 1.4)) == [
        *range(25, 35)
    ]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx")]
)
@pytest.mark.parametrize("bframes", [0, 2])
def test_variable_rate(tmp_path: Path, name: str, codec: str, bframes: int) -> None:
    path = write_timed(tmp_path / name, VARIABLE, codec=codec, bframes=bframes)
    assert_exact(path)
    np.testing.assert_allclose(timeline_of(path).times, np.array(VARIABLE, float), atol=6e-4)
    assert numbers_of(read_span(path, start_s=1.0, end_s=4 / 3)) == [*range(30, 40)]
    assert numbers_of(read_span(path, start_s=4 / 3, end_s=7 / 3)) == [*range(40, 45)]
    parts = read_spans(path, [(3.0, 4.0), (0.0, 0.5)], 3)
    assert [numbers_of(part) for part in parts] == [[48, 50, 52], [0, 7, 14]]


def test_a_late_first_picture(tmp_path: Path) -> None:
    times = [2 + time for time in constant()]
    path = write_timed(tmp_path / "a.mp4", times, bframes=2)
    assert_exact(path)
    assert timeline_of(path).times[0] == pytest.approx(2.0)
    assert sequential(path)[1][0] == pytest.approx(2.0)
    assert numbers_of(read_span(path, start_s=3.0, end_s=3.2)) == [25, 26, 27, 28, 29]
    assert end_of(path) == pytest.approx(4.4)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_cut_without_re_encoding_starts_where_it_says(tmp_path: Path, ending: str) -> None:
    source = write_timed(tmp_path / "source.mp4", constant(100), bframes=2, gop=25)
    path = tmp_path / f"cut.{ending}"
    ffmpeg("-ss", 1.4, "-i", source, "-t", 2, "-c", "copy", path)
    assert_exact(path)
    numbers, times = sequential(path)
    shown = dict(zip(numbers, times, strict=True))
    assert timeline_of(path).times.tolist() == pytest.approx(times)
    # What a player shows from 0.4 to 0.8 s, by the times of a plain decode.
    wanted = [number for number, time in shown.items() if 0.4 <= (time or 0) + 0.02 < 0.8]
    assert numbers_of(read_span(path, start_s=0.4, end_s=0.8)) == wanted
    if ending == "mp4":  # its edit list hides what lies between the key picture and the cut
        assert wanted == [*range(45, 55)]


@pytest.mark.parametrize(("field", "place"), [(b"mdhd", 16), (b"mvhd", 16), (b"tkhd", 20)])
def test_a_wrong_length_in_the_header_changes_nothing(
    tmp_path: Path, field: bytes, place: int
) -> None:
    path = write_timed(tmp_path / "a.mp4", constant())
    content = bytearray(path.read_bytes())
    start = content.index(field) + 4 + place
    content[start : start + 4] = struct.pack(
        ">I", 20 * struct.unpack(">I", content[start : start + 4])[0]
    )
    path.write_bytes(content)
    assert_exact(path)
    assert [timeline_of(path).end_s, end_of(path)] == pytest.approx([2.4, 2.4])


def test_a_wrong_number_of_pictures_in_the_header_changes_nothing(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.avi", constant(), codec="mpeg4", base=Fraction(1, 25))
    content = bytearray(path.read_bytes())
    for field, place in ((b"avih", 20), (b"strh", 36)):
        start = content.index(field) + 4 + place
        assert struct.unpack("<I", content[start : start + 4]) == (60,)
        content[start : start + 4] = struct.pack("<I", 500)
    path.write_bytes(content)
    assert_exact(path)
    assert timeline_of(path).num_frames == 60


def test_a_recording_that_starts_between_two_key_pictures(tmp_path: Path) -> None:
    whole = write_timed(tmp_path / "whole.ts", constant(), gop=15)
    content = whole.read_bytes()
    path = tmp_path / "late.ts"
    tables = content[: 3 * 188]  # what says which streams there are
    path.write_bytes(tables + content[len(content) // 3 // 188 * 188 :])
    numbers, _ = sequential(path)
    assert numbers[0] > 0 and numbers[-1] == 59
    assert numbers_of(read_span(path)) == numbers


def test_turned_pictures_stand_upright(tmp_path: Path) -> None:
    source = write_timed(tmp_path / "a.mp4", constant())
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", source, "-c", "copy", path)
    upright, turned = read_frames(source, [5, 17]), read_frames(path, [5, 17])
    assert (probe(path).width, probe(path).height) == (64, 96)
    np.testing.assert_array_equal(np.rot90(upright, axes=(1, 2)), turned)
    small = read_frames(path, [5], (32, 48))
    assert small.shape == (1, 48, 32, 3)


def test_pictures_that_an_earlier_request_let_the_decoder_skip(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.mp4", constant(), bframes=3, gop=60)
    for rank in (20, 21, 22, 23, 24, 23, 59, 58):
        assert numbers_of(read_frames(path, [rank])) == [rank]


def test_a_damaged_stretch_is_bridged_and_a_long_one_is_not(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.mkv", constant(200), gop=25)
    with av.open(str(path)) as container:
        sizes = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in sizes[50:125]:  # three groups of a second each
        content[position + 10 : position + size] = bytes(size - 10)
    path.write_bytes(content)
    assert numbers_of(read_frames(path, [49, 126])) == [49, 126]
    with pytest.raises(UnreadableVideo, match=r"nothing can be decoded at 3\.48 s"):
        read_frames(path, [87])


def test_sound_alone_and_a_cover_picture_are_named(tmp_path: Path) -> None:
    for name, cover in (("a.m4a", False), ("b.mp3", True)):
        codec = "libmp3lame" if cover else "aac"
        options = ["-f", "lavfi", "-i", "sine=d=1"]
        if cover:
            picture = tmp_path / "cover.jpg"
            ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:d=1", "-frames:v", 1, picture)
            options += ["-i", picture, "-map", 0, "-map", 1, "-c:v", "copy"]
        ffmpeg(*options, "-c:a", codec, tmp_path / name)
        with pytest.raises(UnreadableVideo, match=rf"{name}: it holds no pictures, only audio"):
            read_span(tmp_path / name, num_frames=2)


@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason="the real videos are not here")
@pytest.mark.parametrize("name", ["indoor_320x240_25fps.avi", "sport_340x256_30fps.mp4"])
def test_real_videos_frame_by_frame(name: str) -> None:
    with av.open(str(REAL_VIDEOS / name)) as container:
        truth = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    rng = np.random.default_rng(0)
    fps = 25 if name.endswith("avi") else 30
    for start_s in rng.uniform(0, len(truth) / fps - 1, 8):
        first, last = round(start_s * fps), round((start_s + 1) * fps)
        span = read_span(REAL_VIDEOS / name, start_s=start_s, end_s=start_s + 1)
        np.testing.assert_array_equal(span, truth[first:last])
