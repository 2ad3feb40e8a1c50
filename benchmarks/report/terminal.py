"""What the person who waits sees: the plan, each finished stage, the growing table, the end.

Results go to stdout, all of this to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.config.schema import BenchmarkConfig
from benchmarks.scoring.evaluation import Cell
from benchmarks.scoring.record import AnyRecord
from benchmarks.tables.of_run import left_out_note
from benchmarks.tables.schema import Table2, Tables
from core.progress import clock
from core.stage import Stage

TABLES = {
    "table2": "Table 2",
    "contrasts": "differences between two sources",
    "table1": "Table 1",
}
_WIDTHS = (9, 8, 24, 7, 17, 18, 22)  # of a cell's columns: task ("operation") to external


def plan_line(waves: Sequence[tuple[str, Sequence[Stage], int | None]]) -> str:
    """What is to do and what is there, wave by wave; waves that need nothing are left out."""
    parts = []
    for name, stages, _ in waves:
        todo = sum(not stage.is_done() for stage in stages)
        if todo:
            parts.append(f"{name} {todo} of {len(stages)}")
    return f"to do: {', '.join(parts)}" if parts else "to do: nothing, all stages are in the cache"


def cell_row(cell: Cell) -> str:
    """A finished training with its top-1 / top-5 in percent: a line of the table that grows."""
    data = cell.arm.label + (", equal steps" if cell.schedule == "matched_steps" else "")
    scores = [f"{split} {s.top1:.2f} / {s.top5:.2f}" for split, s in cell.splits.items()]
    texts = (cell.task, cell.classifier, data, f"seed {cell.seed}", *scores)
    pairs = zip(texts, _WIDTHS, strict=False)
    return "  ".join(f"{text:<{width}}" for text, width in pairs).rstrip()


def final_screen(record: AnyRecord, folder: Path, tables: Tables, seconds: float) -> str:
    """What was made, where it lies, what was lost on the way, and what to do next."""
    config = record.config
    made = [(folder / "report.html", "all of it on one page, for a browser")]
    for stem, what in TABLES.items():
        if getattr(tables, stem) is not None:
            made.append((folder / f"{stem}.md", f"{what}; also as tex, csv and json"))
    made.append((folder / "run.json", "configuration, data, versions, seconds of each stage"))
    following = _following(config, tables.table2)
    width = max(len(str(place)) for place, _ in [*made, *following])
    return "\n".join(
        [f"done in {clock(seconds)}; the same command again reads it from the cache"]
        + [f"  {place!s:<{width}}  {what}" for place, what in made]
        + [f"{text[0].lower()}{text[1:]}" for text in left_out_note(record)]
        + ["next (... stands for the options of this run)"]
        + [f"  {command:<{width}}  {why}" for command, why in following]
    )


def _python() -> str:
    """The interpreter as one types it here."""
    place, here = Path(sys.executable), Path.cwd()
    return str(place.relative_to(here)) if place.is_relative_to(here) else "python"


def _following(config: BenchmarkConfig, table2: Table2 | None) -> list[tuple[str, str]]:
    """Commands that answer the questions which these results leave open."""
    python, run = _python(), "run_benchmark.py"
    found = []
    if table2 is not None and any(row.audit == "not run" for row in table2.rows):
        found.append((f"{python} -m benchmarks.audits.leakage ...", "are the clips copies?"))
    if table2 is not None and config.seeds == 1:
        why = "the spread between trainings; keeps what is there"
        found.append((f"{python} {run} ... --seeds 3", why))
    if config.sources:
        why = "your own clips as a row (docs/tutorial.md)"
        found.append((f"{python} {run} ... --sources source mine=DIR", why))
    compare = f"{python} {run} --compare RUN_DIR RUN_DIR"
    return [*found, (compare, "several results folders in one table and page")]
