"""Text burned into frames: subtitles, watermarks, channel logos, clocks, patient labels.

`OverlayBook` holds wordings, fonts, positions and looks; another yaml file gives other overlays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import matplotlib
import numpy as np
import pydantic
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from core.video import Frames

OVERLAYS_PATH: Final = Path(__file__).with_name("overlays.yaml")
MIN_TEXT_PX: Final = 9  # smaller letters are lost in h264 at these frame sizes (our observation)

Position = Literal[
    "top_left", "top", "top_right", "centre", "bottom_left", "bottom", "bottom_right"
]
# How letters stand out: nothing, a dark rim, a dark box behind, a dark shadow, a coloured badge.
Look = Literal["plain", "outline", "box", "shadow", "badge"]
Span = tuple[pydantic.PositiveFloat, pydantic.PositiveFloat]
Texts = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]

_FRACTIONS: Final[dict[str, tuple[float, float]]] = {  # of the free space left and above
    "top_left": (0.0, 0.0),
    "top": (0.5, 0.0),
    "top_right": (1.0, 0.0),
    "centre": (0.5, 0.5),
    "bottom_left": (0.0, 1.0),
    "bottom": (0.5, 1.0),
    "bottom_right": (1.0, 1.0),
}
_BADGES: Final = ((196, 40, 48), (24, 96, 168), (28, 128, 96), (90, 50, 140), (30, 30, 36))


class OverlayKind(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One kind of text. `size` is a range of letter heights as shares of the frame's height."""

    kind: str
    weight: pydantic.PositiveFloat
    texts: Texts
    fonts: Texts  # names of fonts that come with matplotlib, or paths of .ttf files
    positions: Annotated[tuple[Position, ...], pydantic.Field(min_length=1)]
    looks: Annotated[tuple[Look, ...], pydantic.Field(min_length=1)]
    colours: Texts
    size: Span
    opacity: Span


class OverlayBook(pydantic.BaseModel, frozen=True, extra="forbid"):
    """All kinds of text, and invented names for the patient labels.

    max_texts: a clip with text carries one to this many, of different kinds.
    brief_share: share of the texts that show in only one half of their clip.
    """

    overlays: Annotated[tuple[OverlayKind, ...], pydantic.Field(min_length=1)]
    names: Texts
    max_texts: pydantic.PositiveInt = 3
    brief_share: float = pydantic.Field(default=0.15, ge=0, le=1)

    @classmethod
    def load(cls, path: Path | str = OVERLAYS_PATH) -> OverlayBook:
        """Read a book from yaml."""
        return cls.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Overlay:
    """One text as drawn on one clip; `text` may hold "{clock}", which runs with the frames."""

    kind: str
    text: str
    font: str
    position: Position
    look: Look
    colour: str
    size: float
    opacity: float
    jitter: tuple[float, float]  # shares of the margin
    badge: tuple[int, int, int]
    clock_s: int
    visible: tuple[float, float]  # shares of the clip's length


def _row(position: Position) -> float:
    return _FRACTIONS[position][1]


def draw_overlays(rng: np.random.Generator, book: OverlayBook) -> list[Overlay]:
    """The texts of one clip, of different kinds and in different rows (top, centre, bottom)."""
    weights = np.array([kind.weight for kind in book.overlays])
    count = min(int(rng.integers(1, book.max_texts + 1)), len(weights))
    order = rng.choice(len(weights), size=count, replace=False, p=weights / weights.sum())
    drawn: list[Overlay] = []
    for index in order:
        kind = book.overlays[int(index)]
        taken = {_row(overlay.position) for overlay in drawn}
        free = [position for position in kind.positions if _row(position) not in taken]
        if free:
            drawn.append(_draw_one(rng, book, kind, free))
    return drawn


def _draw_one(
    rng: np.random.Generator, book: OverlayBook, kind: OverlayKind, free: Sequence[Position]
) -> Overlay:
    def one(items: Sequence[Any]) -> Any:
        return items[int(rng.integers(len(items)))]

    date = f"20{rng.integers(10, 24):02d}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
    text = one(kind.texts).format(
        date=date, name=one(book.names), number=int(rng.integers(10_000, 99_999)), clock="{clock}"
    )
    half = float(rng.integers(2)) / 2
    brief = bool(rng.random() < book.brief_share)
    return Overlay(
        kind=kind.kind,
        text=text,
        font=one(kind.fonts),
        position=one(free),
        look=one(kind.looks),
        colour=one(kind.colours),
        size=float(rng.uniform(*kind.size)),
        opacity=min(float(rng.uniform(*kind.opacity)), 1.0),
        jitter=(float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.3, 1.0))),
        badge=one(_BADGES),
        clock_s=int(rng.integers(0, 7200)),
        visible=(half, half + 0.5) if brief else (0.0, 1.0),
    )


