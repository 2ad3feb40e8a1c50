from pathlib import Path
from typing import Any

import pydantic
import pytest

from core.mixture import MIXTURE_NAME, Chosen, Mixture
from tests.core.stages import RedClips


class FirstOfEach(Mixture):
    """The first clip of every source, labelled by the source's number."""

    def execute(self, folder: Path) -> dict[str, Any]:
        chosen = [
            Chosen(source=number, clip_id=source.manifest().clips[0].clip_id, label=number)
            for number, source in enumerate(self.sources)
        ]
        self.save(folder, chosen)
        return {"clips": len(chosen)}


def test_a_mixture_runs_its_sources_and_reads_back(tmp_path: Path) -> None:
    infra = {"folder": str(tmp_path)}
    sources = (RedClips(infra=infra), RedClips(count=3, infra=infra))
    mixture = FirstOfEach(sources=sources, infra=infra)
    expected = [
        Chosen(source=0, clip_id="red-0", label=0),
        Chosen(source=1, clip_id="red-0", label=1),
    ]
    assert mixture.chosen() == expected
    text = (mixture.folder / MIXTURE_NAME).read_text()
    assert text.count("\n") == 2 and text.endswith("\n")
    assert [type(stage).__name__ for stage in mixture.tower()] == [
        "RedClips",
        "RedClips",
        "FirstOfEach",
    ]


@pytest.mark.parametrize("changes", [{"until": 0.0}, {"label": -1}, {"source": -1}, {"x": 1}])
def test_a_choice_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Chosen.model_validate({"source": 0, "clip_id": "a", "label": 0, **changes})
