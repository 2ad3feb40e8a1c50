"""OphNet2024's names, hierarchy and class frequencies, which OphSim draws.

They are those of the taxonomy that a run has by default; a run's own is `config.taxonomy`.
"""

from collections.abc import Mapping
from typing import Final

from benchmarks.datasets.labels import TASKS, Task, default_taxonomy
from core.clip import Split

__all__ = ["TASKS", "Split", "Task"]

SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
_TAXONOMY: Final = default_taxonomy()


def _counts(task: Task) -> Mapping[Split, tuple[int, ...]]:
    known = [member.clips for member in _TAXONOMY.classes[task]]
    counts = [clips for clips in known if clips is not None]
    assert len(counts) == len(known)
    return {split: tuple(each[place] for each in counts) for place, split in enumerate(SPLITS)}


CLASS_NAMES: Final[Mapping[Task, tuple[str, ...]]] = {t: _TAXONOMY.names(t) for t in TASKS}
PHASES: Final = _TAXONOMY.names("phase")
OPERATIONS: Final = _TAXONOMY.names("operation")
# Both count "Others" (51, 106). The Ophora paper's "52 phases and 106 operations" counts it once
# (Table 2 and Sec. 3.1).
NUM_CLASSES: Final[Mapping[Task, int]] = {task: _TAXONOMY.num_classes(task) for task in TASKS}
_PARENTS: Final = _TAXONOMY.parents("operation")
assert _PARENTS is not None
# None for "Others": OphNet files it under 25 different phases.
PHASE_OF_OPERATION: Final[tuple[int | None, ...]] = _PARENTS
# Clips per class and split, indexed by class id.
PHASE_COUNTS: Final = _counts("phase")
OPERATION_COUNTS: Final = _counts("operation")

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
    return _TAXONOMY.leaves_of(task)
