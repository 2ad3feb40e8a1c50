"""Burned-in text that a generator has learnt to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from core.errors import UserError
from core.stage import ClipStage, Stage
from generator.curation.privacy import PrivacySettings
from generator.curation.stages import judge_privacy


class Residue(Stage):
    """The clips in which a back end of the privacy filter sees text."""

    version: ClassVar[str] = "2"  # text in any script
    clips: ClipStage
    # As in the privacy filter: exca names settings of a union another way than those of one class.
    privacy: PrivacySettings

    def execute(self, folder: Path) -> dict[str, Any]:
        """`with_text`: ids of clips; `percent` of those that can be read.

        Raises: UserError: if none can.
        """
        verdicts = judge_privacy(folder, self.clips.manifest(), self.privacy, self.runtime.workers)
        seen = {clip_id: v.sighting for clip_id, v in verdicts.items() if not v.unreadable}
        if not seen:
            raise UserError("audit: no clip can be read")
        with_text = sorted(clip_id for clip_id, sighting in seen.items() if sighting is not None)
        percent = round(100 * len(with_text) / len(seen), 2)
        return {"clips": len(seen), "with_text": with_text, "percent": percent}
