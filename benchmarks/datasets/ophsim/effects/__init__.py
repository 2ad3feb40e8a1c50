"""Tissue effects by name: what changes in the eye while an operation goes on."""

from collections.abc import Callable
from typing import Final

from benchmarks.datasets.ophsim.effects import devices, fluids, lens, scenes, tissue

# Every effect is `effect(now, v, **arguments)`, v in [0, 1] being how far it has come.
EFFECTS: Final[dict[str, Callable[..., None]]] = {
    function.__name__: function
    for function in (
        *lens.EFFECTS,
        *fluids.EFFECTS,
        *tissue.EFFECTS,
        *devices.EFFECTS,
        *scenes.EFFECTS,
    )
}
