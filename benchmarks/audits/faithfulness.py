"""Do synthetic clips show what was asked for? The judge (`benchmarks/audits/judge.py`) is shown

    real test clips          what it reaches at best
    their reconstructions    what the autoencoder leaves of it
    base, TPT-only, Ophora   what each training adds (weights that are given: just their clips)
    Ophora, captions         the same with the sentences that the training captions were made of
    every other arm of the run

    python -m benchmarks.audits.faithfulness --config ophnet_phase

writes `faithfulness.md`, `faithfulness.json` and `faithfulness_<task>.jpg` (contact sheet) into the
results folder of that configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.arm import REAL_TEST
from augment.controls import Subset
from benchmarks.audits.judge import Judge, JudgeConfig, judge_of
from benchmarks.audits.options import parser
from benchmarks.audits.reconstruction import Reconstruction
from benchmarks.config.files import load_as, load_config
from benchmarks.datasets.ophvl_sim.narration import DESCRIPTIONS_PATH
from benchmarks.datasets.taxonomy import CLASS_NAMES, Task
from benchmarks.dispatch import run_wave
from benchmarks.plan import Inputs, Plan
from benchmarks.tables.render import plain_table
from classifiers.agreement import Agreement
from core.clip import Manifest
from core.errors import UnreadableVideo, UserError, exit_code
from core.files import write_json, write_text
from core.sheet import write_sheet
from core.stage import ClipStage
from core.video import Frames, read_span
from generator.base import GivenWeights
from generator.family import trained_here
from generator.ophora.family import OphoraSection
from generator.ophora.training import GivenOphora

REAL = REAL_TEST.name
SHEET_CLASSES = 8
SHEET_FRAMES = 4


def shown_clips(plan: Plan, task: Task, judge: Judge) -> dict[str, ClipStage]:
    """What the judge is shown, by name."""
    real = Subset(clips=judge.cases, task=task, split="test", **plan.data.common)
    shown: dict[str, ClipStage] = {REAL: real}
    ophora = plan.generators.models.get("ophora")
    if ophora is not None:
        section, shape = plan.config.section("ophora"), plan.config.clip
        assert isinstance(section, OphoraSection)
        field = "weights" if section.weights else "base"
        base = plan.data.weights(getattr(section, field), f"ophora.{field}")
        shown["Real, reconstructed"] = Reconstruction(
            clips=judge.cases,
            split="test",
            autoencoder=GivenWeights.at(base.weights() / "vae", **plan.data.common),
            shape=shape,
            precision=section.sampling.precision,
            **plan.data.common,
        )
        if trained_here(ophora):
            stages = {
                "Ophora (base)": GivenOphora(given=base, shape=shape, **plan.data.common),
                "Ophora (TPT-only)": plan.generators.models["ophora_tpt"],
            }
            for name, generator in stages.items():
                shown[name] = plan.generators.clips_of_classes("ophora", generator, task)
        captions = plan.generators.clips_of_classes("ophora", ophora, task, DESCRIPTIONS_PATH)
        shown["Ophora, captions"] = captions
    shown |= {arm.name: clips for arm, clips in plan.arms.synthetic[task].items()}
    return shown


def audit(plan: Plan, config: JudgeConfig, folder: Path) -> dict[Task, dict[str, dict[str, Any]]]:
    """Agreement by task and by what was shown; draws a contact sheet a task into `folder`."""
    found: dict[Task, dict[str, dict[str, Any]]] = {}
    for task in plan.config.tasks:
        judge = judge_of(plan, task, config)
        clips = shown_clips(plan, task, judge)
        run_wave("clips", list(clips.values()), runtime=plan.config.runtime)
        run_wave("judge", [judge.classifier], runtime=plan.config.runtime)
        found[task] = {
            name: Agreement(judge=judge.classifier, clips=source, **plan.data.common).run()
            for name, source in clips.items()
        }
        manifests = {name: source.manifest() for name, source in clips.items()}
        draw_sheet(folder / f"faithfulness_{task}.jpg", manifests, task)
    return found


def draw_sheet(path: Path, manifests: Mapping[str, Manifest], task: Task) -> None:
    """One clip of each source for the commonest classes of the first: a line a class."""
    first = next(iter(manifests.values()))
    counts: dict[int, int] = {}
    for clip in first.clips:
        counts[clip.label(task)] = counts.get(clip.label(task), 0) + 1
    classes = sorted(counts, key=lambda label: (-counts[label], label))[:SHEET_CLASSES]
    rows = [
        (f"{name}: {CLASS_NAMES[task][label]}", _frames_of(manifest, task, label))
        for label in classes
        for name, manifest in manifests.items()
    ]
    write_sheet(path, rows, frame_height_px=40, max_frames=SHEET_FRAMES, columns=len(manifests))


def _frames_of(manifest: Manifest, task: Task, label: int) -> Frames:
    """Frames of the first readable clip of a class.  Raises: UserError: if there is none."""
    for clip in manifest.clips:
        if clip.label(task) == label:
            try:
                return read_span(
                    manifest.path_of(clip),
                    start_s=clip.start_s,
                    end_s=clip.end_s,
                    num_frames=SHEET_FRAMES,
                )
            except UnreadableVideo:
                continue
    raise UserError(f"{manifest.root}: no readable clip of {task} {label}")


def markdown(found: Mapping[Task, Mapping[str, Mapping[str, Any]]]) -> str:
    """A row for what was shown, with its share of the judge's top-1 on real clips; then top-1 by
    class."""
    parts = []
    for task, shown in found.items():
        best = shown[REAL]["top1"]
        rows = [
            [name, scores["clips"], f"{scores['top1']:.2f}", f"{scores['top5']:.2f}",
             f"{100 * scores['top1'] / best:.1f}"]
            for name, scores in shown.items()
        ]  # fmt: skip
        header = ["Clips shown", "n", "Top-1", "Top-5", "% of real top-1"]
        parts += [f"## {task}", plain_table(rows, header), "Top-1 / top-5 by class:"]
        names = CLASS_NAMES[task]
        classes = [
            [label, names[int(label)], *(_both(scores, label) for scores in shown.values())]
            for label in shown[REAL]["top1_by_class"]
        ]
        parts.append(plain_table(classes, ["id", "class", *shown]))
    return "\n\n".join(parts) + "\n"


def _both(scores: Mapping[str, Any], label: int) -> str:
    """Top-1 / top-5 of a class; "-" where no clip of it was shown."""
    if label not in scores["top1_by_class"]:
        return "-"
    return f"{scores['top1_by_class'][label]:.0f} / {scores['top5_by_class'][label]:.0f}"


def main() -> int:
    """Judge the clips of a run."""
    command = parser(__doc__, own_data=False)
    command.add_argument("--judge", default="_judge_nano", help="the judge's configuration")
    options = command.parse_args()
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    plan = Plan(load_config(options.config, options.set), Inputs(options.results))
    folder = plan.folder
    found = audit(plan, load_as(JudgeConfig, options.judge), folder)
    write_json(folder / "faithfulness.json", found)
    write_text(folder / "faithfulness.md", markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    sys.exit(main())
