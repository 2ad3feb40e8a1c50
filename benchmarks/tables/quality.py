"""Build Table 1 from metric values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from benchmarks.metrics.quality import WITH_TEXT
from benchmarks.tables.paper import paper_quality
from benchmarks.tables.schema import Metric, QualityRow, Table1

PAPER_NOTE = (
    "The paper's numbers are on clips of Ophora-160K, many with text, at full scale: compare "
    "directions, not values."
)
REFERENCES_NOTE = (
    "With text: against the held-out clips before those with burned-in text were taken out, as in "
    "the paper; the others: against those without."
)


def build_table1(
    entries: Sequence[tuple[str, str | None, Mapping[str, Mapping[str, Any]]]],
    *,
    data: str,
    scale: str,
    protocol: str,
    notes: Sequence[str] = (),
) -> Table1:
    """Table 1 from (model, fine-tuned on, metrics) entries, in the order given.

    Args: metrics: as in the result of `GenerationQuality`: name -> value, n, encoder, ...
    Raises: pydantic.ValidationError: if rows were measured with different metrics.
    """
    rows = [
        QualityRow(
            model=model,
            fine_tuned_on=fine_tuned_on,
            metrics={
                name: Metric(**fields, paper=_paper_beside(model, name, metrics))
                for name, fields in metrics.items()
            },
        )
        for model, fine_tuned_on, metrics in entries
    ]
    table = Table1(data=data, scale=scale, protocol=protocol, rows=tuple(rows))
    below = (*_notes_on_quality(table), *notes, PAPER_NOTE)
    return table.model_copy(update={"notes": below})


def _paper_beside(model: str, name: str, names: Collection[str]) -> float | None:
    """The paper's number, beside the reference with text where there is one."""
    family = name.partition("_")[0]
    with_text = any(other.startswith(f"{family}{WITH_TEXT}") for other in names)
    return None if with_text and WITH_TEXT not in name else paper_quality(model, name)


def _notes_on_quality(table: Table1) -> list[str]:
    printed = [
        (name, row.metrics[name])
        for row in table.rows
        for name in table.printed
        if name in row.metrics
    ]
    warnings = {f"{name}: {metric.warning}." for name, metric in printed if metric.warning}
    reached = {
        f"{name} of the real clips with their own captions: {metric.real:.2f}."
        for name, metric in printed
        if metric.real is not None
    }
    further = len(table.names) - len(table.printed)
    elsewhere = [f"In table1.csv and table1.json: further metrics ({further})."] if further else []
    both = [REFERENCES_NOTE] if any(WITH_TEXT in name for name in table.names) else []
    return [*sorted(warnings), *sorted(reached), *both, *elsewhere]
