"""`report.html`: one file that opens offline and shows whether the augmentation helped, and why.

run.json + tables + pictures -> verdict, tables, figures, clips, provenance -> one HTML page
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.audits.rows import AUDIT_HEADER, RULES
from benchmarks.report import licences
from benchmarks.report.classes import ClassTable
from benchmarks.report.drawing import inline, page
from benchmarks.report.evidence import SEEN_HEADER
from benchmarks.report.figures import Chart
from benchmarks.report.funnel import HEADER
from benchmarks.report.layout import stacked
from benchmarks.report.provenance import (
    ORIGIN_HEADER,
    STAGES_HEADER,
    TIMES_HEADER,
    origins_of,
    stages_of,
    times_of,
)
from benchmarks.report.sentences import headline_of, sentence_of
from benchmarks.report.shown import Panel
from benchmarks.scoring.record import Material
from benchmarks.tables.plain import csv_text
from benchmarks.tables.render import TEXT_COLUMNS, latex, markdown, title
from benchmarks.tables.schema import Contrasts, Table, Table1, Table2, Tables
from core.files import write_text

HEADINGS: dict[type, str] = {
    Table2: "Does it help? Table 2",
    Contrasts: "Is one source better than another?",
    Table1: "How good are the clips? Table 1",
}
SEEN = (
    "What a classifier trained on real clips sees in each arm's clips: Source alone, first seed, "
    "accuracy in percent, averaged over classes."
)
CURATION = "Clips that each step of curation saw and removed, in the order of the steps."
MISTAKEN = "The commonest mistakes of Source on test and how common each is, percent of the class."
AUDITED = "Leakage audits of the synthetic clips."
UNAUDITED = (
    "Of an arm that was not audited nothing is known; to audit it: python -m "
    "benchmarks.audits.leakage, with the options of this run."
)
ORIGINS = "What the numbers were made from."
LICENCES = "Licences of the weights and data, as far as they are known."
TIMES = "What the run computed, stages kept from earlier runs included (minutes:seconds)."
STAGES = "Every stage, in the order in which they depend on one another."
TEMPLATE = Path(__file__).with_name("templates") / "report.html.j2"


@dataclass(frozen=True)
class Report:
    """Everything the page shows; all of it is optional, but there is one table at least.

    overview: Table 2 as a picture. charts: figures that explain it; seen: rows of
    `evidence.SEEN_HEADER`; funnel, curation: how the generators' clips were chosen, rows of
    `funnel.HEADER`.
    audits: rows of `audits.rows.AUDIT_HEADER`, one for each synthetic arm.
    curves: how the classifiers learned. scenes: videos by class or caption. classes: recall by
    class. mistakes: confusion figures; mistaken, mistaken_header: the commonest, as a table.
    materials: weights and data with their licences. run: the content of run.json.
    """

    tables: Tables
    overview: Sequence[Chart] = ()
    charts: Sequence[Chart] = ()
    seen: Sequence[Sequence[str]] = ()
    audits: Sequence[Sequence[str]] = ()
    funnel: Chart | None = None
    curation: Sequence[Sequence[str]] = ()
    panels: Sequence[Panel] = ()
    curves: Sequence[Chart] = ()
    scenes: Sequence[Panel] = ()
    classes: Sequence[ClassTable] = ()
    mistakes: Sequence[Chart] = ()
    mistaken: Sequence[Sequence[str]] = ()
    mistaken_header: Sequence[str] = ()
    materials: Sequence[Material] = ()
    run: Mapping[str, Any] = field(default_factory=dict)


def write_report(path: Path | str, report: Report) -> None:
    """Write the page, atomically. Equal input gives equal bytes."""
    write_text(path, render(report))


def render(report: Report) -> str:
    """The page as HTML; every name and prompt in it is escaped."""
    tables = report.tables.made
    main = next(table for table in tables if not isinstance(table, Contrasts))
    return page(
        TEMPLATE,
        data=main.data,
        scale=main.scale,
        verdict=headline_of(main),
        numbers=sentence_of(main),
        overview=[(chart, inline(chart.svg)) for chart in report.overview],
        tables=[_shown(table) for table in tables],
        charts=[(chart, inline(chart.svg)) for chart in report.charts],
        seen=_plain(SEEN, SEEN_HEADER, report.seen, 3),
        funnel=report.funnel and (report.funnel, inline(report.funnel.svg)),
        curation=_plain(CURATION, HEADER, report.curation, 3),
        curves=[(chart, inline(chart.svg)) for chart in report.curves],
        panels=report.panels,
        scenes=report.scenes,
        classes=[_plain(each.title, each.header, each.rows, 2) for each in report.classes],
        mistakes=[(chart, inline(chart.svg)) for chart in report.mistakes],
        mistaken=_plain(MISTAKEN, report.mistaken_header, report.mistaken, 3),
        audits=_plain(AUDITED, AUDIT_HEADER, report.audits, 2),
        rules=[*RULES, UNAUDITED],
        origins=_plain(ORIGINS, ORIGIN_HEADER, origins_of(report.run), 2),
        licences=_plain(LICENCES, licences.HEADER, licences.licence_rows(report.materials), 6),
        forbidden=licences.licence_warnings(report.materials),
        times=_plain(TIMES, TIMES_HEADER, times_of(report.run), 1),
        stages=_plain(STAGES, STAGES_HEADER, stages_of(report.run), 3),
        run=json.dumps(report.run, indent=2, ensure_ascii=False, default=str),
    )


def _shown(table: Table) -> dict[str, Any]:
    header, body = stacked(table)
    texts = sum(name in TEXT_COLUMNS for name in header)
    return {
        **_plain(title(table), header, body, texts),
        "heading": HEADINGS[type(table)],
        "notes": table.notes,
        "copies": {
            "Markdown": markdown(table),
            "LaTeX": latex(table),
            "CSV": csv_text(table),
        },
    }


def _plain(
    text: str, header: Sequence[str], body: Sequence[Sequence[str]], texts: int
) -> dict[str, Any]:
    """A table as the template's macro draws it; texts: how many columns are no numbers."""
    return {"title": text, "header": header, "body": body, "texts": texts}
