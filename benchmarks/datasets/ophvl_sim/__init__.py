"""OphVL-sim, the narrated corpus: captioned clips with known defects, written to disk."""

from benchmarks.datasets.ophvl_sim.overlays import OverlayBook, OverlayKind
from benchmarks.datasets.ophvl_sim.writer import CorpusMix, write_ophvl_sim

__all__ = ["CorpusMix", "OverlayBook", "OverlayKind", "write_ophvl_sim"]
