"""What the reviewers' scores say: means with intervals, agreement, charts.

scores of a review -> review.md, means.csv, a chart by criterion, a chart by source and class
"""

from __future__ import annotations

import csv
import io
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from benchmarks.metrics.intervals import mean_interval
from benchmarks.report.drawing import PALETTE, draw
from benchmarks.review.answers import Review
from benchmarks.review.kit import Criterion, Key
from benchmarks.tables.render import plain_table
from core.files import write_text

LEVEL_COLOURS = ("#9c3d1e", "#E69F00", "#56B4E9", "#0072B2", *PALETTE)


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
