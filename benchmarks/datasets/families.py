"""The layouts that --data-root is read in. A new one: its module, and an entry here.

The first that holds a folder reads it; the last says what is missing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.datasets import polypdiag
from benchmarks.datasets.cataract.dataset import CataractPhases
from benchmarks.datasets.cataract.published import FORMS
from benchmarks.datasets.family import DatasetFamily, LabelledClips
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.taxonomy import Task

DATASETS: dict[str, DatasetFamily] = {
    family.name: family
    for family in (
        *(
            DatasetFamily(
                form,
                f"{known.name}: its csv files and videos/, --set taxonomy={known.taxonomy}",
                holds=known.holds,
                at=partial(CataractPhases.at, form),
            )
            for form, known in FORMS.items()
        ),
        DatasetFamily(
            "polypdiag",
            "PolypDiag: splits/train.txt, val.txt and videos/, --set taxonomy=polypdiag",
            holds=polypdiag.holds,
            at=polypdiag.PolypDiag.at,
        ),
        DatasetFamily(
            "ophnet",
            "OphNet2024's layout: annotation csv files and videos/",
            holds=lambda root: True,
            at=OphNet.at,
        ),
    )
}


def read_at(root: Path, *, task: Task, **machinery: Any) -> LabelledClips:
    """The labelled clips of a folder.  Raises: UserError: if no layout fits."""
    family = next(family for family in DATASETS.values() if family.holds(root))
    return family.at(root, task=task, **machinery)
