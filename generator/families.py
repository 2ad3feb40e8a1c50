"""The generators of the suite. A new one: its folder with a `family.py`, and its name here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from generator.family import Family

NAMES = (  # in the order of the tables
    "endora",
    "bora",
    "ophora",
    "lvdm",
    "stylegan_v",
    "mostgan_v",
)
GENERATORS: dict[str, Family[Any]] = {
    name: import_module(f"generator.{name}.family").FAMILY for name in NAMES
}
