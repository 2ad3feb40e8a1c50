"""What the reviewers' files say: faults in them, means with intervals, agreement, charts.

answers (JSON of each reviewer) + key -> scores by source and criterion -> review.md, csv, svg
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pydantic
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from benchmarks.metrics.intervals import mean_interval
from benchmarks.report.drawing import PALETTE, draw
from benchmarks.review.kit import KEY_NAME, Criterion, Key
from benchmarks.tables.render import plain_table
from core.errors import UserError
from core.files import read_json, write_text

LEVEL_COLOURS = ("#9c3d1e", "#E69F00", "#56B4E9", "#0072B2", *PALETTE)


class Answers(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A reviewer's file. scores: clip -> criterion -> level; seconds: spent on each clip."""

    kit: str
    rater: str = pydantic.Field(min_length=1)
    scores: dict[str, dict[str, int]]
    seconds: dict[str, float] = {}

    @property
    def number(self) -> int:
        """How many scores it holds."""
        return sum(map(len, self.scores.values()))

    @property
    def reviewer(self) -> str:
        """Whose it is, however the name was typed."""
        return " ".join(unicodedata.normalize("NFKC", self.rater).casefold().split())


@dataclass(frozen=True)
class Review:
    """All that counts. scores: (raters, clips, criteria), NaN where none was given. faults: what is
    wrong with files that do not count; notes: with those that do."""

    key: Key
    raters: tuple[str, ...]
    scores: NDArray[np.float64]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def load_key(kit: Path) -> Key:
    """Raises: UserError: if the folder holds no kit."""
    try:
        return Key.model_validate(read_json(kit / KEY_NAME))
    except pydantic.ValidationError as error:
        raise UserError(f"{kit / KEY_NAME}: not the key of a kit: {error}") from None


def read_answers(key: Key, files: Sequence[Path]) -> Review:
    """Check every file and put the scores together.

    UTF-8 and UTF-16 are read, with a byte order mark or without. A file of another kit, with
    unknown clips or levels, or with the scores of another file does not count; an incomplete one
    does. Of several files of one reviewer (names compared without case and outer spaces) the one
    with most scores counts, of equally full ones the one with most time.
    Raises: UserError: if none counts.
    """
    faults: dict[Path, str] = {}
    sound: dict[Path, Answers] = {}
    for path in files:
        try:
            answers = _read(path)
        except UserError as error:
            faults[path] = f"not a reviewer's file ({error})"
            continue
        fault = _fault(key, answers)
        if fault:
            faults[path] = fault
        else:
            sound[path] = answers
    counted = _one_a_reviewer(sound, faults)
    named = tuple(f"{path}: {faults[path]}" for path in dict.fromkeys(files) if path in faults)
    if not counted:
        raise UserError("\n".join(["no reviewer's file counts", *named]))
    notes = [f"{path}: {gap}" for path, answers in counted.items() if (gap := _gap(key, answers))]
    scores = np.stack([_scores(key, answers) for answers in counted.values()])
    raters = tuple(answers.rater for answers in counted.values())
    return Review(key, raters, scores, named, tuple(notes))


