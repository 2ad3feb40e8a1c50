"""Training of a generator and a discriminator of clips against each other.

One loop and one checkpoint for both, with an optimiser each: a step goes downhill on both losses at
once, each network with the other as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.batch import batch_at, samples_per_rank
from core.distributed import rank, world_size
from core.errors import UserError
from core.fitting import Inspection
from core.frame_cache import FrameCache
from core.launching import launch
from core.runtime import seed_everything
from core.sheet import write_sheet
from core.training import CHECKPOINT_NAME, Course, Losses, Training
from generator.base import ClipShape, Generator, GivenGenerator
from generator.preview import Preview
from generator.sampling import Sampling
from generator.video_gan.losses import Duel
from generator.video_gan.networks import ClipGenerator, VideoDiscriminator
from generator.video_gan.sampling import PART, GANSampler
from generator.video_gan.settings import GANNetworkSettings, GANOptimisation, GANSettings


class GANTraining(Generator):
    """Both networks, from nothing; `weights/generator` is the generator, averaged.

    label: in messages; makes: its class. frames: of the clips, of which it learns from those of the
    split "train". preview: sample sheets beside the log. The discriminator is not kept.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "preview")

    label: ClassVar[str]
    makes: ClassVar[type[ClipGenerator]]

    frames: FrameCache
    network: GANNetworkSettings
    gan: GANSettings = GANSettings()
    optimisation: GANOptimisation
    preview: Preview | None = None

    @property
    def shape(self) -> ClipShape:
        """Of the clips that it makes."""
        read = self.frames
        return ClipShape(num_frames=read.num_frames, width=read.width, height=read.height)

    @property
    def ranks(self) -> int:
        return self.runtime.processes

    def generator(self) -> ClipGenerator:
        """Freshly initialised."""
        return self.makes(shape=self.shape.model_dump(), settings=self.network.model_dump())

    @abstractmethod
    def discriminator(self) -> VideoDiscriminator:
        """Freshly initialised."""

    def execute(self, folder: Path) -> dict[str, Any]:
        samples_per_rank(self.optimisation.batch_size, self.ranks)
        if self.gan.frames > self.frames.num_frames:
            raise UserError(
                f"gan.frames {self.gan.frames}: the clips have {self.frames.num_frames} frames"
            )
        clips = self.frames.run()["clips"]  # before the ranks start: they only read what is there
        if self.ranks > 1:
            launch(type(self).fit, self, folder, runtime=self.runtime, ranks=self.ranks)
        generator, result = self.fit(folder)
        generator.save_pretrained(folder / "weights" / PART)
        return {**result, "clips": clips}

    def fit(self, folder: Path) -> tuple[ClipGenerator, dict[str, Any]]:
        """Train both networks (or take them from a finished checkpoint): the generator and the
        record.

        Raises: UserError: when a loss is not finite, or there is no clip to learn from.
        """
        clips, rows = self._clips()
        seed_everything(self.optimisation.seed)
        generator, discriminator = self.generator(), self.discriminator()
        sizes = [sum(p.numel() for p in each.parameters()) for each in (generator, discriminator)]
        networks = nn.ModuleDict({PART: generator, "discriminator": discriminator})
        training = self._training(networks, folder)
        start = training.kept["augmentation"]
        duel = Duel(generator, discriminator, self.gan, clips, rows, training.device, start)
        sheets = self._sheets(generator, clips, rows, folder)

        def losses(step: int) -> Losses:
            return self._losses(duel, step)

        def follow(loss: float) -> None:
            training.kept["augmentation"] = duel.augmentation
            self._follow(training, loss, duel.seen)
            if sheets is not None:
                sheets.inspect(training)

        training.run(losses, follow, self.label)
        self._check(training)
        training.take_average()
        return generator.eval(), {
            "steps": self.optimisation.steps,
            "samples": self.optimisation.samples,
            "skipped_steps": training.skipped,
            "parameters": sizes[0],
            "discriminator_parameters": sizes[1],
            "augmentation": round(duel.augmentation, 6),
            "first_loss": training.log[0]["loss"],
            "last_loss": training.log[-1]["loss"],
        }

    def _clips(self) -> tuple[NDArray[np.uint8], list[int]]:
        """Frames (N, T, H, W, 3) uint8, and the rows that are for training."""
        table = self.frames.table()
        ids = [clip.clip_id for clip in self.frames.clips.manifest().of_split("train").clips]
        rows = [table.rows[name] for name in ids if name in table.rows]
        if not rows:
            raise UserError(f"{self.label}: no training clips are left; check the filters before")
        return table.frames, rows

    def _training(self, networks: nn.Module, folder: Path) -> Training:
        settings = self.optimisation
        course = Course(
            steps=settings.steps,
            seed=settings.seed,
            optimisers=partial(optimisers_of, settings=settings, gan=self.gan),
            lr_at=settings.lr_at,
            precision=settings.precision,
            grad_clip=settings.grad_clip,
            ema_decay=settings.ema_decay,
        )
        # Whole networks in every rank: each holds still in turn, which a sharded one cannot.
        runtime = self.runtime.model_copy(update={"sharding": "replicate"})
        device, kept = self.runtime.torch_device(), {"augmentation": 0.0}
        return Training(networks, course, folder, device=device, runtime=runtime, kept=kept)

    def _losses(self, duel: Duel, step: int) -> Losses:
        settings = self.optimisation
        share = samples_per_rank(settings.batch_size, world_size())
        batch = batch_at(step, settings.batch_size, len(duel.rows), settings.seed).split(share)
        for part in batch[rank()].split(self.runtime.micro_batch or share):
            weight = len(part.number) / share
            for loss in duel.losses(part, regular=step % self.gan.r1_every == 0):
                yield partial(_weighed, loss, weight)

    def _follow(self, training: Training, loss: float, seen: dict[str, float]) -> None:
        """Log and save when it is time."""
        step, last = training.step, self.optimisation.steps
        due = step % self.optimisation.checkpoint_every == 0
        if due or step in (1, last):
            row = {"step": step, "loss": round(training.mean_loss, 6), "last": round(loss, 7)}
            row |= {name: round(value, 6) for name, value in seen.items()}
            training.log.append({**row, "augmentation": round(training.kept["augmentation"], 6)})
        # A rank hands its result on as a checkpoint; alone, the caller has the networks.
        if due if step < last else world_size() > 1:
            training.save()

    def _check(self, training: Training) -> None:
        if training.diverged:
            path = training.folder / CHECKPOINT_NAME
            kept = f"the last good checkpoint is {path}" if path.is_file() else "none was saved yet"
            raise UserError(
                f"{self.label} diverged: its losses add up to {training.last_loss} at step "
                f"{training.step}; {kept}: lower optimisation.lr or raise gan.r1_weight"
            )

    def _sheets(
        self, generator: ClipGenerator, clips: NDArray[np.uint8], rows: list[int], folder: Path
    ) -> Inspection | None:
        """What draws the preview."""
        if self.preview is None:
            return None
        asked, sampler = self.preview, GANSampler(generator)

        def look(step: int) -> None:
            if rank() == 0:
                shown = rows[: asked.clips]
                made = sampler([""] * len(shown), shown, asked.sampling)
                pairs = [
                    pair
                    for row, clip in zip(shown, made, strict=True)
                    for pair in (("real", clips[row]), ("sampled", clip))
                ]
                write_sheet(folder / f"samples-{step:06d}.png", pairs)

        return Inspection(asked.every, look)

    def cost(self) -> str:
        settings = self.optimisation
        return f"{settings.steps:,} steps x {settings.batch_size}, {self.gan.frames} frames a clip"

    def sampler(self, sampling: Sampling) -> GANSampler:
        device = self.runtime.torch_device()
        return GANSampler.load(self.makes, self.weights(), self.shape, device, sampling.precision)


class GivenGAN(GivenGenerator):
    """A trained generator that the user names; nothing is trained."""

    makes: ClassVar[type[ClipGenerator]]

    def sampler(self, sampling: Sampling) -> GANSampler:
        device = self.runtime.torch_device()
        return GANSampler.load(self.makes, self.weights(), self.shape, device, sampling.precision)


def _weighed(loss: Any, weight: float) -> Tensor:
    value: Tensor = loss() * weight
    return value


def optimisers_of(
    networks: nn.Module, settings: GANOptimisation, gan: GANSettings
) -> list[torch.optim.Optimizer]:
    """Adam for the generator and Adam for the discriminator.

    The discriminator's averages forget a little slower, since its R1 comes every so many steps.
    Source: StyleGAN2 (arXiv 1912.04958), appendix B; the learning rates stay the same (our choice).
    """
    slower = gan.r1_every / (gan.r1_every + 1)
    found: list[torch.optim.Optimizer] = []
    for name, network in networks.named_children():
        power = 1.0 if name == PART else slower
        betas = (settings.betas[0] ** power, settings.betas[1] ** power)
        decay = settings.weight_decay
        found.append(
            torch.optim.AdamW(network.parameters(), settings.lr, betas, weight_decay=decay)
        )
    return found
