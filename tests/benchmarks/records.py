"""Records as a run leaves them, without the run, for the tests of what is made of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.config.schema import BenchmarkConfig
from benchmarks.scoring.evaluation import Cell
from benchmarks.scoring.record import ArmAudit, Record, StageFacts
from tests.benchmarks.scores import arm_of

LOOKED = {"suspects": 52, "copies": [], "percent": 0.0}
TEXTS = {"clips": 52, "with_text": [], "percent": 0.0}


def make_record(config: BenchmarkConfig, cells: Sequence[Cell], **other: Any) -> Record:
    """A run of these cells in which nothing else was found."""
    facts: dict[str, Any] = {
        "config": config,
        "data": "OphSim",
        "data_root": None,
        "corpus": "OphVL-sim",
        "scale": config.scale,
        "seeds": range(config.first_seed, config.first_seed + config.seeds),
        "device": "cpu",
        "threads": 1,
        "machine": {},
        "versions": {"torch": "2"},
        "commit": "0123456789abcdef",
        "datasets": {},
        "warnings": [],
        "unreadable_files": [],
        "curation": {},
        "generators": {},
        "cells": [str(cell.path) for cell in cells],
        "arms": {},
        "sweeps": {},
        "quality": [],
        "audits": [],
        "stages": [],
    }
    return Record.model_validate(facts | other)


def stage(name: str, folder: str = "", **left_out: int) -> StageFacts:
    """A stage that lost something."""
    return StageFacts(stage=name, cost="", folder=folder or name, left_out=left_out)


def audit(label: str, *broken: str) -> ArmAudit:
    """The audit of an arm of phases."""
    found = {"held_out": LOOKED, "train": LOOKED, "text": TEXTS}
    return ArmAudit(
        task="phase", training_data=label, arm=arm_of(label), stages={}, found=found, broken=broken
    )