def _read(path: Path) -> Answers:
    """Raises: UserError: if the file cannot be read or is none of the page's."""
    try:
        # Bytes: json tells UTF-8, UTF-16 and UTF-32 apart, which mail programs and editors change.
        return Answers.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise UserError(str(error.strerror).lower()) from None
    except UnicodeDecodeError as error:
        raise UserError(f"byte {error.start} is not UTF-8: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(str(error).splitlines()[0]) from None


def _fault(key: Key, answers: Answers) -> str:
    if answers.kit != key.kit:
        return f"of kit {answers.kit}, not {key.kit}"
    known, levels = {item.id for item in key.items}, len(key.criteria.levels)
    criteria = {criterion.id for criterion in key.criteria.criteria}
    for clip, scores in answers.scores.items():
        if clip not in known:
            return f"clip {clip!r} is not in the kit"
        for criterion, level in scores.items():
            if criterion not in criteria or not 0 <= level < levels:
                return f"clip {clip!r}: {criterion} {level} is no score of this kit"
    return ""


def _one_a_reviewer(sound: Mapping[Path, Answers], faults: dict[Path, str]) -> dict[Path, Answers]:
    """The files that count, in the given order; what is wrong with the others goes to `faults`."""

    def fullness(path: Path) -> tuple[int, float]:
        return sound[path].number, sum(sound[path].seconds.values())

    best: dict[str, Path] = {}
    counted: list[Path] = []
    # The sort is stable: of equally full files the first one counts.
    for path in sorted(sound, key=fullness, reverse=True):
        answers = sound[path]
        twin = next((other for other in counted if sound[other].scores == answers.scores), None)
        fuller = best.get(answers.reviewer)
        if twin is not None and answers.scores:
            faults[path] = f"the same scores as in {twin}"
        elif fuller is not None:
            faults[path] = (
                f"reviewer {answers.rater!r} is in {fuller}, which counts: it holds "
                f"{sound[fuller].number} scores, this one {answers.number}"
            )
        else:
            best[answers.reviewer] = path
            counted.append(path)
    return {path: answers for path, answers in sound.items() if path in counted}


def _gap(key: Key, answers: Answers) -> str:
    """What is missing in a file, "" if nothing is."""
    criteria = len(key.criteria.criteria)
    wanted = len(key.items) * criteria
    if answers.number == wanted:
        return ""
    clips = sum(len(answers.scores.get(item.id, {})) < criteria for item in key.items)
    return f"incomplete, {wanted - answers.number} scores of {clips} clips missing"


def _scores(key: Key, answers: Answers) -> NDArray[np.float64]:
    return np.array(
        [
            [answers.scores.get(item.id, {}).get(c.id, np.nan) for c in key.criteria.criteria]
            for item in key.items
        ],
        dtype=np.float64,
    )


def sources_of(key: Key) -> dict[str, NDArray[np.int64]]:
    """Places of each source's clips, sources in the order of their names."""
    names = sorted({item.source for item in key.items})
    sources = np.array([item.source for item in key.items])
    return {name: np.flatnonzero(sources == name) for name in names}


def means(review: Review) -> list[tuple[str, str, int, float, float, float]]:
    """Source, criterion, clips, mean and 95% interval over clips, each its reviewers' mean."""
    rows = []
    for source, places in sources_of(review.key).items():
        for number, criterion in enumerate(review.key.criteria.criteria):
            found = review.scores[:, places, number]
            seen = ~np.isnan(found).all(axis=0)
            by_clip = np.nanmean(found[:, seen], axis=0)
            if len(by_clip) < 2:
                continue
            mean = float(by_clip.mean())
            rows.append((source, criterion.name, len(by_clip), mean, *mean_interval(by_clip, mean)))
    return rows


def agreement(review: Review) -> list[tuple[str, float | None, float | None]]:
    """By criterion: Krippendorff's alpha (ordinal) and the mean of the pairs' quadratically
    weighted kappa; None for one reviewer, or where nobody's scores differ."""
    levels = list(range(len(review.key.criteria.levels)))
    rows: list[tuple[str, float | None, float | None]] = []
    for number, criterion in enumerate(review.key.criteria.criteria):
        table = review.scores[:, :, number]
        varied = len(np.unique(table[~np.isnan(table)])) > 1
        if len(review.raters) < 2 or not varied:
            rows.append((criterion.name, None, None))
            continue
        alpha = krippendorff.alpha(table, level_of_measurement="ordinal", value_domain=levels)
        kappas = []
        for a, b in combinations(table, 2):
            both = ~(np.isnan(a) | np.isnan(b))
            if both.any():
                pair = (a[both].astype(int), b[both].astype(int))
                kappas.append(cohen_kappa_score(*pair, labels=levels, weights="quadratic"))
        finite = [kappa for kappa in kappas if np.isfinite(kappa)]
        rows.append((criterion.name, float(alpha), float(np.mean(finite)) if finite else None))
    return rows


def level_chart(review: Review, number: int, criterion: Criterion) -> str:
    """Shares of the levels for each source, one bar a source, as an SVG."""
    levels, sources = review.key.criteria.levels, sources_of(review.key)

    def paint(axes: Any) -> None:
        left = np.zeros(len(sources))
        for level, name in enumerate(levels):
            shares = [_share(review.scores[:, p, number], level) for p in sources.values()]
            colour = LEVEL_COLOURS[level % len(LEVEL_COLOURS)]
            axes.barh(list(sources), shares, left=left, color=colour, label=f"{level} {name}")
            left += np.array(shares)
        axes.set(xlim=(0, 100), xlabel="share of scores (%)")
        axes.invert_yaxis()
        axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.3))

    return draw(f"{criterion.name}: {criterion.question}", (5.6, 1.4 + 0.4 * len(sources)), paint)


