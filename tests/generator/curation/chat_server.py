"""A real HTTP server on the loopback interface that speaks the chat part of OpenAI's API."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | int | bytes | float | None


class ChatServer:
    """Answers each request with what `script(body, number)` gives: text, a status, or bytes; a
    float is a silence of so many seconds, None a connection that is cut."""

    def __init__(self, script: Callable[[dict[str, Any], int], Reply]) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.bodies.append(body)
                    server.headers.append(dict(self.headers))
                    number = len(server.bodies)
                reply = server.script(body, number)
                if isinstance(reply, float):
                    time.sleep(reply)
                if reply is None or isinstance(reply, float):
                    self.close_connection = True
                    return
                if isinstance(reply, str):
                    message = {"role": "assistant", "content": reply}
                    reply = json.dumps({"choices": [{"message": message}]}).encode()
                status, data = (reply, b"{}") if isinstance(reply, int) else (200, reply)
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
