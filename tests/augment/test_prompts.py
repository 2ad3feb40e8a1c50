import re
from itertools import groupby
from pathlib import Path

import pydantic
import pytest
import yaml

from augment.prompts import PromptBook
from augment.synthesis import SynthesisSettings, class_requests
from benchmarks.datasets import ophvl_sim
from benchmarks.datasets.taxonomy import OPERATIONS, PHASE_OF_OPERATION, operations_of
from core.errors import UserError


@pytest.fixture(scope="module")
def book() -> PromptBook:
    return PromptBook.load()


@pytest.fixture(scope="module")
def descriptions() -> dict[int, list[str]]:
    path = Path(ophvl_sim.__file__).with_name("descriptions.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))["operations"]


def _words(sentences) -> set[str]:
    return {word for sentence in sentences for word in sentence.split()}


def test_every_operation_has_prompts_and_descriptions(book, descriptions):
    ids = list(range(len(OPERATIONS)))
    assert sorted(book.operations) == ids
    assert sorted(descriptions) == ids
    assert all(len(book.operation_prompts(i)) >= 2 for i in ids)
    assert all(len(descriptions[i]) >= 3 for i in ids)


def test_sentences_are_plain_and_of_similar_length(book, descriptions):
    for sentences in [*book.operations.values(), *descriptions.values()]:
        for sentence in sentences:
            assert re.fullmatch(r"[a-z]+( [a-z]+)*", sentence), sentence
            assert 8 <= len(sentence.split()) <= 22, sentence


def test_no_prompt_equals_a_description(book, descriptions):
    prompts = [p for prompts in book.operations.values() for p in prompts]
    captions = [d for sentences in descriptions.values() for d in sentences]
    assert len(set(prompts)) == len(prompts)
    assert len(set(captions)) == len(captions)
    assert not set(prompts) & set(captions)


def test_generators_have_read_the_words_of_the_prompts(book, descriptions):
    prompts = _words(p for prompts in book.operations.values() for p in prompts)
    captions = _words(d for sentences in descriptions.values() for d in sentences)
    assert len(prompts & captions) / len(prompts) >= 0.95


def test_step_interval_non_functional_and_others_are_promptless(book):
    assert book.promptless == {"phase": {2, 3, 51}, "operation": {1, 2, 106}}


def test_phase_prompts_take_its_operations_in_turn():
    book = PromptBook(operations={4: ("a", "b", "c"), 7: ("d",), 9: ("e", "f")})
    assert book.prompts_for("phase", 0, [4, 7, 9]) == ("a", "d", "e", "b", "f", "c")
    assert book.prompts_for("operation", 9, [9]) == ("e", "f")


def test_every_phase_has_its_operations_prompts(book):
    filed = sorted((p, o) for o, p in enumerate(PHASE_OF_OPERATION) if p is not None)
    for phase, pairs in groupby(filed, key=lambda pair: pair[0]):
        operations = [operation for _, operation in pairs]
        expected = {p for o in operations for p in book.operation_prompts(o)}
        assert set(book.prompts_for("phase", phase, operations)) == expected


def test_placement_of_speculum_follows_the_removal(book):
    operations = [o for o, phase in enumerate(PHASE_OF_OPERATION) if phase == 43]
    assert operations == [85]
    for prompt in book.prompts_for("phase", 43, operations):
        assert "speculum" in prompt
        assert "place" not in prompt


@pytest.mark.parametrize(("task", "class_id"), [("phase", 2), ("operation", 106)])
def test_policy_decides_for_promptless_classes(book, task, class_id):
    assert book.prompts_for(task, class_id, [106], "all")
    assert bool(book.prompts_for(task, class_id, [106])) == (task == "phase")
    assert book.prompts_for(task, class_id, [106], "promptable") == ()
    assert book.prompts_for(task, 0, [0], "promptable") == book.prompts_for(task, 0, [0], "all")


def test_the_papers_classes_are_the_default(book):
    """52 phases and 106 operations (Ophora, Sec. 3, downstream tasks)."""
    for task, policy, classes in [("phase", "paper", 52), ("operation", "paper", 106),
                                  ("operation", "all", 107)]:  # fmt: skip
        settings = SynthesisSettings(clips_per_class=2, policy=policy)
        requests = class_requests(book, task, operations_of(task), settings)
        assert len({request.labels[task] for request in requests}) == classes
        assert len(requests) == 2 * classes
    assert SynthesisSettings().policy == "paper"


def test_errors_name_the_cure(book, tmp_path):
    with pytest.raises(UserError, match=r"operation 107: .* add it to the yaml"):
        book.operation_prompts(107)
    with pytest.raises(UserError, match="phase 51: no operation belongs"):
        book.prompts_for("phase", 51, [])
    with pytest.raises(UserError, match="no such prompt file"):
        PromptBook.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("operations: {0: []}", encoding="utf-8")
    with pytest.raises(UserError, match="not a valid prompt file"):
        PromptBook.load(tmp_path / "bad.yaml")


def test_one_prompt_for_two_operations_is_refused():
    with pytest.raises(pydantic.ValidationError, match="operations 1 and 2 share the prompt 'a'"):
        PromptBook(operations={1: ("a",), 2: ("a",)})
