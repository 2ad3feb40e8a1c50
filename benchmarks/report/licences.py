"""Licences of what a run used: found when it ends, shown on its page, warned of on the terminal.

card beside the weights, else `licences.yaml` -> Material in run.json -> rows and warnings
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.scoring.record import Material

TABLE_PATH = Path(__file__).with_name("licences.yaml")
CARDS = ("README.md", "CARD.md")
OURS = "apache-2.0"
HEADER = ("What", "Kind", "Licence", "Commercial use", "Clinical use", "Says who")
SAID = {True: "allowed", False: "not allowed", None: "not said"}


@functools.cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TABLE_PATH.read_text(encoding="utf-8"))
    return found


def material(name: str, kind: str, *, folder: Path | None = None, ours: bool = False) -> Material:
    """A weight or data set with its licence; None where nobody says.

    Args: folder: where a card may lie (a hub's README.md names the licence in its first lines);
    ours: made by this project.
    """
    if ours:
        return Material(name=name, kind=kind, licence=OURS, said_by="this project")
    for card in CARDS if folder is not None else ():
        if folder is not None and (licence := _licence_of_card(folder / card)):
            return Material(name=name, kind=kind, licence=licence, said_by=card)
    known = {key.casefold(): entry for key, entry in _table()["names"].items()}
    entry = known.get(name.casefold(), {})
    return Material(
        name=name, kind=kind, licence=entry.get("licence"), said_by=entry.get("said_by", "nobody")
    )


def _licence_of_card(path: Path) -> str | None:
    """`license` between the card's first two lines of dashes; of "other", its name."""
    if not path.is_file():
        return None
    parts = path.read_text(encoding="utf-8", errors="replace").split("---\n")
    try:
        front = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else None
    except yaml.YAMLError:
        return None
    if not isinstance(front, dict):
        return None
    licence = front.get("license")
    found = front.get("license_name", licence) if licence == "other" else licence
    return None if found is None else str(found).lower()


def allowed(licence: str | None, use: str) -> bool | None:
    """Whether a licence allows a use ("commercial", "clinical"); None where it does not say."""
    terms: Mapping[str, bool] = _table()["licences"].get(licence, {})
    return terms.get(use)


def licence_rows(materials: Sequence[Material]) -> list[tuple[str, ...]]:
    """Rows of `HEADER`."""
    return [
        (
            each.name,
            each.kind,
            each.licence or "unknown",
            SAID[allowed(each.licence, "commercial")],
            SAID[allowed(each.licence, "clinical")],
            each.said_by,
        )
        for each in materials
    ]


def licence_warnings(materials: Sequence[Material]) -> list[str]:
    """A sentence for each use that a licence forbids, and for what has no known licence."""
    found = []
    for use in ("commercial", "clinical"):
        names = [
            f"{each.name} ({each.licence})"
            for each in materials
            if allowed(each.licence, use) is False
        ]
        if names:
            found.append(f"No {use} use of what this run made: {', '.join(names)}.")
    unknown = [each.name for each in materials if each.licence is None]
    if unknown:
        found.append(
            f"Licence unknown: {', '.join(unknown)}: take commercial and clinical use for not "
            "allowed until you have looked it up."
        )
    return found
