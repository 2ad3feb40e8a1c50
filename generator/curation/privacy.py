"""Privacy filter: one frame with subtitles, a watermark or identifying text makes a clip sensitive.

Source: Ophora, Sec. "Comprehensive Data Curation" (Qwen2.5-VL-72B on frames at 1 fps; sensitive if
at least one frame is).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
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


class OcrPrivacy(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Text recognition (rapidocr): a line counts if enough of it is letters and it is read surely.

    min_characters, min_score: a pupil is read as one or two round letters, a reflection as a bar,
    with scores up to 0.999; words are longer. long_characters, long_min_score: a whole line may be
    misread here and there, which lowers its score, while nothing else looks like one.
    side_px: the longer side that frames are read at; on 288x192 frames, 288 loses letters of 9 px
    that 384 finds. Source of all values: our choice, on OphVL-sim.
    """

    kind: Literal["ocr"] = "ocr"
    frames_per_s: float = pydantic.Field(default=1.0, gt=0)
    min_characters: int = pydantic.Field(default=3, ge=1)
    min_score: float = pydantic.Field(default=0.8, gt=0, le=1)
    long_characters: int = pydantic.Field(default=8, ge=1)
    long_min_score: float = pydantic.Field(default=0.6, gt=0, le=1)
    side_px: int = pydantic.Field(default=384, ge=64)


class OpenAIPrivacy(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A vision-language model behind an OpenAI-compatible endpoint, asked frame by frame.

    An answer that is neither yes nor no is asked again; after `max_answers` the frame counts as
    sensitive, the side on which a mistake harms nobody.
    """

    kind: Literal["openai"] = "openai"
    endpoint: Endpoint
    frames_per_s: float = pydantic.Field(default=1.0, gt=0)
    max_answers: int = pydantic.Field(default=2, ge=1)


PrivacySettings = Annotated[OcrPrivacy | OpenAIPrivacy, pydantic.Field(discriminator="kind")]


class Sighting(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What made a frame sensitive. The text itself is not kept: it may be what must not spread.

    score: 0-1, None where the model gives none; box: left, top, width, height in pixels, or "".
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
    # One engine a process and one mode an engine: call-time flags of rapidocr stick to the object.
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,
            "Det.limit_side_len": side_px,
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def find_text(frame: Frames, settings: OcrPrivacy) -> Sighting | None:
    """The first line of text in a (H, W, 3) uint8 RGB frame that the settings take for text."""
    height, width = frame.shape[:2]
    scale = settings.side_px / max(height, width)
    size = (max(round(width * scale), 32), max(round(height * scale), 32))
    resized = cv2.resize(
        frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    result = _engine(settings.side_px)(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR))
    if result.txts is None:
        return None
    for text, score, box in zip(result.txts, result.scores, result.boxes, strict=True):
        if _reads_like_text(text, float(score), settings):
            return Sighting(reason="text", score=round(float(score), 4), box=_box(box / scale))
    return None


def _reads_like_text(text: str, score: float, settings: OcrPrivacy) -> bool:
    letters = re.sub(r"[\W_]", "", text).lower()
    long = len(letters) >= settings.long_characters
    if score < (settings.long_min_score if long else settings.min_score):
        return False
    # "OOO", "0o0", "|||", "1l1": rings and bars, however many of them.
    only_shapes = set(letters) <= set("o0c1li") or len(set(letters)) < 2
    return len(letters) >= settings.min_characters and not only_shapes


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
        lambda text: None if _yes_or_no(text) else "the answer must be yes or no",
        settings.max_answers,
    )
    if answer is None:
        return Sighting(reason="unclear answer")
    return Sighting(reason="text") if _yes_or_no(answer) == "yes" else None


def _yes_or_no(answer: str) -> str | None:
    match = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
    return match.group(1).lower() if match else None
