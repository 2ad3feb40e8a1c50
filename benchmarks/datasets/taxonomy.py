"""The names, hierarchy and class frequencies of OphNet2024, read from `ophnet_classes.csv`.

Source: OphNet2024 (arXiv 2406.07471), annotation files `OphNet2024_loca_challenge*.csv` and the
authors' list of names. 52 phases count "Others" (51); operation 106 is "Others".
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

Split = Literal["train", "val", "test"]
Task = Literal["phase", "operation"]

SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
TASKS: Final[tuple[Task, ...]] = ("phase", "operation")
_TABLE: Final = Path(__file__).with_name("ophnet_classes.csv")


def _rows(task: Task) -> list[dict[str, str]]:
    """Rows of one task, ordered by class id."""
    with _TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == task]
    rows.sort(key=lambda row: int(row["class_id"]))
    assert [int(row["class_id"]) for row in rows] == list(range(len(rows)))
    return rows


def _counts(rows: list[dict[str, str]]) -> Mapping[Split, tuple[int, ...]]:
    return {split: tuple(int(row[split]) for row in rows) for split in SPLITS}


_PHASE_ROWS: Final = _rows("phase")
_OPERATION_ROWS: Final = _rows("operation")

PHASES: Final[tuple[str, ...]] = tuple(row["name"] for row in _PHASE_ROWS)
OPERATIONS: Final[tuple[str, ...]] = tuple(row["name"] for row in _OPERATION_ROWS)
CLASS_NAMES: Final[Mapping[Task, tuple[str, ...]]] = {"phase": PHASES, "operation": OPERATIONS}
# Both count "Others" (51, 106). The Ophora paper's "52 phases and 106 operations" counts it once
# (Table 2 and Sec. 3.1).
NUM_CLASSES: Final[Mapping[Task, int]] = {task: len(names) for task, names in CLASS_NAMES.items()}
# None for "Others": OphNet files it under 25 different phases.
PHASE_OF_OPERATION: Final[tuple[int | None, ...]] = tuple(
    int(row["phase_id"]) if row["phase_id"] else None for row in _OPERATION_ROWS
)
# Clips per class and split, indexed by class id.
PHASE_COUNTS: Final[Mapping[Split, tuple[int, ...]]] = _counts(_PHASE_ROWS)
OPERATION_COUNTS: Final[Mapping[Split, tuple[int, ...]]] = _counts(_OPERATION_ROWS)

OTHERS_PHASE: Final = 51
OTHERS_OPERATION: Final = 106

# Phases under which OphNet files "Others", with its segment counts.
# Source: OphNet2024_loca_challenge.csv, rows with operation_id 106.
PHASES_OF_OTHERS: Final[Mapping[int, int]] = {
    51: 209, 22: 53, 9: 36, 7: 36, 1: 24, 34: 17, 27: 17, 38: 15, 39: 13, 40: 12, 5: 12, 28: 12,
    36: 11, 21: 10, 25: 10, 33: 7, 6: 6, 15: 4, 0: 4, 29: 4, 24: 3, 13: 3, 43: 3, 42: 3, 47: 1,
}  # fmt: skip


def operations_of(task: Task) -> tuple[tuple[int, ...], ...]:
    """Operation ids by class id. "Others" (operation 106) has no phase of its own: phase 51."""
    if task == "operation":
        return tuple((operation,) for operation in range(len(OPERATIONS)))
    others = len(PHASES) - 1
    return tuple(
        tuple(
            operation
            for operation, phase in enumerate(PHASE_OF_OPERATION)
            if (others if phase is None else phase) == phase_id
        )
        for phase_id in range(len(PHASES))
    )
