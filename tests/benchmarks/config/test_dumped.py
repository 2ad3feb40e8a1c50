"""A configuration is read again from what a run's record holds of it."""

from __future__ import annotations

import json

import pytest

from benchmarks.config.files import load_config
from benchmarks.config.schema import BenchmarkConfig


@pytest.mark.parametrize(
    "name", ["smoke", "endora", "probe", "controls", "paper/ophnet", "paper/generation_quality"]
)
def test_a_dumped_configuration_is_the_same_one(name: str) -> None:
    config = load_config(name)
    dumped = json.loads(config.model_dump_json(exclude={"runtime", "cluster"}))
    again = BenchmarkConfig.model_validate(
        {**dumped, "runtime": config.runtime, "cluster": config.cluster}
    )
    assert again == config