def clock_text(overlay: Overlay, second: int) -> str:
    """The overlay's text `second` seconds into the clip."""
    now = overlay.clock_s + second
    clock = f"{now // 3600:02d}:{now // 60 % 60:02d}:{now % 60:02d}"
    return overlay.text.replace("{clock}", clock)


@lru_cache(maxsize=64)
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    path = Path(name)
    if path.suffix != ".ttf":
        path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), pixels)


def _fit(name: str, pixels: int, text: str, width: float) -> ImageFont.FreeTypeFont:
    """The font, made smaller until the longest word is at most `width` pixels wide."""
    while pixels > MIN_TEXT_PX:
        if max(_font(name, pixels).getlength(word) for word in text.split(" ")) <= width:
            break
        pixels -= 1
    return _font(name, pixels)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Break `text` between words into lines that are at most `width` pixels wide."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _patch(overlay: Overlay, text: str, width: int, height: int) -> NDArray[np.float32]:
    """The text with its backing -> (h, w, 4) float32 RGBA, 0-255."""
    pixels = max(round(overlay.size * height), MIN_TEXT_PX)
    font = _fit(overlay.font, pixels, text, 0.9 * width)
    wrapped = _wrap(text, font, 0.9 * width)
    stroke = max(round(pixels / 9), 1) if overlay.look == "outline" else 0
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    box = probe.multiline_textbbox((0, 0), wrapped, font=font, stroke_width=stroke)
    pad = round(pixels * (0.35 if overlay.look in ("box", "badge") else 0.15))
    size = (int(box[2] - box[0]) + 2 * pad + 1, int(box[3] - box[1]) + 2 * pad + 1)
    corner = (pad - box[0], pad - box[1])

    image = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if overlay.look == "box":
        draw.rectangle((0, 0, *size), fill=(0, 0, 0, 170))
    elif overlay.look == "badge":
        draw.rounded_rectangle(
            (0, 0, size[0] - 1, size[1] - 1), pixels // 3, fill=(*overlay.badge, 255)
        )
    elif overlay.look == "shadow":
        shifted = (corner[0] + 1, corner[1] + 1)
        draw.multiline_text(shifted, wrapped, fill=(0, 0, 0, 230), font=font, align="center")
    ink = (*ImageColor.getrgb(overlay.colour)[:3], 255)
    draw.multiline_text(
        corner, wrapped, fill=ink, font=font, align="center",
        stroke_width=stroke, stroke_fill=(0, 0, 0, 255),
    )  # fmt: skip
    return np.asarray(image, np.float32)


def burn_in(frames: Frames, overlays: Sequence[Overlay], fps: float) -> Frames:
    """(T, H, W, 3) uint8 with the texts drawn on -> the same shape; `frames` is left as it is."""
    burned = frames.copy()
    count, height, width = frames.shape[:3]
    margin_x, margin_y = 0.03 * width, 0.04 * height
    for overlay in overlays:
        first, last = (round(share * count) for share in overlay.visible)
        patches: dict[str, NDArray[np.float32]] = {}
        for index in range(first, max(last, first + 1)):
            text = clock_text(overlay, int(index / fps))
            if text not in patches:
                patches[text] = _patch(overlay, text, width, height)
            patch = patches[text][:height, :width]
            space_x, space_y = width - patch.shape[1], height - patch.shape[0]
            across, down = _FRACTIONS[overlay.position]
            x = _place(space_x, across, margin_x * overlay.jitter[0])
            y = _place(space_y, down, margin_y * overlay.jitter[1])
            window = burned[index, y : y + patch.shape[0], x : x + patch.shape[1]]
            alpha = patch[..., 3:] * (overlay.opacity / 255)
            window[:] = (window + alpha * (patch[..., :3] - window)).astype(np.uint8)
    return burned


def _place(space: int, fraction: float, margin: float) -> int:
    """Offset in pixels: `fraction` of the free space, a margin away from the borders."""
    offset = fraction * space + margin * (1 - 2 * fraction)
    return int(min(max(round(offset), 0), max(space, 0)))
