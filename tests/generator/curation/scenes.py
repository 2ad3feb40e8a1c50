"""An eye-like scene drawn for the tests of curation; frames are (T, H, W, 3) uint8 RGB."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.video import Frames

SIZE = (240, 160)


def eye(seed: int = 0, size: tuple[int, int] = SIZE) -> Frames:
    """One frame: sclera, vessels, iris, pupil, two round reflections and a bar-shaped one."""
    rng = np.random.default_rng(seed)
    width, height = size
    frame = np.full((height, width, 3), (205, 188, 178), np.uint8)
    for _ in range(10):
        path = rng.uniform(0, (width, height)) + np.cumsum(rng.normal(0, 10, (8, 2)), axis=0)
        cv2.polylines(frame, [path.astype(np.int32)], False, (190, 110, 100), 1, cv2.LINE_AA)
    centre, radius = (width // 2, height // 2), int(0.36 * height)
    cv2.circle(frame, centre, radius, (96, 84, 62), -1, cv2.LINE_AA)
    for angle in np.linspace(0, 2 * np.pi, 48):
        end = (centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle))
        cv2.line(frame, centre, (int(end[0]), int(end[1])), (130, 112, 80), 1, cv2.LINE_AA)
    cv2.circle(frame, centre, radius // 2, (18, 12, 14), -1, cv2.LINE_AA)
    for x, y in ((-12, -9), (14, 4)):
        cv2.circle(frame, (centre[0] + x, centre[1] + y), 4, (255, 255, 250), -1, cv2.LINE_AA)
    bar = ((centre[0] - 2, centre[1] + 10), (centre[0], centre[1] + 22))
    cv2.rectangle(frame, *bar, (250, 250, 245), -1)
    return np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)


def moving(seed: int = 0, num_frames: int = 16, size: tuple[int, int] = SIZE) -> Frames:
    """An instrument slides over the eye: (T, H, W, 3) uint8."""
    still = eye(seed, size)
    frames = np.repeat(still[None], num_frames, axis=0).copy()
    for index, frame in enumerate(frames):
        tip = (int(size[0] * (0.15 + 0.6 * index / num_frames)), size[1] // 2)
        cv2.line(frame, (0, size[1]), tip, (225, 225, 232), 14, cv2.LINE_AA)
    return frames


def with_text(frames: Frames, text: str, at: tuple[int, int], first: int = 0) -> Frames:
    """Outlined text on all frames from `first` on, in OpenCV's own Hershey font."""
    frames = frames.copy()
    for frame in frames[first:]:
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(frame, text, at, font, 0.5, colour, thickness, cv2.LINE_AA)
    return frames


def with_letters(frame: Frames, text: str, at: tuple[int, int], pixels: int = 16) -> Frames:
    """White text with a dark rim on a (H, W, 3) frame, in DejaVu Sans, which comes with matplotlib
    and has Greek, Cyrillic, Arabic, Hebrew, Georgian and Armenian letters."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    picture = Image.fromarray(frame)
    ImageDraw.Draw(picture).text(
        at, text, fill=(255, 255, 255), font=ImageFont.truetype(str(path), pixels),
        stroke_width=1, stroke_fill=(0, 0, 0),
    )  # fmt: skip
    return np.asarray(picture)


def with_hangul(frame: Frames, at: tuple[int, int], pixels: int = 18) -> Frames:
    """Six Korean syllables drawn with lines and circles on a (H, W, 3) frame, level with it."""
    # In shares of a syllable's square: a corner, where no ring stands; a vowel; a final corner.
    corner = [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5)]
    rest = [[(0.75, 0.0), (0.75, 0.6)], [(0.75, 0.3), (0.95, 0.3)]]
    rest.append([(0.2, 0.7), (0.2, 0.95), (0.85, 0.95)])
    frame = frame.copy()
    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        for number, ring in enumerate((True, False, True, True, False, False)):
            place = np.array((at[0] + number * 1.15 * pixels, at[1]))
            if ring:
                centre = (place + 0.3 * pixels).astype(int).tolist()
                cv2.circle(frame, centre, pixels // 5, colour, thickness, cv2.LINE_AA)
            for stroke in rest if ring else [corner, *rest]:
                path = (place + np.array(stroke) * pixels).astype(np.int32)
                cv2.polylines(frame, [path], False, colour, thickness, cv2.LINE_AA)
    return frame
