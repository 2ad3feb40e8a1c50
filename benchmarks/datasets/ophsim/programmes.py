"""The data table `programmes.yaml`, validated: one visual programme per operation."""

import inspect
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks.datasets.ophsim.canvas import polar
from benchmarks.datasets.ophsim.effects import EFFECTS
from benchmarks.datasets.ophsim.motions import PRIMITIVES
from benchmarks.datasets.ophsim.tools import TOOLS
from benchmarks.datasets.taxonomy import OPERATIONS

_TABLE: Final = Path(__file__).with_name("programmes.yaml")

# Places in eye coordinates. The main wound is temporal (lower right), the side port opposite;
# glaucoma surgery works on the sclera above the main wound.
SITES: Final[dict[str, tuple[float, float]]] = {
    name: (float(point[0]), float(point[1]))
    for name, point in {
        "centre": polar(0.0, 0.0),
        "main": polar(0.95, 35.0),
        "side": polar(0.95, 165.0),
        "rim": polar(0.72, -40.0),
        "far_rim": polar(0.45, 215.0),
        "temporal": polar(1.25, 35.0),
        "limbus": polar(1.0, -20.0),
        "iris": polar(0.97, -20.0),
        "sclera": polar(1.2, -20.0),
        "far_sclera": polar(1.5, -17.0),
        "nasal": polar(1.4, 180.0),
        "top": polar(1.02, -90.0),
        "stay": polar(1.0, 205.0),
        "muscle": polar(1.15, 185.0),
        "angle": polar(0.6, 250.0),
    }.items()
}


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolUse(_Row):
    """One instrument. Lengths in eye units, angles in degrees, times as shares of the clip."""

    tool: str
    site: str = "centre"
    pivot: Literal["none", "main", "side"] = "none"  # wound that the shaft passes through
    entry: float = 35.0  # direction from the tip to the hand when there is no pivot
    motion: str = "hold"
    amp: float = 0.2
    cycles: float = 1.0
    phase: float = 0.0
    turn: float = 40.0
    enter: float = Field(0.15, ge=0.0, le=1.0)  # arrived at its site
    leave: float = Field(0.87, ge=0.0, le=1.0)  # starts to go; 1 = stays
    jaw: float = 0.0  # opening cycles; 0 = `jaw_open` throughout
    jaw_open: float = 0.35

    @model_validator(mode="after")
    def _known(self) -> Self:
        for value, known in ((self.tool, TOOLS), (self.site, SITES), (self.motion, PRIMITIVES)):
            if value not in known:
                raise ValueError(f"{value!r} is not one of {sorted(known)}")
        return self


class EffectUse(_Row):
    """One tissue effect; `at` is a site, or `tool` / `tool2` to follow a tip."""

    effect: str
    at: str = "centre"
    start: float = 0.15
    stop: float = 0.87
    reverse: bool = False
    over: bool = False  # drawn over the instruments
    args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.effect not in EFFECTS:
            raise ValueError(f"effect {self.effect!r} is not one of {sorted(EFFECTS)}")
        if self.at not in SITES and self.at not in ("tool", "tool2"):
            raise ValueError(f"at={self.at!r} is not one of {sorted(SITES)}, 'tool', 'tool2'")
        unknown = set(self.args) - set(inspect.signature(EFFECTS[self.effect]).parameters)
        if unknown:
            raise ValueError(f"effect {self.effect!r} has no arguments {sorted(unknown)}")
        return self


class Programme(_Row):
    """What happens on screen; `scene` names the state of the eye that it starts from.

    A scene whose name starts with "offstage" shows no eye, so no corneal haze or reflection.
    """

    scene: str = "healthy"
    tools: tuple[ToolUse, ...] = ()
    effects: tuple[EffectUse, ...] = ()


class Operation(_Row):
    """One operation: one programme, or `variants` for the classes that are no single action."""

    operation_id: int
    stage: float  # when in a surgery it tends to happen, 0-1
    family: Literal["any", "cataract", "glaucoma", "cornea"]
    variants: tuple[Programme, ...] = Field(min_length=1)


class Table(_Row):
    """The whole file; `scenes` are effects that are complete from the start."""

    scenes: dict[str, tuple[EffectUse, ...]]
    operations: tuple[Operation, ...]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        ids = [operation.operation_id for operation in self.operations]
        if ids != list(range(len(OPERATIONS))):
            raise ValueError(f"{_TABLE.name} must list operations 0-{len(OPERATIONS) - 1} in order")
        for operation in self.operations:
            for programme in operation.variants:
                if programme.scene not in self.scenes:
                    raise ValueError(
                        f"operation {operation.operation_id}: no scene {programme.scene!r}"
                    )
        return self


@lru_cache(maxsize=1)
def table() -> Table:
    """The validated data table, read once a process."""
    rows = yaml.load(_TABLE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    operations = [
        {
            "operation_id": row.pop("id"),
            "stage": row.pop("stage"),
            "family": row.pop("family"),
            "variants": row.pop("variants", None) or [row],
        }
        for row in rows["operations"]
    ]
    return Table.model_validate({"scenes": rows["scenes"], "operations": operations})
