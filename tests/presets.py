"""What the shipped configurations say, for tests of the parts they configure."""

from __future__ import annotations

from benchmarks.config.files import load_config

_NANO = load_config("ophnet_phase")
_PAPER = load_config("paper/ophnet_phase")
_STATED = load_config("paper/ophnet_phase_as_stated")

SLOWFAST_NANO = _NANO.classifiers["slowfast"].network
MVITV2_NANO = _NANO.classifiers["mvit_v2"].network
DYNAMICS_NANO = _NANO.curation.dynamics
RESOLUTION_NANO = _NANO.curation.resolution
SLOWFAST_REFERENCE = _PAPER.classifiers["slowfast"].recipe
MVITV2_REFERENCE = _PAPER.classifiers["mvit_v2"].recipe
SLOWFAST_AS_STATED = _STATED.classifiers["slowfast"].recipe
MVITV2_AS_STATED = _STATED.classifiers["mvit_v2"].recipe
