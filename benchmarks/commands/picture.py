"""The README's picture and lines: `python -m benchmarks.commands.picture RUN_DIR --output PNG`.

record, cells -> Table 2 -> dots with intervals -.
page.json, clips/ --------> middle frames -------+-> a PNG;   Table 2 -> lines between two marks
"""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from benchmarks.report.drawing import plain_axes, style
from benchmarks.report.overview import paint_accuracy, rows_of_test
from benchmarks.report.shown import Panel, read_shown
from benchmarks.report.summary import put_into
from benchmarks.scoring.record import read_cells, read_record
from benchmarks.tables.of_run import tables_of
from benchmarks.tables.schema import AccuracyRow, Table2
from core.errors import UserError, exit_code
from core.files import atomic_path, write_text
from core.video import read_span

SIZE, DPI = (11.0, 4.0), 100  # inches; pixels an inch
CLASSES = 4  # whose frames are shown
NAME = 18  # characters of a class in a line


def table_of(folder: Path) -> Table2:
    """Table 2 of a run's folder.  Raises: UserError: if the run has none."""
    record = read_record(folder)
    table = tables_of(record, read_cells(record, folder)).table2
    if table is None:
        raise UserError(f"{folder}: no Table 2: give the folder of a run that trained classifiers")
    return table


def first_scenes(folder: Path) -> list[Panel]:
    """The commonest classes of which every source of the run has a clip.

    Raises: UserError: if the folder shows none.
    """
    scenes = [
        scene for scene in read_shown(folder).scenes if all(each.url for each in scene.exhibits)
    ]
    if not scenes:
        raise UserError(f"{folder}: no page.json with clips: give the folder of a run with --clips")
    return scenes[:CLASSES]


def draw_picture(rows: Sequence[AccuracyRow], scenes: Sequence[Panel], folder: Path) -> bytes:
    """A PNG: at the left the rows' top-1 with intervals, at the right the clips' middle frames.

    Args: scenes: of equal sources; folder: where their clips lie.
    """
    with matplotlib.rc_context(style("picture")):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor="white")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.0, 1.25))[0]
        paint_accuracy(plain_axes(left.add_subplot()), rows)
        sources = [exhibit.source for exhibit in scenes[0].exhibits]
        axes = right.subplots(len(sources), len(scenes), squeeze=False)
        for column, scene in enumerate(scenes):
            axes[0, column].set_title(textwrap.fill(_class_of(scene.title), NAME), fontsize=8)
            for row, exhibit in enumerate(scene.exhibits):
                _show(axes[row, column], folder / exhibit.url)
        for row, source in enumerate(sources):
            axes[row, 0].set_ylabel(source)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _class_of(title: str) -> str:
    """Of "7 · Capsulorhexis" the name."""
    return title.partition(" · ")[2] or title


def _show(axes: Any, path: Path) -> None:
    axes.imshow(read_span(path, num_frames=3)[1], interpolation="bicubic")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def write_picture(run: Path, clips: Path, output: Path, readme: Path | None = None) -> None:
    """Of the first task of a run.  Raises: UserError: as `table_of`, `first_scenes`, `put_into`."""
    table = table_of(run)
    rows = rows_of_test(table, table.rows[0].task)
    picture = draw_picture(rows, first_scenes(clips), clips)
    if readme is not None:
        write_text(readme, put_into(readme.read_text(encoding="utf-8"), table))
    with atomic_path(output) as temporary:
        temporary.write_bytes(picture)


def main() -> int:
    """Draw the named run."""
    command = argparse.ArgumentParser(
        prog="python -m benchmarks.commands.picture", description=__doc__
    )
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    add = command.add_argument
    add("run", type=Path, metavar="RUN_DIR", help="a results folder with Table 2")
    add("--clips", type=Path, metavar="RUN_DIR", help="the folder whose clips; default: RUN_DIR")
    add("--output", type=Path, required=True, metavar="PNG", help="the picture")
    add("--readme", type=Path, metavar="PAGE", help="the page that gets the lines")
    given = command.parse_args()
    clips = given.clips or given.run
    return exit_code(lambda: write_picture(given.run, clips, given.output, given.readme))


if __name__ == "__main__":
    sys.exit(main())
