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

from generator.curation.journal import Journal

ANSWERS_NAME = "answers.jsonl"
Message = dict[str, Any]


class Chat(ABC):
    """A model that answers; the answers lie in `folder/answers.jsonl` by (model, prompt hash).

    Safe for use from several threads: of equal questions asked at once, one reaches the model.
    """

    def __init__(self, model: str, max_tokens: int, folder: Path) -> None:
        self.model, self.max_tokens = model, max_tokens
        self._journal = Journal(folder / ANSWERS_NAME)
        self._answers = {record["key"]: str(record["answer"]) for record in self._journal.records}
        self._asked: dict[str, Future[str]] = {}
        self._lock = threading.Lock()

    @abstractmethod
    def answer(self, messages: list[Message]) -> str:
        """The model's own answer, at temperature 0, of at most `max_tokens` tokens."""

    def ask(self, messages: list[Message]) -> str:
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
        self, messages: list[Message], problem_of: Callable[[str], str | None], tries: int
    ) -> tuple[str | None, str]:
        """Ask up to `tries` times until `problem_of(answer)` is None, telling the model why not.

        Returns: the accepted answer and "", or None and the last problem.
        """
        messages, problem = list(messages), ""
        for _ in range(tries):
            answer = self.ask(messages)
            found = problem_of(answer)
            if found is None:
                return answer, ""
            problem = found
            again = f"Rejected: {problem}. Answer again and follow the rules."
            messages += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": again},
            ]
        return None, problem

    def _put(self, key: str, messages: list[Message], future: Future[str]) -> None:
        start = time.monotonic()
        try:
            answer = self.answer(messages)
            seconds = round(time.monotonic() - start, 3)
            self._journal.append(
                {"key": key, "model": self.model, "answer": answer, "seconds": seconds}
            )
        except BaseException as error:
            with self._lock:
                del self._asked[key]
            future.set_exception(error)
            raise
        with self._lock:
            self._answers[key] = answer
            del self._asked[key]
        future.set_result(answer)

    def _key(self, messages: list[Message]) -> str:
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
