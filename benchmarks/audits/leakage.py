"""Does an arm hold copies of clips that it must not? For each task and each synthetic arm of a run:

    clips like val, test or train clips of the labelled set
    clips like those that the generator was trained on, and whether they lie nearer to these
    clips in which burned-in text can be read
    clips of the generators' corpus that are like val or test clips

    python -m benchmarks.audits.leakage --config ophnet_phase

takes the options of the run and writes `audits.md` and `audits.json` into its results folder. The
same `run_benchmark.py` command then shows the outcome in Table 2. See docs/audits.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.audits.findings import (
    AUDITS_NAME,
    Audits,
    broken_rules,
    has_text_to_learn,
    identities,
    marks_in,
    stages_of,
    synthetic_arms,
    text_in,
)
from benchmarks.audits.options import parser
from benchmarks.audits.rows import AUDIT_HEADER, RULES, audit_row, share_of
from benchmarks.config.files import load_config
from benchmarks.dispatch import run_wave
from benchmarks.plan import Inputs, Plan
from benchmarks.scoring.record import ArmAudit
from benchmarks.tables.render import plain_table
from core.errors import UserError, exit_code
from core.files import write_json, write_text
from core.stage import ClipStage

NAMED_PAIRS = 20
COPY_AUDITS = {
    "held_out": "clips like val or test clips",
    "train": "clips like train clips",
    "corpus": "clips like the generator's training clips",
    "corpus_held_out": "clips of the generator's corpus like val or test clips",
}
CHANCE_OF = {
    "held_out": "real val and test clips",
    "train": "real train clips",
    "corpus": "the corpus' training clips",
}


def audit(plan: Plan) -> Audits:
    """Look at every synthetic arm and for text in every row of Table 1.

    Raises: UserError: if there is neither, or a run did not end.
    """
    arms = synthetic_arms(plan)
    table1 = {row.model: row.stage.generated for row in plan.quality.rows}
    if not arms and not table1:
        raise UserError("sources: no synthetic clips in this run, so nothing to audit")
    for name, clips in [*((arm.label, clips) for _, arm, clips in arms), *table1.items()]:
        _must_be_made(plan, name, clips)
    stages = [stages_of(plan, task, clips) for task, _, clips in arms]
    texts = {model: text_in(plan, clips) for model, clips in table1.items()}
    learnt = has_text_to_learn(plan)
    marks = {model: marks_in(plan, clips) for model, clips in table1.items() if learnt}
    of_arms = [stage for each in stages for stage in each.values()]
    run_wave("audit", [*of_arms, *texts.values(), *marks.values()], runtime=plan.config.runtime)
    records = []
    for (task, arm, _), each in zip(arms, stages, strict=True):
        found = {key: stage.run() for key, stage in each.items()}
        records.append(
            ArmAudit(
                task=task,
                training_data=arm.label,
                arm=arm,
                stages=identities(each),
                found=found,
                broken=broken_rules(found),
            )
        )
    return Audits(
        arms=tuple(records),
        table1={model: stage.run() for model, stage in texts.items()},
        marks={model: stage.run() for model, stage in marks.items()},
        detector=next((stage.detector.run() for stage in marks.values()), {}),
    )


def _must_be_made(plan: Plan, name: str, clips: ClipStage) -> None:
    # An audit that starts hours of training by mistake would help nobody.
    if not clips.is_done():
        raise UserError(
            f"{name}: its clips are not in {plan.inputs.results / 'cache'}: first run "
            f"run_benchmark.py --config {plan.config.name} with the same options"
        )


def markdown(audits: Audits) -> str:
    """A row for each arm, the rules, the pairs, what chance would give, and text in Table 1."""
    parts = ["# Leakage audit", *(_of_arms(audits) if audits.arms else ())]
    if audits.table1:
        parts += _of_table1(audits)
    return "\n\n".join(parts) + "\n"


def _of_table1(audits: Audits) -> list[str]:
    header = ["Model", "Clips", "With text", "95% interval"]
    rows = [[model, *share_of(found, "with_text")] for model, found in audits.table1.items()]
    parts = ["Text in the clips of Table 1:"]
    if not audits.marks:
        return [*parts, plain_table(rows, header)]
    seen = [share_of(found, "marked")[1:] for found in audits.marks.values()]
    rows = [[*row, *marks] for row, marks in zip(rows, seen, strict=True)]
    return [
        *parts,
        plain_table(rows, [*header, "With marks of text", "95% interval"]),
        f"Marks of text: {_about(audits.detector)}.",
    ]


def _about(detector: Mapping[str, Any]) -> str:
    """What the detector of marks is worth, from its own result."""
    found, alarms = (
        ", ".join(f"{percent}%" for percent in detector[key].values())
        for key in ("found", "false_alarms")
    )
    blurs = ", ".join(f"{100 * float(blur):g}%" for blur in detector["false_alarms"])
    learnt = f"{detector['train_clips']} narrated clips, {detector['with_text']} of them with text"
    return (
        f"what a network takes for text, read or not. It learnt from {learnt}; under blurs of"
        f" {blurs} of a frame's height it finds {found} of {detector['val_with_text']} others with"
        f" text and calls {alarms} of {detector['held_out']} without so"
    )


def _of_arms(audits: Audits) -> list[str]:
    rows = [audit_row(arm) for arm in audits.arms]
    parts = [plain_table(rows, AUDIT_HEADER)]
    parts.append("An arm passes by these rules:\n\n" + _bullets(RULES))
    for arm in audits.arms:
        if arm.broken:
            what = f"{arm.training_data} ({arm.task}) failed"
            parts.append(f"{what}: {'; '.join(arm.broken)}.")
        for key, meaning in COPY_AUDITS.items():
            if key in arm.found and arm.found[key]["copies"]:
                parts.append(
                    f"{arm.training_data} ({arm.task}), {meaning}:\n\n"
                    + _bullets(_pairs(arm.found[key]["copies"]))
                )
    parts.append(
        "Chance, pairs of different cases called the same:\n\n" + _bullets(_chances(audits))
    )
    return parts


def _pairs(copies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for pair in copies[:NAMED_PAIRS]:
        yield f"{pair['clip']} ~ {pair['copy_of']} ({pair['split']}, {pair['similarity']})"
    if len(copies) > NAMED_PAIRS:
        yield f"and {len(copies) - NAMED_PAIRS} more, in {AUDITS_NAME}"


def _chances(audits: Audits) -> Iterator[str]:
    # The references of a task are those of all its arms; a corpus that is the labelled set is not
    # said twice.
    lines = {}
    for arm in audits.arms:
        for key, what in CHANCE_OF.items():
            same = key == "corpus" and arm.stages.get(key) == arm.stages["train"]
            if key in arm.found and not same:
                chance = arm.found[key]["chance"]
                lines[f"{what} ({arm.task})"] = (
                    f"{chance['same']} of {chance['pairs']:,}, the largest similarity"
                    f" {chance['largest']}"
                )
    for what, line in lines.items():
        yield f"{what}: {line}"


def _bullets(lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def main() -> int:
    """Audit the arms of a run."""
    command = parser(__doc__, own_data=True)
    command.add_argument("--sources", nargs="+", metavar="NAME")
    options = command.parse_args()
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    sources = [f"sources={json.dumps(options.sources)}"] if options.sources else []
    config = load_config(options.config, [*options.set, *sources])
    plan = Plan(config, Inputs(options.results, options.data_root, options.corpus_root))
    plan.check()
    audits = audit(plan)
    folder = plan.folder
    write_json(folder / AUDITS_NAME, audits.model_dump(mode="json"))
    write_text(folder / "audits.md", markdown(audits))
    print(markdown(audits))
    if audits.arms:
        print("Table 2 shows this after the next run_benchmark.py with the same options (cached).")


if __name__ == "__main__":
    sys.exit(main())
