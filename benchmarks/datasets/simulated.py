"""The simulators as stages: each writes its corpus in the published form, then lists its clips."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import pydantic

from benchmarks.datasets.biomed_sim import BIOMED_SIM
from benchmarks.datasets.captioned import Drawer, draw_corpus
from benchmarks.datasets.natural_sim import NATURAL_SIM
from benchmarks.datasets.ophsim.appearance import NUISANCE
from benchmarks.datasets.ophsim.dataset import write_ophsim
from benchmarks.datasets.ophvl_sim.writer import CorpusMix, write_ophvl_sim
from benchmarks.datasets.taxonomy import NUM_CLASSES, PHASES
from core.clip import MANIFEST_NAME, Clip, Manifest, Split
from core.stage import ClipStage, Stage
from generator.curation.narrated import read_captions


class SimulatedCorpus(ClipStage):
    """Captioned clips drawn by a simulator into `corpus/` (`clips.csv` + `clips/*.mp4`)."""

    seed: int = pydantic.Field(ge=0)
    num_clips: int = pydantic.Field(ge=1)

    @abstractmethod
    def write(self, root: Path) -> None:
        """Draw the corpus at `root`, resuming what is there."""

    def execute(self, folder: Path) -> dict[str, Any]:
        root = folder / "corpus"
        self.write(root)
        clips = [
            Clip(
                clip_id=clip_id,
                video_id=clip_id.rpartition("_")[0],
                path=f"clips/{clip_id}.mp4",
                caption=caption,
                source=type(self).__name__,
            )
            for clip_id, caption in read_captions(root).items()
        ]
        Manifest(root=root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}

    def cost(self) -> str:
        return f"{self.num_clips:,} clips to draw"


class DrawnCorpus(SimulatedCorpus):
    """What the corpora of the base models share: one drawer, clips of one size."""

    drawer: ClassVar[Drawer]
    num_frames: int = 9
    width: int = 96
    height: int = 64

    def write(self, root: Path) -> None:
        draw_corpus(
            self.drawer,
            root,
            seed=self.seed,
            num_clips=self.num_clips,
            num_frames=self.num_frames,
            width=self.width,
            height=self.height,
            workers=self.runtime.workers,
        )


class NaturalSim(DrawnCorpus):
    """Moving shapes, textures and cameras: what the nano base model is pre-trained on."""

    drawer: ClassVar[Drawer] = NATURAL_SIM


class BiomedSim(DrawnCorpus):
    """Endoscopy-like tunnels, speckle, cells: what the nano Bora is pre-trained on."""

    drawer: ClassVar[Drawer] = BIOMED_SIM


class OphVLSim(SimulatedCorpus):
    """Narrated surgical clips with known defects; `mix` says how many of each."""

    version: ClassVar[str] = "2"  # ten descriptions an operation

    mix: CorpusMix = CorpusMix()

    def write(self, root: Path) -> None:
        write_ophvl_sim(
            root,
            seed=self.seed,
            num_clips=self.num_clips,
            mix=self.mix,
            workers=self.runtime.workers,
        )


class OphSim(Stage):
    """The labelled data set in OphNet2024's layout; read it through `OphNet(written_by=...)`.

    train_cases is the calibrated difficulty: few cases make a classifier over-fit to them.
    nuisance: how much cases differ (`ophsim.appearance.CaseAppearance.draw`).
    A split's cases do not depend on the sizes of the others (`unused_splits`).
    """

    seed: int = pydantic.Field(ge=0)
    train_cases: int = pydantic.Field(default=24, ge=1)
    val_cases: int = pydantic.Field(default=30, ge=1)
    test_cases: int = pydantic.Field(default=60, ge=1)
    train_clips: int = pydantic.Field(default=900, ge=NUM_CLASSES["phase"])
    val_clips: int = pydantic.Field(default=1000, ge=NUM_CLASSES["phase"])
    test_clips: int = pydantic.Field(default=2000, ge=NUM_CLASSES["phase"])
    minimum: int = pydantic.Field(default=2, ge=1)
    nuisance: float = pydantic.Field(default=NUISANCE, ge=0, le=1)
    width: int = pydantic.Field(default=96, ge=32)
    height: int = pydantic.Field(default=64, ge=32)

    def execute(self, folder: Path) -> dict[str, Any]:
        sizes = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in Stage.model_fields
        }
        frames = write_ophsim(folder, **sizes, workers=self.runtime.workers)
        return {"cases": len(frames)}

    def cost(self) -> str:
        return f"{self.train_clips + self.val_clips + self.test_clips:,} clips to draw"


def unused_splits(minimum: int, *splits: Split) -> dict[str, int]:
    """The fields of an `OphSim` of which these splits are not read: as small as they can be."""
    least: dict[str, int] = {}
    for split in splits:
        least |= {f"{split}_cases": 1, f"{split}_clips": minimum * len(PHASES)}
    return least
