"""The training set as classifiers see it: clips chosen from several sources.

The floor holds only the contract, so that `augment` (which chooses) and `classifiers` (which train)
need not know each other.
"""

from __future__ import annotations

import json
from pathlib import Path

import pydantic

from core.files import write_text
from core.stage import ClipStage, Stage

MIXTURE_NAME = "mixture.jsonl"


class Chosen(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One training clip: which source it is in, its id there, its class id.

    unlabelled: the clip teaches without its label (see `classifiers.recipe.FixMatch`). until: the
    share of a training's steps, the first ones, in which the clip is drawn.
    """

    source: int = pydantic.Field(ge=0)
    clip_id: str
    label: int = pydantic.Field(ge=0)
    unlabelled: bool = False
    until: float = pydantic.Field(default=1.0, gt=0, le=1)


class Mixture(Stage):
    """A stage that chooses training clips. `sources[0]` holds the real ones.

    `execute` must leave `mixture.jsonl` (one `Chosen` a line) in its folder.
    """

    sources: tuple[ClipStage, ...]

    def chosen(self) -> list[Chosen]:
        """Run the stage if need be and read its choice, in order."""
        self.run()
        text = (self.folder / MIXTURE_NAME).read_text(encoding="utf-8")
        return [Chosen.model_validate_json(line) for line in text.splitlines()]

    def counted(self) -> list[Chosen]:
        """The clips of `sources[0]` that equal steps are counted by, drawn or not."""
        return [item for item in self.chosen() if item.source == 0]

    @staticmethod
    def save(folder: Path, chosen: list[Chosen]) -> None:
        """Write the choice as `mixture.jsonl`."""
        lines = (json.dumps(item.model_dump(exclude_defaults=True)) for item in chosen)
        write_text(folder / MIXTURE_NAME, "".join(line + "\n" for line in lines))
