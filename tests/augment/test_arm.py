"""Arms as values: what is printed, what names files."""

from __future__ import annotations

import pydantic
import pytest

from augment.arm import SOURCE, Arm


def test_an_arm_s_label_says_what_its_training_data_are() -> None:
    mine, alone = Arm.joining("Mine", "Mine"), Arm.alone("ophora", "Ophora")
    assert (mine.id, mine.name, mine.label) == ("mine", "Mine", "Source + Mine")
    assert (alone.id, alone.name, alone.label) == ("only-ophora", "Only Ophora", "Only Ophora")
    assert mine.with_real and SOURCE.with_real and not alone.with_real
    assert len({mine, alone, SOURCE, Arm.joining("mine", "Mine")}) == 3  # a value, so a key


@pytest.mark.parametrize("id", ["", "a/b", "A", "a b"])
def test_an_id_is_a_file_s_name(id: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="id"):
        Arm(id=id, name="x", label="x")
