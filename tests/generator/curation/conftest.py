"""Fixtures of curation: a corpus on disk, and chat servers that stop with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.video import Frames, write_video
from tests.generator.curation.chat_server import ChatServer, Reply


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder in the published form from {clip id: (frames, caption)}; None = no file."""

    def write(clips: dict[str, tuple[Frames | None, str]], column: str = "caption") -> Path:
        root = tmp_path / "corpus"
        lines = [f"clip id,{column}"]
        for clip_id, (frames, caption) in clips.items():
            quoted = caption.replace('"', '""')
            lines.append(f'{clip_id},"{quoted}"')
            if frames is not None:
                write_video(root / "clips" / f"{clip_id}.mp4", frames)
        text = "\r\n".join(lines) + "\r\n"
        (root / "clips.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
        return root

    return write


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    """Start servers on the loopback interface; they stop with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers: list[ChatServer] = []

    def start(script: Callable[[dict[str, Any], int], Reply]) -> ChatServer:
        servers.append(ChatServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
