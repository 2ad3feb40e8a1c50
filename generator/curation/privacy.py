"""Privacy filter: one frame with subtitles, a watermark or identifying text makes a clip sensitive.

Source: Ophora, Sec. "Comprehensive Data Curation" (Qwen2.5-VL-72B on frames at 1 fps; sensitive if
at least one frame is).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import pydantic
from numpy.typing import NDArray

from core.errors import UnreadableVideo
from core.video import Frames, iterate_frames, timeline_of
from generator.curation.chat import Chat
from generator.curation.endpoint import Endpoint

_QUESTION = (
    "This is a frame of an eye surgery video. Does it show burned-in subtitles or captions, a "
    "watermark, a channel logo, or any text that could identify a person or a place? Pupils, "
    "reflections and instruments are not text. Answer with one word: yes or no."
)

UNCLEAR = "unclear answer"
_SHAPES = frozenset("o0c1li")  # "OOO", "0o0", "|||", "1l1": rings and bars, however many of them


class OcrPrivacy(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Text detection and recognition (rapidocr): a place counts that is read surely as letters, or
    that has the look of a line of text, in whatever script: the recogniser knows Latin, Chinese and
    Japanese letters only, and reads nothing or other letters in a line of others.

    Source of all values: our choice, on OphVL-sim.
    """

    kind: Literal["ocr"] = "ocr"
    frames_per_s: float = pydantic.Field(default=1.0, gt=0)
    """Frames that are looked at in a second of the clip; 1 in the paper."""
    min_characters: int = pydantic.Field(default=3, ge=1)
    """Words are longer; a pupil is read as one or two round letters, a reflection as a bar."""
    min_score: float = pydantic.Field(default=0.8, gt=0, le=1)
    """Least certainty of the recogniser; pupils and reflections reach 0.999."""
    long_characters: int = pydantic.Field(default=8, ge=1)
    """From so many on it is a whole line, which `long_min_score` is for."""
    long_min_score: float = pydantic.Field(default=0.6, gt=0, le=1)
    """A whole line may be misread here and there, which lowers its score, while nothing else looks
    like one."""
    line_min_score: float = pydantic.Field(default=0.55, gt=0, le=1)
    """Of a place with a line's look: least certainty of the detector."""
    line_ratio: float = pydantic.Field(default=1.5, ge=1)
    """Of the same: its longer side over the shorter, at least."""
    line_share: float = pydantic.Field(default=0.3, gt=0, le=1)
    """Of the same: its shorter side over that of the frame, at most."""
    line_tilt_deg: float = pydantic.Field(default=5.0, ge=0, le=45)
    """Of the same: its angle to the frame in degrees, at most. Burned-in text is level; an ornament
    or a scale on an instrument hardly ever is."""
    eye_share: float = pydantic.Field(default=0.5, gt=0, le=1)
    """No letters are so high, as a share of the frame: the place is the eye, which the detector
    takes for an O."""
    side_px: int = pydantic.Field(default=384, ge=64)
    """The longer side that frames are read at; on 288x192 frames, 288 loses letters of 9 px that
    384 finds."""


