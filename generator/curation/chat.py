"""Asking a language model: a journal keeps every answer, so that no question is put twice."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from core.errors import UserError
from generator.curation.journal import Journal
from generator.curation.replies import Reply, reply_from

ANSWERS_NAME = "answers.jsonl"
NO_ANSWER = "the model sent {}"
Message = dict[str, Any]


class Chat(ABC):
    """A model that answers; the answers lie in `folder/answers.jsonl` by (model, prompt hash).

    What is no answer (thoughts alone, no content) is not kept: the model may be started otherwise.
    Safe for use from several threads: of equal questions asked at once, one reaches the model.
    """

    def __init__(self, model: str, max_tokens: int, folder: Path) -> None:
        self.model, self.max_tokens = model, max_tokens
        self._journal = Journal(folder / ANSWERS_NAME)
        kept = {
            record["key"]: reply_from(str(record["answer"]), cut=bool(record.get("cut")))
            for record in self._journal.records
        }
        self._answers = {key: reply for key, reply in kept.items() if not reply.missing}
        self._heard = bool(self._answers)
        self._asked: dict[str, Future[Reply]] = {}
        self._lock = threading.Lock()

    @abstractmethod
    def answer(self, messages: list[Message]) -> Reply:
        """The model's own answer, at temperature 0, of at most `max_tokens` tokens."""

    def ask(self, messages: list[Message]) -> Reply:
        """The model's answer, from the journal if it was given before.

        Raises: what `answer` raises, in every thread that waits for it.
        """
        key = self._key(messages)
        with self._lock:
            if key in self._answers:
                return self._answers[key]
            waiting = self._asked.get(key)
            ours = waiting is None
            future = self._asked.setdefault(key, Future())
        if ours:
            self._put(key, messages, future)
        return future.result()

    def ask_until(
        self, messages: list[Message], problem_of: Callable[[Reply], str | None], tries: int
    ) -> tuple[str | None, str]:
        """Ask up to `tries` times until `problem_of(reply)` is None, telling the model why not.

        Returns: the accepted answer and "", or None and the last problem.
        Raises: UserError: if the model has never given an answer, nor now.
        """
        messages, problem = list(messages), ""
        for _ in range(tries):
            reply = self.ask(messages)
            found = NO_ANSWER.format(reply.missing) if reply.missing else problem_of(reply)
            if found is None:
                return reply.text, ""
            problem = found
            again = f"Rejected: {problem}. Answer again and follow the rules."
            messages += [
                {"role": "assistant", "content": reply.text or "(nothing)"},
                {"role": "user", "content": again},
            ]
        if not self._heard:
            raise UserError(
                f"model {self.model}: {problem}, {tries} times: start it without thinking, or "
                f"raise max_tokens {self.max_tokens}; the same command then goes on"
            )
        return None, problem

    def _put(self, key: str, messages: list[Message], future: Future[Reply]) -> None:
        start = time.monotonic()
        try:
            reply = self.answer(messages)
            seconds = round(time.monotonic() - start, 3)
            if not reply.missing:
                record = {"key": key, "model": self.model, "answer": reply.text, "seconds": seconds}
                self._journal.append(record | ({"cut": True} if reply.cut else {}))
        except BaseException as error:
            with self._lock:
                del self._asked[key]
            future.set_exception(error)
            raise
        with self._lock:
            self._answers[key] = reply
            self._heard = self._heard or not reply.missing
            del self._asked[key]
        future.set_result(reply)

    def _key(self, messages: list[Message]) -> str:
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
