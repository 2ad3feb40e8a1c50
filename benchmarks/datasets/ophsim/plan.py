"""Which operations every OphSim case shows, in which order and for how long (pure functions).

OphNet's facts that are kept: splits by case, the long tail of both tasks, surgeries of one family
a case, and consecutive operations of one phase that share one row of the phase table
(14,674 phase rows for 17,508 operation rows).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from benchmarks.datasets.ophsim.programmes import table
from benchmarks.datasets.taxonomy import (
    OPERATION_COUNTS,
    OPERATIONS,
    OTHERS_OPERATION,
    OTHERS_PHASE,
    PHASE_COUNTS,
    PHASE_OF_OPERATION,
    PHASES,
    PHASES_OF_OTHERS,
    SPLITS,
    Split,
)
from core.errors import UserError

Family = Literal["cataract", "glaucoma", "cornea", "mixed"]
# OphSim's own surgery numbers; OphNet's 28 are finer. "mixed" only where cases are too few.
SURGERIES: Final[dict[Family, int]] = {"cataract": 0, "glaucoma": 1, "cornea": 2, "mixed": 3}

# Operation rows for each phase row. Source: OphNet2024_loca_challenge*.csv, row counts.
_ROWS_PER_PHASE_ROW: Final = 17_508 / 14_674
_SECONDS: Final = (1.12, 2.25)  # of one operation. Source: our choice, 9-18 frames at 8 fps
_SHORT_SECONDS: Final = (0.5, 1.0)
_SHORT_SHARE: Final = 0.04  # OphNet has clips under a second, too
_GAP_SHARE: Final = 0.25  # of phase changes with some unlabelled frames between


@dataclass(frozen=True)
class Segment:
    """One operation. `gap` unlabelled frames come before it; then it lasts `frames` frames."""

    operation_id: int
    phase_id: int
    frames: int
    gap: int
    seed: int


@dataclass(frozen=True)
class Case:
    """One untrimmed video."""

    video_id: str
    split: Split
    surgery_id: int
    appearance_seed: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class _Item:
    operation_id: int
    phase_id: int


def operation_counts(split: Split, clips: int, minimum: int) -> tuple[int, ...]:
    """How often each operation occurs so that about `clips` phase rows result.

    Proportional to OphNet's split, at least `minimum` each. With too few clips for that, each
    phase gets `minimum` through its most frequent operation.
    """
    budget = round(clips * _ROWS_PER_PHASE_ROW)
    real = np.array(OPERATION_COUNTS[split], dtype=np.float64)
    floor = np.full(len(OPERATIONS), minimum)
    if budget < minimum * len(OPERATIONS):
        floor[:] = 0
        for phase in range(len(PHASES)):
            own = _operations_of(phase)
            floor[own[int(np.argmax(real[own]))]] = minimum
        budget = max(clips, minimum * len(PHASES))
    # Classes below their floor are lifted to it; the others share what is left.
    free = np.ones(len(OPERATIONS), dtype=bool)
    while True:
        left = budget - floor[~free].sum()
        share = np.where(free, real * left / max(real[free].sum(), 1e-9), floor)
        low = free & (share < floor)
        if not low.any():
            break
        free &= ~low
    counts = np.floor(share).astype(int)
    rest = np.argsort(counts - share, kind="stable")[: max(budget - int(counts.sum()), 0)]
    counts[rest] += 1
    return tuple(int(c) for c in counts)


def _operations_of(phase: int) -> list[int]:
    if phase == OTHERS_PHASE:
        return [OTHERS_OPERATION]
    return [i for i, own in enumerate(PHASE_OF_OPERATION) if own == phase]


def _items(counts: Sequence[int], minimum: int, rng: np.random.Generator) -> list[_Item]:
    """One item a clip. "Others" goes to phase 51 first, then as OphNet files it."""
    items = []
    homes = np.array(list(PHASES_OF_OTHERS))
    weights = np.array(list(PHASES_OF_OTHERS.values()), dtype=np.float64)
    for operation, count in enumerate(counts):
        for index in range(count):
            phase = PHASE_OF_OPERATION[operation]
            if phase is None and index < minimum:
                phase = OTHERS_PHASE
            elif phase is None:
                phase = int(rng.choice(homes, p=weights / weights.sum()))
            items.append(_Item(operation, phase))
    return items


def _families(cases: int, items: Sequence[_Item]) -> list[Family]:
    """A family for each case; rarer families get a little more than their share."""
    if cases < 6:
        return ["mixed"] * cases
    operations = table().operations
    seen: Counter[str] = Counter(operations[item.operation_id].family for item in items)
    names: tuple[Family, ...] = ("cataract", "glaucoma", "cornea")
    share = np.array([seen[name] ** 0.75 for name in names])
    counts = np.maximum(np.floor(share / share.sum() * cases).astype(int), 2)
    counts[0] += cases - int(counts.sum())
    return [name for name, count in zip(names, counts, strict=True) for _ in range(count)]


def _deal(
    items: Sequence[_Item], families: Sequence[Family], rng: np.random.Generator
) -> list[list[_Item]]:
    """Items to cases: of the item's family, spread widely, at uneven lengths of case."""
    operations = table().operations
    weight = rng.uniform(0.7, 1.3, len(families))
    hands: list[list[_Item]] = [[] for _ in families]
    seen: list[Counter[int]] = [Counter() for _ in families]
    # Family operations first: those that fit anywhere then even out the cases.
    order = rng.permutation(len(items))
    ranked = sorted(order, key=lambda i: operations[items[i].operation_id].family == "any")
    for index in ranked:
        item = items[index]
        family = operations[item.operation_id].family
        fits = [c for c, own in enumerate(families) if own == "mixed" or family in ("any", own)]
        chosen = min(fits, key=lambda c: (seen[c][item.operation_id], len(hands[c]) / weight[c]))
        hands[chosen].append(item)
        seen[chosen][item.operation_id] += 1
    return hands


