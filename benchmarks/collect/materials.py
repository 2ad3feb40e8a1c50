"""The weights and data sets that a run used, each once, with its licence."""

from __future__ import annotations

from pathlib import Path

from augment.user_videos import UserVideos
from benchmarks.datasets.family import LabelledClips
from benchmarks.datasets.footage import Footage
from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.simulated import OphVLSim
from benchmarks.metrics.encoders import EncoderByPath
from benchmarks.plan import PROJECT_ROOT, Plan
from benchmarks.report.licences import material
from benchmarks.scoring.record import Material
from classifiers.checkpoints import Checkpoint
from core.stage import Stage
from generator.base import GivenWeights, HubWeights
from generator.curation.narrated import NarratedFolder

SHIPPED = PROJECT_ROOT / "generator" / "weights"


def materials_of(plan: Plan) -> tuple[Material, ...]:
    """In the order in which the run's stages depend on one another."""
    found = (_of(stage) for stage in plan.tower())
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _of(stage: Stage) -> Material | None:
    """None for a stage that brings nothing from elsewhere."""
    match stage:
        case HubWeights():
            return material(stage.repository, "weights", folder=stage.weights())
        case GivenWeights() | EncoderByPath() | Checkpoint():
            return _lying_at(stage.path)
        case OphNet():
            made = stage.written_by is not None
            return material(stage.name, "labelled data", folder=stage.root, ours=made)
        case LabelledClips():
            return material(stage.name, "labelled data", folder=getattr(stage, "root", None))
        case UserVideos():
            return Material(name=stage.name, kind="clips", licence="your own", said_by="you")
        case NarratedFolder():
            return material(stage.root.name, "narrated clips", folder=stage.root)
        case Footage():
            kind = "clips" if stage.cut is None else "clips without captions"
            return material(stage.root.name, kind, folder=stage.root)
        case OphVLSim():
            return material("OphVL-sim", "narrated clips", ours=True)
    return None


def _lying_at(path: Path) -> Material:
    folder = path if path.is_dir() else path.parent
    ours = path.resolve().is_relative_to(SHIPPED)
    name = path.resolve().relative_to(SHIPPED).parts[0] if ours else path.name
    return material(name, "weights", folder=folder, ours=ours)
