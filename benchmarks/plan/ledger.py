"""What a full-scale run takes, by part: GPU-hours, disk, calls of a language model; and what
falls away with each generator or row that it could do without. For `--dry-run`.

stages -> Amount of each (from sizes, samples and clips) -> table by part, and one of savings
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import reduce

import tabulate

from augment.synthesis import CaptionSynthesis, ClassSynthesis
from augment.training_set import PromptedTrainingClips
from benchmarks.datasets.ophnet import OphNet
from benchmarks.plan import Plan
from benchmarks.plan.cost import A100_FLOPS, UTILISATION, a100_hours, size_of
from benchmarks.plan.curation_cost import corpus_of, model_calls
from classifiers.families import CLASSIFIERS
from classifiers.features import FrozenFeatures
from classifiers.networks import Network
from classifiers.probe import ProbeTraining
from classifiers.training import ClassifierTraining
from core.frame_cache import FrameCache
from core.stage import ClipStage, Stage
from generator.base import ClipShape
from generator.curation.stages import Curation, PrivacyFilter
from generator.diffusion import DenoiserTraining
from generator.encoding import Encoding
from generator.endora.given import ClassCaptions
from generator.family import Size

# What is assumed where no folder says it. Source: Ophora, Sec. 2.2; OphNet2024's challenge files,
# (all, of the training split).
OPHVL_CLIPS, CURATED_CLIPS, CLEAN_CLIPS = 375_198, 162_185, 28_175
LABELLED_CLIPS = {"phase": (14_674, 8_773), "operation": (17_508, 10_505)}
BITS_PER_PIXEL = 0.15  # of an mp4; our assumption
BYTES_PER_PARAMETER = 4
PARTS = (
    "curation",
    "encoding",
    "generators",
    "synthesis for Table 2",
    "synthesis for Table 1",
    "classifiers",
)


@dataclass(frozen=True)
class Amount:
    """gpu_hours: of an A100."""

    gpu_hours: float = 0.0
    disk_gb: float = 0.0
    calls: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.gpu_hours + other.gpu_hours,
            self.disk_gb + other.disk_gb,
            self.calls + other.calls,
        )

    def __bool__(self) -> bool:
        return self != Amount()

    @property
    def cells(self) -> list[str]:
        """For a table; "" for nothing."""
        values = (f"{self.gpu_hours:,.0f}", f"{self.disk_gb:,.0f}", f"{self.calls:,}")
        return [value if value != "0" else "" for value in values]


def ledger(plan: Plan) -> str:
    """Both tables, and what they assume."""
    stages = plan.tower()
    count = _Count(plan)
    amounts = {stage.infra.uid(): _amount(stage, count) for stage in stages}
    trainings = [stage for stage in stages if isinstance(stage, DenoiserTraining)]
    read = {below.infra.uid() for training in trainings for below in training.upstream()}
    rows = []
    for part in PARTS:
        of_part = [amounts[s.infra.uid()] for s in stages if _part(s, read) == part]
        rows.append([part, *_total(of_part).cells])
    rows.append(["all", *_total(amounts.values()).cells])
    head = ["part", "A100-hours", "disk (GB)", "calls of a language model"]
    lines = ["What it takes, at most:", _table(rows, head)]
    savings = _savings(plan, amounts)
    if savings:
        head = ["without", "fewer A100-hours", "fewer GB", "fewer calls"]
        lines += ["What could be left out:", _table(savings, head)]
    return "\n\n".join([*lines, _assumptions(stages)])


class _Count:
    """How many clips a source holds, at most; as published where no folder says it yet."""

    def __init__(self, plan: Plan) -> None:
        self.readers = _readers(plan.tower())
        self.narrated = plan.data.narrated.infra.uid()

    def clips(self, source: ClipStage) -> int:
        """All of a source."""
        if source.is_done():
            return len(source.manifest())
        match source:
            case ClassSynthesis() | CaptionSynthesis():
                return source.num_clips
            case OphNet():
                return LABELLED_CLIPS[source.task][0]
            case PrivacyFilter():
                return min(self.clips(source.clips), CLEAN_CLIPS)
            case PromptedTrainingClips() | ClassCaptions():
                return self.for_training(source.clips)
            case Curation():
                return min(self.clips(source.narrated), CURATED_CLIPS)
        # A choice from other clips, or the same ones under other labels.
        below = [self.clips(each) for each in source.upstream() if isinstance(each, ClipStage)]
        if below:
            return max(below)
        corpus = corpus_of(source)
        if corpus is not None and (corpus.sample or source.infra.uid() != self.narrated):
            return corpus.clips
        return OPHVL_CLIPS

    def for_training(self, source: ClipStage) -> int:
        """Those that a classifier is trained on."""
        if isinstance(source, OphNet):
            if source.is_done():
                return len(source.manifest().of_split("train"))
            return LABELLED_CLIPS[source.task][1]
        return self.clips(source)


def _readers(stages: Iterable[Stage]) -> dict[str, Size]:
    """The published size of the network that reads an encoding, by the encoding's key."""
    return {
        stage.encoding.infra.uid(): size
        for stage in stages
        if isinstance(stage, DenoiserTraining) and (size := size_of(stage)) is not None
    }


