"""Any OpenAI-compatible chat endpoint: requests at a limited rate, with back-off."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic
import requests

from core.errors import UserError
from generator.curation.chat import Chat, Message
from generator.curation.replies import Reply, reply_of

KEY_VARIABLE = "OPHORA_LLM_KEY"
A = TypeVar("A")
R = TypeVar("R")


class Endpoint(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where and how to ask. Only `model` and `max_tokens` can change an answer.

    The key, if the server wants one, is read from the environment variable OPHORA_LLM_KEY and
    stored nowhere.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = (
        "base_url",
        "timeout_s",
        "max_attempts",
        "backoff_s",
        "concurrency",
        "requests_per_minute",
    )

    base_url: str = pydantic.Field(pattern=r"^https?://[^\s@?#]+$")
    """Up to and including the version, e.g. http://127.0.0.1:8000/v1."""
    model: str = pydantic.Field(min_length=1)
    """As the server names it."""
    max_tokens: int = pydantic.Field(default=256, ge=1)
    """Of an answer; a longer one is cut off."""
    timeout_s: float = pydantic.Field(default=120.0, gt=0)
    """Longest wait for one answer."""
    max_attempts: int = pydantic.Field(default=6, ge=1)
    """Of a request that fails, before the run ends."""
    backoff_s: float = pydantic.Field(default=1.0, ge=0)
    """Wait after the first failure; it doubles with each further one."""
    concurrency: int = pydantic.Field(default=8, ge=1)
    """Requests at once."""
    requests_per_minute: float | None = pydantic.Field(default=None, gt=0)
    """A limit, spread evenly; null: none."""


class _Bearer(requests.auth.AuthBase):
    # As `auth`, not as a header: requests would let a ~/.netrc entry replace the header.
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _Retry(Exception):
    """The request may succeed later; `wait_s` is what the server asked for, if it did."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Pace:
    """Lets callers pass `per_minute` times a minute, evenly, whichever thread they are in."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            due = max(now, self._next)
            self._next = due + self._gap_s
        time.sleep(due - now)


class EndpointChat(Chat):
    """Asks an endpoint, again and more slowly if it fails."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        super().__init__(endpoint.model, endpoint.max_tokens, folder)
        self.endpoint = endpoint
        self._pace = _Pace(endpoint.requests_per_minute)
        self._local = threading.local()

    def answer(self, messages: list[Message]) -> Reply:
        """Raises: UserError: if the server refuses, or fails `max_attempts` times in a row."""
        return self._request(
            {
                "model": self.model,
                "messages": messages,
                "temperature": 0,
                "max_tokens": self.max_tokens,
            }
        )

    def _request(self, body: dict[str, Any]) -> Reply:
        for attempt in range(1, self.endpoint.max_attempts + 1):
            try:
                return self._post(body)
            except _Retry as error:
                if attempt == self.endpoint.max_attempts:
                    reason = str(error)
                    break
                time.sleep(max(self.endpoint.backoff_s * 2 ** (attempt - 1), error.wait_s or 0.0))
        raise UserError(
            f"base_url {self.endpoint.base_url}: no answer after {self.endpoint.max_attempts} "
            f"attempts ({reason}): start the server and run the same command again"
        )

    def _post(self, body: dict[str, Any]) -> Reply:
        self._pace.wait()
        key = os.environ.get(KEY_VARIABLE)
        url = self.endpoint.base_url.rstrip("/") + "/chat/completions"
        try:
            response = self._session().post(
                url,
                json=body,
                auth=_Bearer(key) if key else None,
                timeout=self.endpoint.timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _Retry(type(error).__name__) from None
        if response.status_code == 429 or response.status_code >= 500:
            raise _Retry(f"HTTP {response.status_code}", _retry_after(response))
        if response.status_code in (401, 403):
            raise UserError(
                f"base_url {self.endpoint.base_url}: HTTP {response.status_code}: put a valid key "
                f"into the environment variable {KEY_VARIABLE}"
            )
        if response.status_code != 200:
            raise UserError(
                f"base_url {self.endpoint.base_url}: HTTP {response.status_code}: check base_url "
                f"and model {self.endpoint.model!r}"
            )
        try:
            choice = response.json()["choices"][0]
            return reply_of(dict(choice["message"]), choice.get("finish_reason"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise _Retry("an answer that is no chat completion") from None

    def _session(self) -> Any:
        # One connection a thread: a requests session is not made for sharing.
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        return self._local.session


def _retry_after(response: Any) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), 300.0) if value.isdigit() else None


def map_in_threads(
    function: Callable[[A], R], items: Iterable[A], threads: int
) -> Iterator[tuple[A, R]]:
    """Apply `function` to every item in threads (it waits for the network), yielding when done.

    Items are drawn as threads get free, so that memory does not grow with their number. The first
    failure cancels what has not begun and is raised.
    """
    waiting: dict[Future[R], A] = {}
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for item in islice(source, 2 * threads - len(waiting)):
                    waiting[pool.submit(function, item)] = item
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
