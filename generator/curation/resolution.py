"""Resolution filter. Source: Ophora, Sec. "Comprehensive Data Curation" (below 720x480 dropped)."""

from __future__ import annotations

import pydantic

from core.video import VideoInfo


class ResolutionSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Bounds on a clip's size. Defaults: the paper's."""

    min_width_px: int = pydantic.Field(default=720, ge=1)
    """A narrower clip is dropped."""
    min_height_px: int = pydantic.Field(default=480, ge=1)
    """A lower one is dropped."""

    def problem_of(self, info: VideoInfo) -> str | None:
        """Why a clip of that size is dropped, or None."""
        enough = info.width >= self.min_width_px and info.height >= self.min_height_px
        return None if enough else "low resolution"