def _merge_rates(hands: Sequence[Sequence[_Item]], split: Split) -> Mapping[int, float]:
    """Chance that two neighbours of one phase share a row, per phase, from OphNet's counts."""
    rates = {}
    for phase in range(len(PHASES)):
        own = _operations_of(phase)
        operations = sum(OPERATION_COUNTS[split][i] for i in own)
        wanted = max(1 - PHASE_COUNTS[split][phase] / max(operations, 1), 0.0)
        sizes = [sum(item.phase_id == phase for item in hand) for hand in hands]
        pairs = sum(max(size - 1, 0) for size in sizes)
        rates[phase] = min(wanted * sum(sizes) / pairs, 1.0) if pairs else 0.0
    return rates


def _runs(
    hand: Sequence[_Item], rates: Mapping[int, float], rng: np.random.Generator
) -> list[list[_Item]]:
    """Group a case's items into rows of the phase table."""
    operations = table().operations
    runs: list[list[_Item]] = []
    for phase in sorted({item.phase_id for item in hand}):
        own = [item for item in hand if item.phase_id == phase]
        key = {id(item): operations[item.operation_id].stage + rng.normal(0, 0.05) for item in own}
        own.sort(key=lambda item: key[id(item)])
        runs.append([own[0]])
        for item in own[1:]:
            if rng.random() < rates[phase]:
                runs[-1].append(item)
            else:
                runs.append([item])
    return runs


def _order(runs: list[list[_Item]], rng: np.random.Generator) -> list[list[_Item]]:
    """By the time in surgery, with some disorder; neighbours of one phase are kept apart."""
    operations = table().operations

    def when(run: list[_Item]) -> float:
        if run[0].operation_id in (1, 2):  # intervals and invalid parts come at any time
            return float(rng.uniform(0, 1))
        return operations[run[0].operation_id].stage + float(rng.normal(0, 0.08))

    waiting = [run for _, run in sorted(((when(run), i), run) for i, run in enumerate(runs))]
    placed: list[list[_Item]] = []
    while waiting:
        last = placed[-1][0].phase_id if placed else -1
        pick = next((i for i, run in enumerate(waiting) if run[0].phase_id != last), None)
        if pick is None:
            break
        placed.append(waiting.pop(pick))
    for run in waiting:  # only one phase is left: put its runs between others
        phase = run[0].phase_id
        around = [-1, *(other[0].phase_id for other in placed), -1]
        free = [i for i in range(len(placed) + 1) if phase not in around[i : i + 2]]
        placed.insert(free[int(rng.integers(len(free)))] if free else len(placed), run)
    return placed


def _break_up(
    cases: list[list[list[_Item]]], clips: int, minimum: int, rng: np.random.Generator
) -> None:
    """Split runs until there are `clips` rows, and `minimum` rows of every phase."""
    while True:
        rows = Counter(run[0].phase_id for runs in cases for run in runs)
        long = [(runs, i) for runs in cases for i, run in enumerate(runs) if len(run) > 1]
        scarce = [(runs, i) for runs, i in long if rows[runs[i][0].phase_id] < minimum]
        candidates = scarce or (long if rows.total() < clips else [])
        if not candidates:
            return
        runs, index = candidates[int(rng.integers(len(candidates)))]
        runs[index : index + 1] = [runs[index][:-1], runs[index][-1:]]


def _segments(
    runs: Sequence[Sequence[_Item]], fps: float, rng: np.random.Generator
) -> tuple[Segment, ...]:
    """Durations, gaps and seeds."""
    segments = []
    for run in runs:
        for index, item in enumerate(run):
            short = rng.random() < _SHORT_SHARE
            seconds = float(rng.uniform(*(_SHORT_SECONDS if short else _SECONDS)))
            gap = int(rng.integers(1, 4)) if index == 0 and rng.random() < _GAP_SHARE else 0
            frames = max(round(seconds * fps), 2)
            seed = int(rng.integers(2**31))
            segments.append(Segment(item.operation_id, item.phase_id, frames, gap, seed))
    return tuple(segments)


def plan_split(
    split: Split, *, seed: int, cases: int, clips: int, minimum: int, fps: float, first_id: int
) -> list[Case]:
    """The cases of one split; independent of the other splits' sizes."""
    if cases < 1:
        raise UserError(f"{split}_cases={cases}: give at least 1")
    if clips < minimum * len(PHASES):
        raise UserError(
            f"{split}_clips={clips}: {len(PHASES)} phases with {minimum} clips each need at least "
            f"{minimum * len(PHASES)}"
        )
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    items = _items(operation_counts(split, clips, minimum), minimum, rng)
    families = _families(cases, items)
    hands = _deal(items, families, rng)
    rates = _merge_rates(hands, split)
    runs = [_runs(hand, rates, rng) for hand in hands]
    _break_up(runs, clips, minimum, rng)
    planned = []
    for index, (family, own) in enumerate(zip(families, runs, strict=True)):
        planned.append(
            Case(
                video_id=f"case_{first_id + index:04d}",
                split=split,
                surgery_id=SURGERIES[family],
                appearance_seed=int(rng.integers(2**31)),
                segments=_segments(_order(own, rng), fps, rng),
            )
        )
    return planned


def phase_rows(case: Case) -> list[list[Segment]]:
    """Consecutive segments of one phase, as the phase table lists them."""
    rows: list[list[Segment]] = []
    for segment in case.segments:
        if rows and rows[-1][-1].phase_id == segment.phase_id:
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return rows