def _amount(stage: Stage, count: _Count) -> Amount:
    if stage.is_done():
        return Amount()
    hours = a100_hours(stage) or 0.0
    match stage:
        case Curation() | PrivacyFilter():
            return Amount(calls=model_calls(stage, count.clips(_source_of(stage))))
        case Encoding():
            # The held-out ones have no reader here: the bound of the training split covers them.
            size = count.readers.get(stage.infra.uid())
            each = size.encoded_bytes(stage.shape, stage.max_text_tokens) if size else 0
            return Amount(disk_gb=count.clips(stage.clips) * each / 1e9)
        case DenoiserTraining():
            size = size_of(stage)
            copies = 5 if stage.optimisation.ema_decay else 4  # the weights, and a checkpoint
            parameters = size.parameters if size else 0.0
            return Amount(hours, copies * BYTES_PER_PARAMETER * parameters / 1e9)
        case ClassSynthesis() | CaptionSynthesis():
            bits = _pixels(stage.generator.shape) * BITS_PER_PIXEL
            return Amount(hours, count.clips(stage) * bits / 8e9)
        case FrameCache():
            values = 3 * stage.num_frames * stage.width * stage.height
            return Amount(disk_gb=count.clips(stage.clips) * values / 1e9)
        case FrozenFeatures(frames=frames):
            passes = count.clips(frames.clips)
            hours = _network_hours(stage.network, frames.num_frames, frames.width, passes)
            return Amount(gpu_hours=hours)
        case ProbeTraining():  # seconds
            return Amount()
        case ClassifierTraining():
            clips = sum(map(count.for_training, stage.mixture.sources))
            passes = 3 * stage.recipe.epochs * clips  # forward, and backward twice that
            hours = _network_hours(stage.network, stage.num_frames, stage.size, passes)
            return Amount(gpu_hours=hours)
        case _:
            return Amount()


def _network_hours(network: Network, num_frames: int, size: int, passes: int) -> float:
    gflops = next((f.gflops for f in CLASSIFIERS.values() if f.network is type(network)), 0)
    scale = num_frames * size**2 / (8 * 224**2)
    return passes * (gflops or 0) * scale * 1e9 / (A100_FLOPS * UTILISATION) / 3600


def _part(stage: Stage, read_by_generators: Container[str]) -> str:
    match stage:
        case Curation() | PrivacyFilter():
            return "curation"
        case Encoding():
            return "encoding"
        case DenoiserTraining():
            return "generators"
        case ClassSynthesis():
            return "synthesis for Table 2"
        case CaptionSynthesis():
            return "synthesis for Table 1"
        case FrameCache() if stage.infra.uid() in read_by_generators:
            return "generators"
        case FrameCache() | FrozenFeatures() | ClassifierTraining():
            return "classifiers"
        case _:
            return ""


def _source_of(stage: Curation | PrivacyFilter) -> ClipStage:
    return stage.narrated if isinstance(stage, Curation) else stage.clips


def _pixels(shape: ClipShape) -> int:
    return shape.num_frames * shape.width * shape.height


def _total(amounts: Iterable[Amount]) -> Amount:
    return reduce(Amount.__add__, amounts, Amount())


def _savings(plan: Plan, amounts: dict[str, Amount]) -> list[list[str]]:
    """What only one source of Table 2, or one row of Table 1, needs."""
    wanted: dict[str, set[str]] = {}
    for cell in plan.cells:
        if cell.arm.id != "source":
            keys = wanted.setdefault(f"{cell.arm.label} in Table 2", set())
            keys |= {below.infra.uid() for below in cell.stage.tower()}
    for row in plan.quality.rows:
        name = f"{row.model} in Table 1"
        wanted[name] = {below.infra.uid() for below in row.stage.tower()}
    always = {s.infra.uid() for c in plan.cells if c.arm.id == "source" for s in c.stage.tower()}
    found = []
    for name, keys in wanted.items():
        others = [each for other, each in wanted.items() if other != name]
        saved = _total(amounts[key] for key in keys.difference(always, *others))
        if saved:
            found.append([name, *saved.cells])
    return found


def _table(rows: list[list[str]], head: list[str]) -> str:
    align = ["left", *["right"] * (len(head) - 1)]
    made: str = tabulate.tabulate(rows, head, disable_numparse=True, colalign=align)
    return made


def _assumptions(stages: Iterable[Stage]) -> str:
    lines = [
        f"A100-hours: {UTILISATION:.0%} of {A100_FLOPS / 1e12:.0f} TFLOP/s (benchmarks/plan/"
        "cost.py); encoding and metrics are not counted.",
        f"Videos take {BITS_PER_PIXEL} bits a pixel.",
    ]
    if any(isinstance(s, Curation | OphNet) and not s.is_done() for s in stages):
        lines.append(
            f"Where no folder says it, sizes are the published ones: {OPHVL_CLIPS:,} narrated "
            f"clips, {CURATED_CLIPS:,} after curation, {CLEAN_CLIPS:,} without text; "
            f"{LABELLED_CLIPS['phase'][0]:,} labelled clips of phases and "
            f"{LABELLED_CLIPS['operation'][0]:,} of operations."
        )
    return "\n".join(lines)
