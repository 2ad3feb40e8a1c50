"""Configurations in code: written down and read again, changed, refused in one line."""

from __future__ import annotations

import pytest

from benchmarks.config.files import changed, config_names, load_config
from benchmarks.config.schema import BenchmarkConfig
from core.errors import UserError


@pytest.mark.parametrize("name", config_names())
def test_a_configuration_is_read_back_as_it_was_written(name: str) -> None:
    config = load_config(name)
    assert BenchmarkConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_changed_configuration_is_that_of_the_command() -> None:
    config = load_config("ophnet_phase")
    found = changed(
        config, {"seeds": 3, "sources": ["source"], "classifiers.slowfast.recipe.epochs": 4}
    )
    options = ["seeds=3", "sources=[source]", "classifiers.slowfast.recipe.epochs=4"]
    assert found == load_config("ophnet_phase", options) != config
    assert changed(config, {}) == config == load_config("ophnet_phase")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"seeds": 0}, "ophnet_phase: seeds: "),
        ({"sedes": 3}, "ophnet_phase: unknown key 'sedes': did you mean 'seeds'?"),
        ({"seeds.more": 3}, "ophnet_phase, seeds.more: 'seeds' holds a value, not a section"),
        ({"sources": ["opora"]}, "did you mean 'ophora'?"),
    ],
)
def test_a_wrong_change_is_one_line(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(UserError) as raised:
        changed(load_config("ophnet_phase"), settings)
    assert fault in str(raised.value) and "\n" not in str(raised.value)
