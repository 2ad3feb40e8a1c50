"""Build Table 1 from metric values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from benchmarks.config.sections import Published
from benchmarks.metrics.quality import WITH_TEXT
from benchmarks.tables.paper import endora_note, endora_quality, paper_quality
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
    published: Published = "ophora",
) -> Table1:
    """Table 1 from (model, fine-tuned on, metrics) entries, in the order given.

    Args: metrics: as in the result of `GenerationQuality`: name -> value, n, encoder, ...;
    published: whose numbers stand beside.
    Raises: pydantic.ValidationError: if rows were measured with different metrics.
    """
    rows = [
        QualityRow(
            model=model,
            fine_tuned_on=fine_tuned_on,
            metrics={
                name: Metric(**fields, **_beside(model, name, metrics, data, published))
                for name, fields in metrics.items()
            },
        )
        for model, fine_tuned_on, metrics in entries
    ]
    table = Table1(data=data, scale=scale, protocol=protocol, rows=tuple(rows))
    variants = all(row.model.startswith("Endora, ") for row in rows)  # whose numbers are Endora's
    beside = [] if variants else [PAPER_NOTE]
    if published == "endora":
        beside = endora_note(data, table.data_of_papers, 1)
    below = (*_notes_on_quality(table), *notes, *beside)
    return table.model_copy(update={"notes": below})


def _beside(
    model: str, name: str, names: Collection[str], data: str, published: Published
) -> dict[str, Any]:
    """The paper's number or numbers: of distances beside the reference with text, of Inception
    Scores beside that of frames, where there is one."""
    family = name.partition("_")[0]
    with_text = any(other.startswith(f"{family}{WITH_TEXT}") for other in names)
    of_frames = [other for other in names if other.startswith("is_") and other.endswith("x1")]
    if (with_text and WITH_TEXT not in name) or (family == "is" and of_frames not in ([], [name])):
        return {"paper": None}
    if published == "endora":
        return {"paper": None, "papers": endora_quality(model, name, data)}
    return {"paper": paper_quality(model, name)}


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
