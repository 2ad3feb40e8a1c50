"""Dynamics, resolution and privacy on real mp4 files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scenedetect.detectors import ContentDetector

from core.errors import UnreadableVideo
from core.video import Frames, probe, read_frames, write_video
from generator.curation.dynamics import (
    DynamicsSettings,
    KeyframeCounter,
    Keyframes,
    count_keyframes,
)
from generator.curation.privacy import OcrPrivacy, find_text, judge_clip, sampled_frames
from generator.curation.resolution import ResolutionSettings
from tests.generator.curation.scenes import eye, moving, with_hangul, with_letters, with_text
from tests.presets import DYNAMICS_NANO

REAL_VIDEOS = Path(__file__).parents[4] / "shared" / "data" / "real_videos"
OCR = OcrPrivacy()


def flat(*levels: int) -> Frames:
    return np.stack([np.full((48, 64, 3), level, np.uint8) for level in levels])


def count(frames: Frames, threshold: float, min_scene_len: int = 1) -> int:
    counter = KeyframeCounter(threshold, min_scene_len)
    counter.feed(frames)
    return counter.count


def test_the_value_against_the_last_keyframe_is_scenedetects_own() -> None:
    first, second = eye(1), eye(2)
    detector = ContentDetector()
    detector._calculate_frame_score(None, cv2.cvtColor(first, cv2.COLOR_RGB2BGR))
    value = detector._calculate_frame_score(None, cv2.cvtColor(second, cv2.COLOR_RGB2BGR))
    pair = np.stack([first, second])
    assert count(pair, value - 0.01) == 2
    assert count(pair, value + 0.01) == 1


def test_slow_change_adds_up_against_the_last_keyframe() -> None:
    # Grey levels differ in one of three components: a step of 6 levels is a value of 2.
    ramp = flat(*range(10, 130, 6))
    assert count(ramp, 3.9) == 10  # every second frame
    assert count(ramp, 200) == 1


def test_min_scene_len_holds_keyframes_apart() -> None:
    flicker = flat(*[0, 240] * 8)
    assert count(flicker, 20) == 16
    # Of the frames allowed again, 3 after the last keyframe, every one differs from it.
    assert count(flicker, 20, min_scene_len=3) == 6


def test_dynamics_tells_static_moving_and_cut_ridden_clips_apart(tmp_path: Path) -> None:
    scenes = np.stack([eye(seed) if seed % 2 else 255 - eye(seed) for seed in range(16)])
    problems = []
    for name, frames in (
        ("static", np.repeat(eye()[None], 16, axis=0)),
        ("moving", moving()),
        ("cuts", scenes),
    ):
        write_video(tmp_path / f"{name}.mp4", frames)
        path = tmp_path / f"{name}.mp4"
        problems.append(DYNAMICS_NANO.problem_of(count_keyframes(path, probe(path), DYNAMICS_NANO)))
    assert problems == ["static", None, "restless"]


def test_keyframes_do_not_depend_on_the_frame_rate_and_respect_the_span(tmp_path: Path) -> None:
    steps = flat(20, 60, 100, 140, 180, 220)
    settings = DynamicsSettings(motion_threshold=8, cut_threshold=20)
    for fps in (8, 24):
        write_video(tmp_path / "v.mp4", np.repeat(steps, fps, axis=0), fps=fps)  # 1 s a step
        info = probe(tmp_path / "v.mp4")
        # A step of 40 grey levels is a value of 13.3: the upper bound's threshold needs two.
        whole = count_keyframes(tmp_path / "v.mp4", info, settings)
        assert whole == Keyframes(motion=6, cuts=3, seconds=6.0)
        part = count_keyframes(tmp_path / "v.mp4", info, settings, 1.0, 4.0)
        assert part == Keyframes(motion=3, cuts=2, seconds=3.0)


def test_bounds_of_the_keyframes() -> None:
    paper = DynamicsSettings()
    counts = [(1, 1), (2, 2), (100, 100), (101, 101)]
    seen = [Keyframes(motion=motion, cuts=cuts, seconds=60) for motion, cuts in counts]
    assert [paper.problem_of(item) for item in seen] == ["static", None, None, "restless"]
    with pytest.raises(ValueError, match="max_keyframes 1 is below min_keyframes 2"):
        DynamicsSettings(max_keyframes=1)


@pytest.mark.parametrize(
    ("size", "problem"),
    [
        ((144, 96), None),
        ((142, 96), "low resolution"),
        ((144, 94), "low resolution"),
        ((288, 192), None),
    ],
)
def test_resolution(tmp_path: Path, size: tuple[int, int], problem: str | None) -> None:
    write_video(tmp_path / "v.mp4", np.zeros((2, size[1], size[0], 3), np.uint8))
    settings = ResolutionSettings(min_width_px=144, min_height_px=96)
    assert settings.problem_of(probe(tmp_path / "v.mp4")) == problem


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("gently lift the flap", (20, 150)),  # a subtitle
        ("ocu-archive.test", (90, 18)),  # a watermark
        ("Bay 7  Ines Moreau", (6, 84)),  # a name across the iris
        ("2031-05-17 16:42", (80, 150)),
    ],
)
def test_text_is_found(text: str, at: tuple[int, int]) -> None:
    sighting = find_text(with_text(eye(3)[None], text, at)[0], OCR)
    assert sighting is not None and sighting.score is not None
    left, top, width, height = map(int, sighting.box.split())
    assert left - 8 <= at[0] + 40 <= left + width + 100
    assert top - 6 <= at[1] <= top + height + 6


@pytest.mark.parametrize(
    "text",
    [
        "не двигайте прибором",
        "η πρόσθια κάψα",
        "لا تحرك الأداة",
        "אל תזיזו את המכשיר",
        "გვერდითი ჭრილი",
        "առաջնային պարկուճ",
    ],
)
def test_text_in_scripts_that_no_model_reads_is_found(text: str) -> None:
    for seed, at in ((3, (16, 132)), (4, (30, 6)), (5, (40, 74))):  # below, above, across the iris
        sighting = find_text(with_letters(eye(seed), text, at), OCR)
        assert sighting is not None
        left, top, width, height = map(int, sighting.box.split())
        assert abs(left - at[0]) <= 8 and top - 4 <= at[1] + 10 <= top + height + 4
        assert width > 3 * height


def test_syllables_of_strokes_are_found() -> None:
    assert find_text(with_hangul(eye(6), (40, 130)), OCR) is not None


def test_what_is_tilted_is_no_burned_in_text() -> None:
    frame = with_hangul(eye(6), (40, 60))
    turn = cv2.getRotationMatrix2D((120, 80), 25, 1.0)
    tilted = cv2.warpAffine(frame, turn, (240, 160), borderMode=cv2.BORDER_REPLICATE)
    assert find_text(tilted, OCR) is None  # as a scale engraved on an instrument


def test_pupils_and_reflections_are_not_text() -> None:
    frames = [eye(seed) for seed in range(4)] + [moving(5)[-1]]
    rings = eye(9)  # a gas bubble and two more round reflections in a row: "O O O"
    for x in (40, 120, 200):
        cv2.circle(rings, (x, 80), 14, (250, 250, 250), 3, cv2.LINE_AA)
    assert [find_text(frame, OCR) for frame in [*frames, rings]] == [None] * 6


def test_one_frame_in_a_second_is_looked_at_until_the_first_hit(tmp_path: Path) -> None:
    subtitled = with_text(moving(num_frames=24), "rinse before closing", (16, 150), first=8)
    write_video(tmp_path / "v.mp4", subtitled)
    _, times = sampled_frames(tmp_path / "v.mp4", 1.0)
    assert times == [0.5, 1.5, 2.5]

    def judge(frame: Frames) -> object:
        return find_text(frame, OCR)

    verdict = judge_clip(tmp_path / "v.mp4", 1.0, judge, None, None)
    assert verdict.frames_read == 2 and verdict.sighting is not None
    assert verdict.sighting.time_s == 1.5
    before = judge_clip(tmp_path / "v.mp4", 1.0, judge, 0.0, 0.9)
    assert before.sighting is None and before.frames_read == 1


def test_a_broken_file_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    verdict = judge_clip(tmp_path / "v.mp4", 1.0, lambda _: None, None, None)
    assert verdict.unreadable and verdict.sighting is None
    with pytest.raises(UnreadableVideo):
        sampled_frames(tmp_path / "v.mp4", 1.0)


@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason="the real videos are not here")
@pytest.mark.parametrize("name", ["indoor_320x240_25fps.avi", "sport_340x256_30fps.mp4"])
def test_real_videos_are_flagged_only_with_a_subtitle(name: str, tmp_path: Path) -> None:
    path = REAL_VIDEOS / name
    info = probe(path)
    clean = judge_clip(path, 1.0, lambda frame: find_text(frame, OCR), None, None)
    assert clean.sighting is None and clean.frames_read == max(round(info.duration_s), 1)
    frames = read_frames(path, np.arange(0, info.num_frames, round(info.fps / 8)))
    subtitled = with_text(frames, "hold the handle upright", (40, frames.shape[1] - 16))
    write_video(tmp_path / "subtitled.mp4", subtitled, fps=8)
    path = tmp_path / "subtitled.mp4"
    flagged = judge_clip(path, 1.0, lambda frame: find_text(frame, OCR), None, None)
    assert flagged.sighting is not None and flagged.frames_read == 1
