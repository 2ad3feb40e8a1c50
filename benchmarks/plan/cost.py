"""What a full-scale stage costs in GPU time and memory: arithmetic, for `--dry-run`.

Forward pass of a transformer: 2 x parameters x tokens + 4 x layers x width x tokens^2 operations
(the second term is attention); backward costs twice that, gradient checkpointing one forward more.
Memory of a training: 16 bytes a parameter (fp32 weight and gradient, two moments of AdamW), 4 more
with an average, and 34 bytes x tokens x width a layer and clip for the backward pass (arXiv
2205.05198, Eq. 1, its attention term left out since attention is fused); with gradient
checkpointing 2 bytes a layer and one layer whole. After its ranks one process takes the training
over, measures the held-out loss and saves: it holds the whole state, and one layer's activations.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from augment.synthesis import CaptionSynthesis, ClassSynthesis
from core.errors import UserError
from core.runtime import Runtime
from core.stage import Stage
from generator.base import ClipShape, Generator, GivenGenerator
from generator.denoising import HELD_OUT_BATCH
from generator.diffusion import DenoiserTraining
from generator.families import GENERATORS
from generator.family import Size, family_of
from generator.ophora.family import COGVIDEOX_2B

A100_FLOPS = 312e12  # dense bf16 / fp16, data sheet
UTILISATION = 0.4  # our assumption for training
# Source: model card of CogVideoX-2b: 50 steps of 49x480x720 take about 90 s on an A100. Other
# generators' steps are counted by their operations, for want of published times.
COGVIDEOX_S_PER_STEP = 90 / 50
COGVIDEOX_SHAPE = ClipShape(num_frames=49, width=720, height=480)


def a100_hours(stage: Stage) -> float | None:
    """A100-hours of a stage at its published size, None for stages that need no GPU or whose
    network's size is not known."""
    if isinstance(stage, DenoiserTraining):
        size = size_of(stage)
        if size is None:
            return None
        passes = 4 if _checkpointed(stage) else 3
        flops = passes * size.forward_flops(stage.encoding.shape)
        return flops * stage.optimisation.samples / (A100_FLOPS * UTILISATION) / 3600
    if isinstance(stage, ClassSynthesis | CaptionSynthesis):
        size = size_of(stage.generator)
        if size is None:
            return None
        seconds = _sampling_step_s(stage.generator, size)
        return stage.num_clips * stage.sampling.steps * seconds / 3600
    return None


def _sampling_step_s(generator: Generator, size: Size) -> float:
    """Seconds of one sampling step of one clip on an A100."""
    shape = generator.shape if isinstance(generator, GivenGenerator) else COGVIDEOX_SHAPE
    if isinstance(generator, DenoiserTraining):
        shape = generator.encoding.shape
    share = size.forward_flops(shape) / COGVIDEOX_2B.forward_flops(COGVIDEOX_SHAPE)
    return COGVIDEOX_S_PER_STEP * share


def training_gb(stage: Stage) -> float | None:
    """Memory in GB that each GPU needs to train a generator at its published size, else None."""
    size, runtime = size_of(stage), stage.runtime
    if size is None or not isinstance(stage, DenoiserTraining):
        return None
    states = size.parameters * (20 if stage.optimisation.ema_decay else 16)
    layers = 2 * size.layers + 34 if _checkpointed(stage) else 34 * size.layers
    share = stage.optimisation.batch_size // runtime.processes
    clips = min(runtime.micro_batch or share, share)
    of_clip = size.tokens(stage.encoding.shape) * size.width
    held = states / runtime.processes if runtime.sharding == "shard" else states
    training = held + clips * of_clip * layers
    alone = states + (runtime.micro_batch or HELD_OUT_BATCH) * of_clip * 34
    return max(training, alone) / 1e9


def check_memory(stages: Iterable[Stage]) -> None:
    """Whether every training fits the GPUs: those of this machine, or of `runtime.gpu_gb`.

    Raises: UserError: for the first that does not, with settings that would.
    """
    for stage in stages:
        limit = _gpu_gb(stage.runtime)
        wanted = training_gb(stage)
        if limit is None or wanted is None or wanted <= limit:
            continue
        cure = _fitting(stage, limit)
        raise UserError(
            f"{type(stage).__name__} {getattr(stage, 'name', '')}: about {wanted:,.0f} GB a GPU, "
            f"{limit:,.0f} GB are there: {cure or 'it needs GPUs with more memory'}"
        )


def _gpu_gb(runtime: Runtime) -> float | None:
    """Memory of the smallest GPU that the plan is for; None where nothing is known of any."""
    found = [] if runtime.gpu_gb is None else [runtime.gpu_gb]
    if runtime.torch_device().type == "cuda":
        gpus = range(torch.cuda.device_count())
        found += [torch.cuda.get_device_properties(gpu).total_memory / 1e9 for gpu in gpus]
    return min(found, default=None)


def _fitting(stage: Stage, limit: float) -> str:
    """The mildest change with which a training fits, as arguments of --set; "" if none does."""
    runtime = stage.runtime
    smaller: list[dict[str, object]] = [{"micro_batch": n} for n in (8, 4, 2, 1)]
    ranks = {"processes": 8, "sharding": "shard"}
    for change in (*smaller, *(ranks | each for each in smaller)):
        changed = stage.model_copy(update={"runtime": runtime.model_copy(update=change)})
        wanted = training_gb(changed)
        if wanted is not None and wanted <= limit:
            return "--set " + " ".join(f"runtime.{name}={value}" for name, value in change.items())
    return ""


def size_of(generator: Stage) -> Size | None:
    """The published size of a generator's denoiser; None for other stages."""
    family = family_of(generator, list(GENERATORS.values()))
    return None if family is None else family.size


def _checkpointed(stage: DenoiserTraining) -> bool:
    return bool(getattr(stage, "gradient_checkpointing", False))
