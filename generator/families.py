"""The generators of the suite, in the order of the tables. A new one: its folder, and a line here.

Source of rows and names: the Ophora paper, Table 1.
"""

from __future__ import annotations

from typing import Any

from generator.bora.family import Bora
from generator.endora.family import Endora
from generator.family import Family
from generator.ophora.family import Ophora

GENERATORS: dict[str, Family[Any]] = {
    family.name: family
    for family in (
        Endora(),
        Bora(),
        Ophora(),
    )
}
