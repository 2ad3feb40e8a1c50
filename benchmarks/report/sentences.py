"""The sentences that a report begins with: what each table found.

Table 2 -> whether each source helped; Table 1 -> whose clips lie nearest to real ones
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from augment.arm import Arm
from benchmarks.tables.schema import AccuracyRow, Table1, Table2

DISTANCES = ("fid_", "fvd_")
FEW_ARMS = 3  # whose numbers find room in a sentence


def sentence_of(table: Table1 | Table2) -> str:
    """A table in one sentence."""
    return accuracy_sentence(table) if isinstance(table, Table2) else quality_sentence(table)


def headline_of(table: Table1 | Table2) -> str:
    """What a table found, in words alone where its picture has the numbers."""
    if isinstance(table, Table1):
        return quality_sentence(table)
    found = [
        f"At {schedule}: {'; '.join(_grouped(by_arm))}."
        for schedule, by_arm in _compared(table)
        if by_arm
    ]
    where = f"{table.data}, {table.scale}, {_basis(table)}"
    return f"{where}. {' '.join(found) or 'No augmented arm was compared with Source.'}"


def quality_sentence(table: Table1) -> str:
    """Whose clips lie nearest to real ones, in one sentence for each printed distance."""
    distances = [name for name in table.printed if name.startswith(DISTANCES)]
    findings = []
    for name in distances:
        first, *others = sorted(table.rows, key=lambda row: row.metrics[name].value)
        value = f"{first.model}, {first.metrics[name].value:.2f}"
        behind = f" before {others[0].model}, {others[0].metrics[name].value:.2f}" if others else ""
        findings.append(f"{name.partition('_')[0].upper()}: {value}{behind}")
    return f"On {table.data} ({table.scale}), nearest to real clips by {'; by '.join(findings)}."


def accuracy_sentence(table: Table2) -> str:
    """Whether each source helped on test: a sentence for each schedule.

    With intervals and p values, the corrected ones, as are the marks in the table; where there are
    many sources, those that fared alike are named together and the numbers left to the table.
    """
    where = f"On {table.data} ({table.scale}, {_basis(table)}), test split"
    found = []
    for schedule, by_arm in _compared(table):
        clauses = _clauses(by_arm) if len(by_arm) <= FEW_ARMS else _grouped(by_arm)
        if clauses:
            found.append(f"{schedule}: {'; '.join(clauses)}.")
    if not found:
        return f"{where}: no augmented arm was compared with Source."
    return f"{where}, " + " Test split, ".join(found)


def _basis(table: Table2) -> str:
    runs = max(row.top1.n_seeds for row in table.rows)
    return "a single run" if runs == 1 else f"{runs} seeds"


def _compared(table: Table2) -> Iterator[tuple[str, dict[Arm, list[AccuracyRow]]]]:
    """Of each schedule, the rows of test that have a difference from Source, by arm."""
    for schedule in dict.fromkeys(row.schedule for row in table.rows):
        by_arm: dict[Arm, list[AccuracyRow]] = {}
        for row in table.rows:
            if (row.split, row.schedule) == ("test", schedule) and row.delta_vs_source is not None:
                by_arm.setdefault(row.arm, []).append(row)
        yield schedule.replace("_", " "), by_arm


def _clauses(by_arm: Mapping[Arm, Sequence[AccuracyRow]]) -> list[str]:
    """What each arm's clips did, with its numbers."""
    clauses = []
    for arm, rows in by_arm.items():
        tasks = len({row.task for row in rows})
        numbers = ", ".join(
            f"{row.classifier}{f' {row.task}' if tasks > 1 else ''} {delta.top1:+.2f} points"
            f" [{delta.ci95[0]:+.2f}, {delta.ci95[1]:+.2f}], {_p(delta.p_holm)}"
            for row in rows
            if (delta := row.delta_vs_source) is not None
        )
        clauses.append(f"{arm.name}'s clips {_finding(rows)} ({numbers})")
    return clauses


def _grouped(by_arm: Mapping[Arm, Sequence[AccuracyRow]]) -> list[str]:
    """The arms of each finding, in the table's order."""
    alike: dict[str, list[str]] = {}
    for arm, rows in by_arm.items():
        alike.setdefault(_finding(rows), []).append(arm.name)
    return [f"{', '.join(names)} {finding}" for finding, names in alike.items()]


def _finding(rows: Sequence[AccuracyRow]) -> str:
    deltas = [row.delta_vs_source for row in rows if row.delta_vs_source is not None]
    better = [delta.top1 > 0 and delta.significant for delta in deltas]
    worse = [delta.top1 < 0 and delta.significant for delta in deltas]
    findings = [
        f"{verb} top-1" + ("" if all(found) else " for some")
        for verb, found in (("raised", better), ("lowered", worse))
        if any(found)
    ]
    return " and ".join(findings) or "showed no reliable difference in top-1"


def _p(value: float) -> str:
    return "Holm p < 0.001" if value < 0.001 else f"Holm p = {value:.3f}"