def _share(scores: NDArray[np.float64], level: int) -> float:
    given = scores[~np.isnan(scores)]
    return 100 * float((given == level).mean()) if len(given) else 0.0


def class_means(review: Review, source: str) -> tuple[list[str], NDArray[np.float64]]:
    """Of a source's clips: the classes in the order of their ids, and mean scores (classes,
    criteria), NaN where none was given."""
    items, place = review.key.items, sources_of(review.key)[source]
    names = {items[i].class_id: items[i].asked for i in place}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # the mean of no score is NaN, as it is to be
        rows = [
            np.nanmean(
                review.scores[:, [i for i in place if items[i].class_id == label]], axis=(0, 1)
            )
            for label in sorted(names)
        ]
    return [names[label] for label in sorted(names)], np.array(rows)


def class_chart(review: Review, source: str) -> str:
    """Mean score of each class and criterion of a source, as an SVG."""
    classes, scores = class_means(review, source)
    criteria, top = review.key.criteria.criteria, len(review.key.criteria.levels) - 1

    def paint(axes: Any) -> None:
        axes.imshow(scores, vmin=0, vmax=top, cmap="cividis", aspect="auto")
        axes.set_xticks(range(len(criteria)), [criterion.name for criterion in criteria])
        axes.set_yticks(range(len(classes)), classes)
        axes.tick_params(axis="x", rotation=35)
        axes.grid(visible=False)
        for (row, column), score in np.ndenumerate(scores):
            colour = "black" if score > top / 2 else "white"
            axes.text(column, row, _number(score), ha="center", va="center", color=colour)

    title = f"{source}: mean score of 0 to {top} by class"
    return draw(title, (2.2 + 0.8 * len(criteria), 1.6 + 0.3 * len(classes)), paint)


def write_review(review: Review, target: Path) -> str:
    """Write `review.md`, `means.csv`, a chart of each criterion and one of each source's classes;
    returns the Markdown."""
    found = means(review)
    body = [
        [source, name, str(clips), f"{mean:.2f} [{low:.2f}, {high:.2f}]"]
        for source, name, clips, mean, low, high in found
    ]
    agreed = [[name, _number(alpha), _number(kappa)] for name, alpha, kappa in agreement(review)]
    text = "\n\n".join(
        [
            f"# Review of {len(review.key.items)} clips by {len(review.raters)} reviewers",
            plain_table(body, ["Source", "Criterion", "Clips", "Mean score, 95% interval"]),
            plain_table(agreed, ["Criterion", "Krippendorff's alpha", "Weighted kappa"]),
            *(f"- {line}" for line in (*review.notes, *review.faults)),
        ]
    )
    write_text(target / "review.md", text + "\n")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["source", "criterion", "clips", "mean", "ci95_low", "ci95_high"])
    writer.writerows(found)
    write_text(target / "means.csv", buffer.getvalue())
    for number, criterion in enumerate(review.key.criteria.criteria):
        write_text(target / f"{criterion.id}.svg", level_chart(review, number, criterion))
    for source in sources_of(review.key):
        write_text(target / f"classes_{source}.svg", class_chart(review, source))
    return text


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}"
