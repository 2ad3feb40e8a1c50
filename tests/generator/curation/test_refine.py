"""Refining: rules on captions of our own wording, and a chat model behind a real HTTP server."""

from pathlib import Path

import pytest

from generator.curation.refine import (
    Refined,
    RulesRefine,
    examples,
    refine_captions,
)
from generator.curation.rules import refine_by_rules
from generator.curation.text import sentences, surgical_terms

# What is seen, and the talk around it; worded for this test.
OPERATIONS = [
    "The crescent knife undermines the sclera and leaves a thin flap",
    "Two cannulas wash cortex strands out of the capsular bag",
    "A trephine is pressed on the donor button and turned by hand",
    "The plunger moves and the soft lens opens inside the bag",
    "Bipolar cautery touches a bleeding vessel beside the limbus",
    "The phaco needle carves a trench across the nucleus",
]
TALK = [
    "Ahoy viewers, glad to have you in episode nine.",
    "Smash that like button and ring the bell, it helps us enormously.",
    "My old teacher used to warn us about this very moment.",
    "Mrs Lindqvist, keep your chin down for me, that is lovely.",
    "Is the coffee ready yet?",
    "Beginners should never hurry here.",
    "Slides can be downloaded from our website after registering.",
    "Did you sleep well last night, sir?",
]
FRAMES_OF_SPEECH = [
    "{}.",
    "So here {}.",
    "And as you can see {}, which is really beautiful.",
    "Okay folks, now watch how {}.",
    "What I want to show you is that {}.",
    "You know, um, {}.",
    "What we are seeing here is that {}.",
]
CAPTION = "Hi all. The injector pushes a folded lens into the bag. Please subscribe."
CLEAN = "The injector pushes a folded lens into the bag."


@pytest.mark.parametrize("number", range(len(OPERATIONS)))
def test_rules_keep_the_operation_and_drop_the_talk(number: int) -> None:
    operation = OPERATIONS[number]
    spoken = operation[0].lower() + operation[1:]
    for turn, frame in enumerate(FRAMES_OF_SPEECH):
        before, after = TALK[(number + turn) % 8], TALK[(number + 3 * turn + 4) % 8]
        refined = refine_by_rules(f"{before} {frame.format(spoken)} {after}")
        assert refined == f"{operation}."


def test_rules_keep_all_sentences_of_an_operation_in_order() -> None:
    caption = (
        "Welcome, dear colleagues! Scissors open the conjunctiva. We always say: no rush. "
        "A needle passes through the scleral flap and the suture is tied. Questions? Ask below."
    )
    assert refine_by_rules(caption) == (
        "Scissors open the conjunctiva. "
        "A needle passes through the scleral flap and the suture is tied."
    )


def test_surgery_in_general_is_no_operation() -> None:
    caption = (
        "Cataract surgery is commonly done in an hour. Remember, the capsule can tear if the "
        "wound is too short. A hook rotates the lens implant in the bag."
    )
    assert refine_by_rules(caption) == "A hook rotates the lens implant in the bag."


def test_a_caption_without_surgery_is_kept_raw_and_marked(tmp_path: Path) -> None:
    raw = "Thanks to everyone who wrote to us last week."
    refined = dict(refine_captions([raw], RulesRefine(), tmp_path))[0]
    assert refined == Refined(text=raw, origin="raw", problem="no sentence names surgery")


def test_words_are_matched_whole_and_in_any_inflection() -> None:
    assert surgical_terms("Suturing, sutures, sutured") == surgical_terms("a suture")
    assert surgical_terms("virus, acute, sincerely") == set()
    assert "keratoprosthoplasty" in surgical_terms("a keratoprosthoplasty follows")
    assert sentences("Dr. Ode cuts. Then?\nDone") == ["Dr. Ode cuts.", "Then?", "Done"]


def test_the_shipped_examples_are_ten_and_bring_in_nothing() -> None:
    assert len(examples()) == 10
    for caption, instruction in examples():
        assert surgical_terms(instruction) <= surgical_terms(caption)
        assert len(instruction) < len(caption)
