"""A model server whose answers are as long as it is told, for what is too large to be written down beforehand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "talkative"
PIECE = "abcdefghij" * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pieces = 1024

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
        self._whole(200 if self.path == "/v1/models" else 404, listed)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        count = self.pieces if asked["messages"][-1]["content"] == "Tell me all" else 1
        if not asked.get("stream"):
            message = {"role": "assistant", "content": PIECE * count}
            self._whole(200, _answer({"message": message, "finish_reason": "stop"}) | {"usage": _usage(count)})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for _ in range(count):
            self._event(_answer({"delta": {"content": PIECE}, "finish_reason": None}))
        self._event(_answer({"delta": {}, "finish_reason": "stop"}) | {"usage": _usage(count)})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _whole(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


def _answer(choice: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [choice | _FIRST],
    }


_FIRST = {"index": 0}


def _usage(count: int) -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}


@contextmanager
def talkative() -> Iterator[str]:
    """Its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
