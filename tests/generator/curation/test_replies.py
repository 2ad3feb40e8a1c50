"""What chat models send: thoughts, parts, Markdown, nothing at all, answers that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from generator.curation.chat import ANSWERS_NAME
from generator.curation.endpoint import Endpoint, EndpointChat
from generator.curation.journal import Journal
from generator.curation.privacy import UNCLEAR, OpenAIPrivacy, Sighting, ask_about
from generator.curation.refine import (
    OpenAIRefine,
    Refined,
    examples,
    problem_of,
    refine_captions,
)
from generator.curation.replies import THOUGHTS_ALONE, Reply, reply_from, reply_of
from tests.generator.curation.chat_server import ChatServer
from tests.generator.curation.chat_server import Reply as Sent

CAPTION = "Hi all. The forceps tear the anterior capsule in a circle. Please subscribe."
CLEAN = "The forceps tear the anterior capsule in a circle."
THOUGHT = "Okay, the greeting goes.\n\nYes or no? Hmm, the lens moves."


def completion(message: dict[str, Any], finish: str = "stop") -> bytes:
    """The body of a chat completion."""
    return json.dumps({"choices": [{"finish_reason": finish, "message": message}]}).encode()


def endpoint_of(server: ChatServer) -> Endpoint:
    return Endpoint(base_url=server.base_url, model="m", backoff_s=0.01, timeout_s=2.0)


def refine(server: ChatServer, folder: Path, *captions: str) -> dict[int, Refined]:
    settings = OpenAIRefine(endpoint=endpoint_of(server))
    folder.mkdir(exist_ok=True)
    return dict(refine_captions(captions or [CAPTION], settings, folder))


def look(server: ChatServer, folder: Path) -> Sighting | None:
    settings = OpenAIPrivacy(endpoint=endpoint_of(server))
    folder.mkdir(exist_ok=True)
    frame = np.zeros((48, 64, 3), np.uint8)
    return ask_about(frame, settings, EndpointChat(settings.endpoint, folder))


WRAPPED = {
    "thoughts": "<think>\n{thought}\n</think>\n\n{answer}",
    "thoughts opened by the template": "{thought}\n</think>\n\n{answer}",
    "empty thoughts": "<think>\n\n</think>\n\n{answer}",
    "thoughts in thoughts": "<think>a<think>{thought}</think>b</think>{answer}",
    "other names": "<thinking>{thought}</thinking><answer>{answer}</answer>",
    "Magistral": "[THINK]{thought}[/THINK]{answer}",
    "Kimi": "◁think▷{thought}◁/think▷{answer}",
    "Seed-OSS": "<seed:think>{thought}</seed:think>{answer}",
    "MedGemma": "<unused94>thought\n{thought}<unused95>{answer}",
    "gpt-oss": "<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant"
    "<|channel|>final<|message|>{answer}<|return|>",
    "gpt-oss, marks skipped": "analysisWe look. {thought}assistantfinal{answer}",
    "bold": "**{answer}**",
    "fence": "```text\n{answer}\n```",
    "fence in talk": "Sure, here is the instruction:\n\n```\n{answer}\n```\nLet me know!",
    "opening": "Certainly! Here's the rewritten instruction:\n\n> {answer}",
    "label": "**Answer:** {answer}",
    "quotes": 'Here is the answer:\n"{answer}"',
    "polite": "Sure. {answer}",
    "heading": "### {answer}",
}


@pytest.mark.parametrize("style", WRAPPED)
def test_an_answer_is_found_in_what_stands_around_it(
    tmp_path: Path, chat_server: Callable[..., ChatServer], style: str
) -> None:
    def script(body: dict[str, Any], number: int) -> str:
        seen = isinstance(body["messages"][-1]["content"], list)
        return WRAPPED[style].format(thought=THOUGHT, answer="No" if seen else CLEAN)

    server = chat_server(script)
    assert refine(server, tmp_path / "a")[0] == Refined(text=CLEAN, origin="llm")
    assert look(server, tmp_path / "b") is None
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"content": CLEAN, "reasoning_content": THOUGHT},
        {"content": CLEAN, "reasoning": THOUGHT},
        {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": CLEAN}]},
    ],
)
def test_thoughts_beside_the_answer_are_left_alone(message: dict[str, Any]) -> None:
    assert reply_of(message, "stop") == Reply(text=CLEAN)


def test_ordinary_answers_stay_as_they_are() -> None:
    for text in (
        CLEAN,
        "Two steps: the I/A tip strips cortex; a 2.2*1 mm wound is made.",
        "Here the hook turns the lens.",
        "Analysis of the wound_edge: no leak.",
        "",
    ):
        assert reply_from(text) == Reply(text=text)
    for caption, instruction in examples():
        assert problem_of(reply_from(" ".join(instruction.split())), caption, 80) is None


SILENT: dict[str, Sent] = {
    "null beside thoughts": completion({"content": None, "reasoning_content": THOUGHT}),
    "empty beside thoughts": completion({"content": "", "reasoning": THOUGHT}),
    "no content": completion({"role": "assistant"}, "length"),
    "empty at the limit": completion({"content": ""}, "length"),
    "open thoughts": completion({"content": f"<think>{THOUGHT}"}, "length"),
    "null": completion({"content": None, "refusal": "no"}, "content_filter"),
}


@pytest.mark.parametrize("kind", SILENT)
def test_a_model_that_never_answers_stops_the_run_with_the_cure(
    tmp_path: Path, chat_server: Callable[..., ChatServer], kind: str
) -> None:
    server = chat_server(lambda body, number: SILENT[kind])
    cure = r"model m: the model sent .*: start it without thinking, or raise max_tokens 256"
    for ask in (refine, look):
        with pytest.raises(UserError, match=cure) as error:
            ask(server, tmp_path)
        assert "\n" not in str(error.value)
    assert not Journal(tmp_path / ANSWERS_NAME).records
    server.script = lambda body, number: CLEAN  # started anew, without thoughts
    assert refine(server, tmp_path)[0] == Refined(text=CLEAN, origin="llm")


def test_one_silence_among_answers_marks_one_caption_and_is_said(
    tmp_path: Path, chat_server: Callable[..., ChatServer], caplog: pytest.LogCaptureFixture
) -> None:
    def script(body: dict[str, Any], number: int) -> Sent:
        silent = "Part 1" in json.dumps(body)
        return SILENT["null beside thoughts"] if silent else CLEAN

    server = chat_server(script)
    refine(server, tmp_path, CAPTION)
    captions = [f"{CAPTION} Part {number}." for number in range(3)]
    refined = refine(server, tmp_path, *captions)
    assert [refined[number].origin for number in range(3)] == ["llm", "raw", "llm"]
    assert refined[1].problem == f"the model sent {THOUGHTS_ALONE}"
    assert "captions: 1 of 3 stay as narrated, 1 because the model sent" in caplog.text


@pytest.mark.parametrize(
    ("content", "finish", "problem"),
    [
        (CLEAN.removesuffix(" circle."), "length", "cut off: it has more tokens than max_tokens"),
        (THOUGHT, "stop", "not the instruction alone: 'Okay'"),
        (f"{CLEAN} Let me know if the capsule is meant.", "stop", "alone: 'Let me'"),
        ("I'm sorry, I can't help with the capsule.", "stop", 'alone: "I\'m"'),
        (f"{CLEAN} Note: the greeting is gone.", "stop", "alone: 'Note:'"),
        (f'{{"instruction": "{CLEAN}"}}', "stop", "alone: '{'"),
        ("N/A", "stop", "names nothing of the operation"),
        ("The surgeon operates.", "stop", "names nothing of the operation"),
    ],
)
def test_what_is_no_instruction_is_asked_again_and_never_taken(
    tmp_path: Path,
    chat_server: Callable[..., ChatServer],
    content: str,
    finish: str,
    problem: str,
) -> None:
    bad = completion({"content": content}, finish)
    server = chat_server(lambda body, number: bad if number == 1 else CLEAN)
    assert refine(server, tmp_path / "mended")[0] == Refined(text=CLEAN, origin="llm")
    assert problem in server.bodies[1]["messages"][-1]["content"]
    server.script = lambda body, number: bad
    refined = refine(server, tmp_path / "raw")[0]
    assert (refined.origin, refined.text) == ("raw", CAPTION) and problem in refined.problem


def test_a_frame_is_clean_only_by_a_no(
    tmp_path: Path, chat_server: Callable[..., ChatServer]
) -> None:
    for number, (answer, reason) in enumerate(
        {"I see nothing": UNCLEAR, "Answer: yes.": "text", "<think>No</think>Yes": "text"}.items()
    ):
        server = chat_server(lambda body, number, answer=answer: answer)
        sighting = look(server, tmp_path / str(number))
        assert sighting is not None and sighting.reason == reason


def test_what_was_kept_with_its_thoughts_is_read_without_them(
    tmp_path: Path, chat_server: Callable[..., ChatServer]
) -> None:
    server = chat_server(lambda body, number: CLEAN)
    refine(server, tmp_path)
    record = Journal(tmp_path / ANSWERS_NAME).records[0]
    kept = json.dumps(record | {"answer": f"<think>{THOUGHT}</think>{CLEAN}"}) + "\n"
    (tmp_path / ANSWERS_NAME).write_text(kept)
    assert refine(server, tmp_path)[0].text == CLEAN
    assert len(server.bodies) == 1
    (tmp_path / ANSWERS_NAME).write_text(kept.replace("</think>", ""))
    assert refine(server, tmp_path)[0].text == CLEAN
    assert len(server.bodies) == 2  # thoughts alone are no answer
