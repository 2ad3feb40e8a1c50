"""Write tables as md, tex (booktabs), csv and json. No dates: equal tables give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import tabulate

from benchmarks.tables.plain import csv_text
from benchmarks.tables.schema import Contrasts, Delta, Metric, Score, Table, Table1, Table2, Tables
from core.files import write_json, write_text

MISSING = "–"
MARK = "*"  # a difference that survives the correction for several tests
TEXT_COLUMNS = (
    "Task",
    "Matched",
    "Split",
    "Training data",
    "Classifier",
    "Arm",
    "minus",
    "Model",
    "Fine-tuned on",
)
SCHEDULES = {"matched_epochs": "epochs", "matched_steps": "steps"}
_TEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "Δ": r"$\Delta$", "–": "--"}
)
SUFFIXES = (".md", ".tex", ".csv", ".json")
Cells = list[list[str]]


def plain_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Rows as a Markdown table, numbers as they are written."""
    text: str = tabulate.tabulate(rows, header, tablefmt="github", disable_numparse=True)
    return text


def copies(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Rows as texts to copy, by the name of the format."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    body = [[cell.translate(_TEX) for cell in row] for row in rows]
    names = [name.translate(_TEX) for name in header]
    return {
        "Markdown": plain_table(rows, header),
        "LaTeX": tabulate.tabulate(body, names, tablefmt="latex_raw", disable_numparse=True),
        "CSV": buffer.getvalue(),
    }


def write_tables(tables: Tables, folder: Path) -> None:
    """Write those that there are into `folder`; of the others, an earlier run's are removed."""
    for stem, table in tables._asdict().items():
        if table is not None:
            write_table(table, folder, stem)
        else:
            for suffix in SUFFIXES:
                (folder / f"{stem}{suffix}").unlink(missing_ok=True)


def write_table(table: Table, folder: Path | str, stem: str) -> list[Path]:
    """Write `<stem>.md`, `.tex`, `.csv` and `.json` into `folder`; returns the four paths."""
    base = Path(folder) / stem
    write_text(base.with_suffix(".md"), markdown(table))
    write_text(base.with_suffix(".tex"), latex(table))
    write_text(base.with_suffix(".csv"), csv_text(table))
    write_json(base.with_suffix(".json"), table.model_dump(mode="json"))
    return [base.with_suffix(suffix) for suffix in SUFFIXES]


def title(table: Table) -> str:
    """The caption: what is shown, on which data, at which scale."""
    if isinstance(table, Table1):
        return (
            f"Table 1. Generation quality. Data: {table.data}, scale: {table.scale},"
            f" protocol: {table.protocol}."
        )
    if isinstance(table, Contrasts):
        return (
            "Differences in top-1 between two arms, in points."
            f" Data: {table.data}, scale: {table.scale}."
        )
    runs = sorted({row.top1.n_seeds for row in table.rows})
    seeds = " / ".join("single run" if n == 1 else f"{n} seeds" for n in runs)
    return (
        f"Table 2. Downstream accuracy in percent. Data: {table.data}, scale: {table.scale},"
        f" {seeds}, recipe: {table.recipe}."
    )


def grid(table: Table) -> tuple[list[str], Cells]:
    """Header and body of the table as text, one row a line of the table."""
    if isinstance(table, Contrasts):
        return _grid_of_contrasts(table)
    return _quality_grid(table) if isinstance(table, Table1) else _accuracy_grid(table)


def markdown(table: Table) -> str:
    """The table with its caption above and its notes below, in GitHub's Markdown."""
    header, body = grid(table)
    # Numbers are formatted already; tabulate must not read them again.
    text = tabulate.tabulate(
        body, header, tablefmt="github", disable_numparse=True, colalign=_alignment(header)
    )
    notes = "".join(f"- {note}\n" for note in table.notes)
    return f"**{title(table)}**\n\n{text}\n\n{notes}"


def latex(table: Table) -> str:
    """A table environment for LaTeX with the booktabs package."""
    header, body = grid(table)
    text = tabulate.tabulate(
        [[cell.translate(_TEX) for cell in row] for row in body],
        [name.translate(_TEX) for name in header],
        tablefmt="latex_raw",
        disable_numparse=True,
        colalign=_alignment(header),
    )
    for rule in ("toprule", "midrule", "bottomrule"):
        text = text.replace(r"\hline", rf"\{rule}", 1)
    caption = " ".join([title(table), *table.notes]).translate(_TEX)
    return (
        "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\\small\n"
        f"\\caption{{{caption}}}\n{text}\n\\end{{table}}\n"
    )


def _quality_grid(table: Table1) -> tuple[list[str], Cells]:
    names = table.printed
    header = ["Model", "Fine-tuned on"]
    shown_paper = {
        name: any(_paper_text(row.metrics.get(name)) != MISSING for row in table.rows)
        for name in names
    }
    for name in names:
        header += [name, "paper"] if shown_paper[name] else [name]
    body = []
    for row in table.rows:
        line = [row.model, row.fine_tuned_on or MISSING]
        for name in names:
            metric = row.metrics.get(name)
            line.append(MISSING if metric is None else quality_text(metric))
            if shown_paper[name]:
                line.append(_paper_text(metric))
        body.append(line)
    return header, body


def _accuracy_grid(table: Table2) -> tuple[list[str], Cells]:
    header = ["Task", "Split", "Training data", "Classifier", "Top-1", "paper", "Top-5", "paper"]
    of_f1 = any(row.f1_papers for row in table.rows)
    header += ["F1", *["paper"] * of_f1, "Δ top-1 vs Source", "paper", "p", "p Holm"]
    both = len({row.schedule for row in table.rows}) > 1
    papers = table.paper_gains
    body = [
        [
            row.task,
            row.split,
            row.training_data,
            row.classifier,
            score_text(row.top1),
            _number(row.top1.paper),
            score_text(row.top5),
            _number(row.top5.paper),
            _number(row.macro_f1),
            *([_numbers(row.f1_papers)] if of_f1 else []),
            delta_text(row.delta_vs_source),
            *_tests(row.delta_vs_source, gain),
        ]
        for row, gain in zip(table.rows, papers, strict=True)
    ]
    if both:
        header.insert(1, "Matched")
        for line, row in zip(body, table.rows, strict=True):
            line.insert(1, SCHEDULES[row.schedule])
    return header, body


def _grid_of_contrasts(table: Contrasts) -> tuple[list[str], Cells]:
    header = ["Task", "Matched", "Split", "Arm", "minus", "Classifier", "Δ top-1", "p", "p Holm"]
    body = [
        [
            row.task,
            SCHEDULES[row.schedule],
            row.split,
            row.first.name,
            row.second.name,
            row.classifier,
            delta_text(row.difference),
            f"{row.difference.p_value:.4f}",
            f"{row.difference.p_holm:.4f}",
        ]
        for row in table.rows
    ]
    return header, body


def score_text(score: Score) -> str:
    """Percent with spread over seeds, where there are several, and interval."""
    low, high = score.ci95
    mean = f"{score.mean:.2f}" if score.std is None else f"{score.mean:.2f} ± {score.std:.2f}"
    return f"{mean} [{low:.2f}, {high:.2f}]"


def delta_text(delta: Delta | None) -> str:
    """The difference in points with its mark and interval."""
    if delta is None:
        return MISSING
    low, high = delta.ci95
    return f"{delta.top1:+.2f}{MARK * delta.significant} [{low:+.2f}, {high:+.2f}]"


def _tests(delta: Delta | None, paper: float | None) -> tuple[str, str, str]:
    """The paper's gain, p and corrected p."""
    if delta is None:
        return (MISSING,) * 3
    gain = MISSING if paper is None else f"{paper:+.2f}"
    return gain, f"{delta.p_value:.4f}", f"{delta.p_holm:.4f}"


def _paper_text(metric: Metric | None) -> str:
    if metric is None:
        return MISSING
    return _numbers(metric.papers) if metric.papers else _number(metric.paper)


def _numbers(by_data: Mapping[str, float]) -> str:
    return " / ".join(map(_number, by_data.values())) or MISSING


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def quality_text(metric: Metric) -> str:
    """The value with its interval, where it has one."""
    # Kernel distances are small numbers around zero, Frechet distances and scores are not.
    digits = 2 if abs(metric.value) >= 1 else 4
    ends = metric.ci95
    interval = f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]" if ends else ""
    return f"{metric.value:.{digits}f}{interval}"


def _alignment(header: Sequence[str]) -> list[str]:
    return ["left" if name in TEXT_COLUMNS else "right" for name in header]
