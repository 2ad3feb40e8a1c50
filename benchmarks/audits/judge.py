"""The judge: a classifier that names the class it sees in a clip.

It is trained on many real clips of cases that appear nowhere else in the suite, never on synthetic
ones, and it selects nothing: no training set is filtered by it. Trained judges are shipped;

    python -m benchmarks.audits.judge --config ophnet_phase

trains those of a configuration's tasks and ships them to `generator/weights/judge_<task>`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.training_set import TrainingSet
from benchmarks.config.files import load_as, load_config
from benchmarks.config.sections import OphSimSection
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphSim, unused_splits
from benchmarks.datasets.taxonomy import NUM_CLASSES, Task
from benchmarks.plan import PROJECT_ROOT, Inputs, Plan
from benchmarks.pretraining.ship import WEIGHTS_ROOT, card, save_half
from classifiers.checkpoints import Checkpoint
from classifiers.networks import Network
from classifiers.recipe import Recipe
from classifiers.trained import MODEL_NAME, GivenClassifier, TrainedClassifier
from classifiers.training import ClassifierTraining
from core.errors import exit_code
from core.files import write_text
from core.runtime import commit_of
from core.stage import ClipStage
from generator.base import CARD_NAME
from generator.sections import Section


class JudgeConfig(Section):
    """The judge: its own OphSim cases (never those of a table) and how it is trained.

    weights: by task, the file of a judge that was trained so and is not trained again.
    """

    ophsim: OphSimSection
    network: Network
    recipe: Recipe
    weights: dict[Task, str] = {}


@dataclass(frozen=True)
class Judge:
    """classifier: what judges; cases: real ones, whose test split it has never seen."""

    classifier: TrainedClassifier
    cases: ClipStage


def judge_of(plan: Plan, task: Task, config: JudgeConfig) -> Judge:
    """The judge for a run's task, frames and size.

    Raises: UserError: if the file of a trained one is missing.
    """
    file = config.weights.get(task)
    if file is None:
        return trained_judge(plan, task, config)
    unused = unused_splits(config.ophsim.minimum, "train", "val")
    simulator = OphSim(**config.ophsim.model_dump() | unused, **plan.data.common)
    path = next((p for p in (Path(file), PROJECT_ROOT / file) if p.is_file()), Path(file))
    classifier = GivenClassifier(
        checkpoint=Checkpoint.at(path, **plan.data.common),
        network=config.network,
        **_frame(plan, task),
    )
    return Judge(classifier, _cases(plan, task, simulator))


def trained_judge(plan: Plan, task: Task, config: JudgeConfig) -> Judge:
    """The judge as a training."""
    cases = _cases(plan, task, OphSim(**config.ophsim.model_dump(), **plan.data.common))
    training = ClassifierTraining(
        network=config.network,
        recipe=config.recipe,
        mixture=TrainingSet(sources=(cases,), task=task, **plan.data.common),
        evaluation=cases,
        **_frame(plan, task),
    )
    return Judge(training, cases)


def _cases(plan: Plan, task: Task, simulator: OphSim) -> OphNet:
    return OphNet(task=task, name="OphSim", written_by=simulator, **plan.data.common)


def _frame(plan: Plan, task: Task) -> dict[str, Any]:
    shape = {"num_frames": plan.config.num_frames, "size": plan.config.size}
    return {"task": task, "num_classes": NUM_CLASSES[task], **shape, **plan.data.common}


def ship(judge: TrainedClassifier, command: str, commit: str | None, target: Path) -> None:
    """Copy a trained judge to the folder `target` (fp16) with its card."""
    file, result = judge.weights_file(), judge.run()
    target.mkdir(parents=True, exist_ok=True)
    save_half(file, target / MODEL_NAME)
    made_by = f"`{command}` at commit {commit}"
    write_text(target / CARD_NAME, card(target.name, judge, result, made_by, target))


def main() -> int:
    """Train and ship the judges of a configuration."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("--config", required=True)
    command.add_argument("--judge", default="_judge_nano", help="the judge's configuration")
    command.add_argument("--results", type=Path, default=Path("results"))
    command.add_argument("--output", type=Path, default=WEIGHTS_ROOT)
    options = command.parse_args()
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    plan = Plan(load_config(options.config), Inputs(options.results))
    config, commit = load_as(JudgeConfig, options.judge), commit_of(PROJECT_ROOT)
    shown = f"python -m benchmarks.audits.judge --config {options.config}"
    for task in plan.config.tasks:
        judge = trained_judge(plan, task, config).classifier
        ship(judge, shown, commit, options.output / f"judge_{task}")
        print(f"shipped {options.output / f'judge_{task}'}")


if __name__ == "__main__":
    sys.exit(main())
