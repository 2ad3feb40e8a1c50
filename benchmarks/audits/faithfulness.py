"""Do synthetic clips show what was asked for? A judge names the class it sees.

The judge is a classifier trained on many real clips of cases that appear nowhere else in the suite,
never on synthetic ones. It selects nothing: no training set is filtered by it.

    python -m benchmarks.audits.faithfulness --config ophnet_phase

writes `faithfulness.md` and `.json` into the results folder of that configuration.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import tabulate
from numpy.typing import NDArray

from augment.training_set import TrainingSet
from benchmarks.config import OphSimSection, Section, load_config, load_yaml
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim
from benchmarks.evaluation import HEAD_SIZES, Predictions
from benchmarks.plan import Inputs, Plan
from classifiers.networks import Network
from classifiers.prediction import predict
from classifiers.recipe import Recipe
from classifiers.training import ClassifierTraining
from core.clip import Task
from core.errors import UserError
from core.files import write_json, write_text
from core.stage import ClipSource, Stage


class JudgeConfig(Section):
    """The judge: its own OphSim cases (never those of a table) and how it is trained."""

    ophsim: OphSimSection
    network: Network
    recipe: Recipe


class Faithfulness(Stage):
    """Agreement of the judge with the class that each clip of `clips` was made for."""

    judge: ClassifierTraining
    clips: ClipSource

    def execute(self, folder: Path) -> dict[str, Any]:
        """Percent over classes with clips.  Raises: UserError: if no clip can be read."""
        table = self.judge.cache_of(self.clips).table()
        shown = [clip for clip in self.clips.manifest().clips if clip.clip_id in table.rows]
        if not shown:
            raise UserError("faithfulness: no clip can be read")
        rows = np.array([table.rows[clip.clip_id] for clip in shown])
        labels = np.array([clip.label(self.judge.task) for clip in shown])
        return agreement(predict(self.judge.model(), table.frames, rows), labels)


def agreement(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, Any]:
    """Top-1 and top-5 in percent, averaged over the classes that occur, and top-1 a class.

    Args: logits: (N, C); labels: (N,) in [0, C).
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    first, five = order[:, 0] == labels, (order[:, :5] == labels[:, None]).any(axis=1)
    classes = np.unique(labels)
    top1 = {int(c): round(100 * float(first[labels == c].mean()), 2) for c in classes}
    top5 = [100 * float(five[labels == c].mean()) for c in classes]
    return {
        "clips": len(labels),
        "top1": round(float(np.mean(list(top1.values()))), 2),
        "top5": round(float(np.mean(top5)), 2),
        "top1_by_class": top1,
    }


def judge_of(plan: Plan, task: Task, config: JudgeConfig) -> ClassifierTraining:
    """The judge's training for a run's task, frames and size."""
    simulator = OphSim(**config.ophsim.model_dump(), **plan.common)
    cases = OphNet(task=task, name="OphSim", written_by=simulator, **plan.common)
    return ClassifierTraining(
        task=task,
        num_classes=HEAD_SIZES[task],
        network=config.network,
        recipe=config.recipe,
        mixture=TrainingSet(sources=(cases,), task=task, **plan.common),
        evaluation=cases,
        num_frames=plan.config.num_frames,
        size=plan.config.size,
        **plan.common,
    )


def audit(plan: Plan, config: JudgeConfig) -> dict[str, dict[str, dict[str, Any]]]:
    """Agreement by task and by what was shown: real test clips, then every arm's clips."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task in plan.config.tasks:
        judge = judge_of(plan, task, config)
        judge.run()
        real = Predictions.load(judge.folder, "test")
        shown = {"Real (test)": agreement(real.logits, real.labels)}
        for name, clips in plan.arms[task].items():
            if clips is not None:
                shown[name] = Faithfulness(judge=judge, clips=clips, **plan.common).run()
        found[task] = shown
    return found


def markdown(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One row for what was shown, with its share of the judge's top-1 on real clips."""
    rows = [
        [
            task,
            name,
            scores["clips"],
            f"{scores['top1']:.2f}",
            f"{scores['top5']:.2f}",
            f"{100 * scores['top1'] / shown['Real (test)']['top1']:.1f}",
        ]
        for task, shown in found.items()
        for name, scores in shown.items()
    ]
    header = ["Task", "Clips shown", "n", "Top-1", "Top-5", "% of real top-1"]
    text: str = tabulate.tabulate(rows, header, tablefmt="github", disable_numparse=True)
    return text + "\n"


def main() -> int:
    """Judge the clips of a run."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--config", required=True)
    command.add_argument("--judge", default="_judge_nano", help="the judge's configuration")
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="A.B=C")
    command.add_argument("--results", type=Path, default=Path("results"))
    options = command.parse_args()
    try:
        plan = Plan(load_config(options.config, options.set), Inputs(options.results))
        found = audit(plan, JudgeConfig.model_validate(load_yaml(options.judge)))
    except pydantic.ValidationError as error:
        print(f"error: {options.judge}: {error.errors()[0]}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = options.results / plan.config.name
    write_json(folder / "faithfulness.json", found)
    write_text(folder / "faithfulness.md", markdown(found))
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
