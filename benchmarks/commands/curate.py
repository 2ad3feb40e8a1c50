"""Curate a folder of narrated clips and leave two instruction sets in the published form.

    python -m benchmarks.commands.curate --corpus-root DIR --output OUT

DIR holds `clips.csv` (clip id,caption) and `clips/<clip id>.mp4`. OUT gets `Ophora-160K/` and
`Ophora-28K/`, each with `clips.csv` (clip id,instruction), `clips/` (hard links), `splits.csv` and
`decisions.csv`, and `funnel.json`. How it is curated is the configuration's `curation` section.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from benchmarks.collect.shown import funnel_steps
from benchmarks.config.files import load_config
from benchmarks.plan.curation_cost import curation_cost
from benchmarks.plan.data import Data, Inputs
from benchmarks.report.funnel import HEADER, SETS, funnel_rows
from core.errors import UserError, exit_code
from core.files import path_inside, share_file, try_folder, write_json, write_text
from core.stage import ClipStage
from generator.curation.decisions import DECISIONS_NAME
from generator.curation.narrated import CLIPS_CSV
from generator.curation.stages import Curation, PrivacyFilter


def curate(data: Data, output: Path) -> str:
    """Run both stages, fill `output`; the funnel as a table.

    Raises: UserError: if the folder is not what it should be, or nothing is left.
    """
    filters = filters_of(data)
    for name, stage in zip(SETS, filters, strict=True):
        export(stage, output / name)
    steps = funnel_steps(*filters)
    rows = funnel_rows(steps)
    write_json(output / "funnel.json", [dict(zip(HEADER, row, strict=True)) for row in rows])
    table: str = tabulate(rows, HEADER, "github")
    return table


def filters_of(data: Data) -> tuple[Curation, PrivacyFilter]:
    """Both stages.  Raises: UserError: if the clips have no captions."""
    if data.filters is None:
        raise UserError(
            f"--corpus-root {data.inputs.corpus_root}: no {CLIPS_CSV} in it: what is curated is "
            "clips with their captions"
        )
    return data.filters


def export(stage: ClipStage, folder: Path) -> None:
    """Write what a curation stage keeps in the published form."""
    manifest = stage.manifest()
    for clip in manifest.clips:
        place = path_inside(folder / "clips", f"{clip.clip_id}{Path(clip.path).suffix}")
        share_file(manifest.path_of(clip), place)
    instructions = [[clip.clip_id, clip.caption or ""] for clip in manifest.clips]
    _write_csv(folder / CLIPS_CSV, ["clip id", "instruction"], instructions)
    splits = [[clip.clip_id, clip.split or ""] for clip in manifest.clips]
    _write_csv(folder / "splits.csv", ["clip id", "split"], splits)
    share_file(stage.folder / DECISIONS_NAME, folder / DECISIONS_NAME)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    write_text(path, buffer.getvalue())


def main(arguments: Sequence[str] | None = None) -> int:
    """Curate, or with --dry-run say what it takes."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--corpus-root", type=Path, required=True, metavar="DIR")
    command.add_argument("--output", type=Path, required=True, metavar="OUT")
    command.add_argument("--config", default="ophnet_phase", metavar="NAME_OR_PATH")
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="A.B=C")
    command.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    command.add_argument("--dry-run", action="store_true")
    options = command.parse_args(arguments)

    def run() -> None:
        inputs = Inputs(options.results, corpus_root=options.corpus_root, read=not options.dry_run)
        try_folder(options.results / "cache", "--results")
        try_folder(options.output, "--output")
        data = Data(load_config(options.config, options.set), inputs)
        if options.dry_run:
            for stage in filters_of(data):
                print(f"{type(stage).__name__}: {curation_cost(stage)}")
            return
        print(curate(data, options.output))
        print(f"{' and '.join(SETS)}: {options.output}", file=sys.stderr)

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
