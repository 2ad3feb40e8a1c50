"""An arm: what joins the real training clips, as a value."""

from __future__ import annotations

import pydantic


class Arm(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Training data of Table 2."""

    id: str = pydantic.Field(pattern=r"^[a-z0-9_.-]+$")
    """Names its files; unique in a run, where upper and lower case count as one."""
    name: str
    """In a figure or a sentence: "Bora"."""
    label: str
    """In the tables: "Source + Bora"."""
    with_real: bool = True
    """Whether real clips are among the training data."""
    labelled: bool = True
    """Whether its clips come with their labels."""
    ceiling: bool = False
    """Whether its clips are real ones of other cases: what others' gains are compared to."""

    @classmethod
    def joining(cls, id: str, name: str, *, labelled: bool = True, ceiling: bool = False) -> Arm:
        """Clips beside the real ones."""
        label = f"{SOURCE.label} + {name}"
        return cls(id=id.lower(), name=name, label=label, labelled=labelled, ceiling=ceiling)

    @classmethod
    def alone(cls, id: str, name: str) -> Arm:
        """Clips without the real ones."""
        label = f"Only {name}"
        return cls(id=f"only-{id}".lower(), name=label, label=label, with_real=False)


SOURCE = Arm(id="source", name="Source", label="Source")
REAL_TEST = Arm(id="real_test", name="Real (test)", label="Real (test)")
"""No training data: the real test clips, shown beside the arms'."""