class OpenAIPrivacy(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A vision-language model behind an OpenAI-compatible endpoint, asked frame by frame."""

    kind: Literal["openai"] = "openai"
    endpoint: Endpoint
    """Its server and name."""
    frames_per_s: float = pydantic.Field(default=1.0, gt=0)
    """Frames that it is asked about in a second of the clip; 1 in the paper."""
    max_answers: int = pydantic.Field(default=2, ge=1)
    """An answer that is neither yes nor no is asked again; after so many the frame counts as
    sensitive, the side on which a mistake harms nobody."""


PrivacySettings = Annotated[OcrPrivacy | OpenAIPrivacy, pydantic.Field(discriminator="kind")]


class Sighting(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What made a frame sensitive. The text itself is not kept: it may be what must not spread.

    score: the detector's, 0-1, None where a model gives none; box: left, top, width, height in
    pixels, or "".
    """

    reason: str
    time_s: float = 0.0
    score: float | None = None
    box: str = ""


class PrivacyVerdict(pydantic.BaseModel, frozen=True, extra="forbid"):
    """`sighting` is None for a clean clip; `unreadable` says why a file could not be judged."""

    frames_read: int = 0
    sighting: Sighting | None = None
    unreadable: str = ""


def sampled_frames(
    path: Path | str, frames_per_s: float, start_s: float | None = None, end_s: float | None = None
) -> tuple[Iterator[Frames], list[float]]:
    """Frames in the middle of each 1/frames_per_s of a span, and their times in the file.

    Returns: T >= 1 frames, (H, W, 3) uint8 RGB, decoded when they are asked for, and T seconds.
    Raises: UnreadableVideo, also when a frame is asked for; OutsideVideo.
    """
    timeline = timeline_of(path)
    indices = timeline.middles(*timeline.span(start_s, end_s), frames_per_s)
    times = [round(float(time), 3) for time in timeline.times[indices]]
    return iterate_frames(path, indices), times


Judge = Callable[[Frames], Sighting | None]  # takes a (H, W, 3) uint8 RGB frame


def judge_clip(
    path: Path | str, frames_per_s: float, judge: Judge, start_s: float | None, end_s: float | None
) -> PrivacyVerdict:
    """Judge a span's frames until one is sensitive."""
    try:
        frames, times = sampled_frames(path, frames_per_s, start_s, end_s)
        for number, (frame, time_s) in enumerate(zip(frames, times, strict=True), start=1):
            sighting = judge(frame)
            if sighting is not None:
                at = sighting.model_copy(update={"time_s": time_s})
                return PrivacyVerdict(frames_read=number, sighting=at)
    except UnreadableVideo as error:
        return PrivacyVerdict(unreadable=error.reason)
    return PrivacyVerdict(frames_read=len(times))


@cache
def _engine(side_px: int) -> Any:
    # Its steps are called one by one: a frame without a line of text need not be read.
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_vertical_padding": False,
            "Det.limit_side_len": side_px,
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


@dataclass(frozen=True)
class _Place:
    """A box of the detector: sides in pixels, the longer one's angle to the nearest border (0-45),
    and how sure the detector is (0-1)."""

    short: float
    long: float
    tilt_deg: float
    score: float

    @classmethod
    def of(cls, corners: NDArray[np.float32], score: float) -> _Place:
        """The place of (4, 2) corners in turn."""
        sides = (corners[[1, 3]] - corners[0]).astype(np.float64)
        short, long = sorted(sides, key=lambda side: float(np.hypot(*side)))
        angle = math.degrees(math.atan2(*np.abs(long)))
        return cls(math.hypot(*short), math.hypot(*long), min(angle, 90 - angle), score)

    def looks_like_a_line(self, frame_px: int, settings: OcrPrivacy) -> bool:
        """Whether burned-in text has this look, on a frame whose shorter side is `frame_px`."""
        return (
            self.long >= settings.line_ratio * self.short
            and self.short <= settings.line_share * frame_px
            and self.tilt_deg <= settings.line_tilt_deg
            and self.score >= settings.line_min_score
        )


def find_text(frame: Frames, settings: OcrPrivacy) -> Sighting | None:
    """The first line of text in a (H, W, 3) uint8 RGB frame that the settings take for text."""
    from rapidocr.main import RapidOCRError

    height, width = frame.shape[:2]
    scale = settings.side_px / max(height, width)
    size = (max(round(width * scale), 32), max(round(height * scale), 32))
    resized = cv2.resize(
        frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    engine = _engine(settings.side_px)
    try:
        crops, found = engine.detect_and_crop(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR), {})
    except RapidOCRError:  # its way to say that there is none
        return None
    for crop, box, score in zip(crops, found.boxes, found.scores, strict=True):
        if _is_text(engine, crop, _Place.of(box, float(score)), min(size), settings):
            return Sighting(reason="text", score=round(float(score), 4), box=_box(box / scale))
    return None


def _is_text(engine: Any, crop: Frames, place: _Place, frame_px: int, settings: OcrPrivacy) -> bool:
    if place.short > settings.eye_share * frame_px:
        return False
    read = engine.recognize_txt([crop])
    text, sure = read.txts[0], float(read.scores[0])
    if _reads_like_text(text, sure, settings):
        return True
    return place.looks_like_a_line(frame_px, settings) and not _reads_like_shapes(
        text, sure, place, settings
    )


def _reads_like_text(text: str, score: float, settings: OcrPrivacy) -> bool:
    letters = _letters(text)
    long = len(letters) >= settings.long_characters
    if score < (settings.long_min_score if long else settings.min_score):
        return False
    only_shapes = set(letters) <= _SHAPES or len(set(letters)) < 2
    return len(letters) >= settings.min_characters and not only_shapes


def _reads_like_shapes(text: str, score: float, place: _Place, settings: OcrPrivacy) -> bool:
    """A row of rings or bars: read surely, or filling its box; letters that the recogniser does not
    know are read as one or two of them, and not surely."""
    letters = _letters(text)
    fills = 2 * len(letters) >= place.long / place.short
    return bool(letters) and set(letters) <= _SHAPES and (score >= settings.min_score or fills)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()


def _box(points: NDArray[np.float32]) -> str:
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return " ".join(str(round(float(value))) for value in (left, top, right - left, bottom - top))


def ask_about(frame: Frames, settings: OpenAIPrivacy, chat: Chat) -> Sighting | None:
    """Let the endpoint's model judge a (H, W, 3) uint8 RGB frame, sent as JPEG."""
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    assert done
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": _QUESTION},
    ]
    answer, _ = chat.ask_until(
        [{"role": "user", "content": content}],
        lambda reply: None if _yes_or_no(reply.text) else "the answer must be yes or no",
        settings.max_answers,
    )
    if answer is None:
        return Sighting(reason=UNCLEAR)
    return Sighting(reason="text") if _yes_or_no(answer) == "yes" else None


def _yes_or_no(answer: str) -> str | None:
    match = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
    return match.group(1).lower() if match else None
