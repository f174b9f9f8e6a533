"""An Ollama: a real HTTP server with the part of its API that finding it and asking it takes.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = "0.12.6"
CONTEXT_TOKENS = 4096
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
WORDS = ("Hello ", "from ", "Ollama.")


@dataclass
class Ollama:
    """`models` may be changed while it serves."""

    port: int
    models: list[str]
    asked: list[str] = field(default_factory=list)
    """Paths, in the order in which they were asked for."""

    usage: dict[str, int] = field(default_factory=USAGE.copy)
    """What it says of each answer."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ollama: Ollama

    def do_GET(self) -> None:
        self.ollama.asked.append(self.path)
        names = self.ollama.models
        said: dict[str, Any] = {
            "/api/version": {"version": VERSION},
            "/api/tags": {"models": [_tag(name) for name in names]},
            "/api/ps": {"models": [{**_tag(name), "context_length": CONTEXT_TOKENS} for name in names[:1]]},
            "/v1/models": {"object": "list", "data": [{"id": name, "object": "model"} for name in names]},
        }
        self._whole(said.get(self.path))

    def do_POST(self) -> None:
        self.ollama.asked.append(self.path)
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions" or asked.get("model") not in self.ollama.models:
            self._whole(None)
        elif asked.get("stream"):
            self._streamed(asked)
        else:
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._whole(_chunk(asked, "chat.completion", choice) | {"usage": self.ollama.usage})

    def _streamed(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for word in WORDS:
            self._event(_delta(asked, {"role": "assistant", "content": word}, None))
        self._event(_delta(asked, {"role": "assistant", "content": ""}, "stop"))
        if (asked.get("stream_options") or {}).get("include_usage"):
            self._event(_delta(asked, None, None) | {"usage": self.ollama.usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _whole(self, value: dict[str, Any] | None) -> None:
        body = json.dumps(value or {"error": {"message": "not found", "type": "not_found_error"}}).encode()
        self.send_response(404 if value is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


def _tag(name: str) -> dict[str, Any]:
    details = {"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
    return {"name": name, "model": name, "digest": f"{len(name):064x}", "size": 2_019_393_189, "details": details}


def _delta(asked: dict[str, Any], delta: dict[str, Any] | None, finish_reason: str | None) -> dict[str, Any]:
    choice = None if delta is None else {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _chunk(asked, "chat.completion.chunk", choice)


def _chunk(asked: dict[str, Any], kind: str, choice: dict[str, Any] | None) -> dict[str, Any]:
    about = {"id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"]}
    return about | {"system_fingerprint": "fp_ollama", "choices": [] if choice is None else [choice]}


@contextmanager
def ollama(*models: str) -> Iterator[Ollama]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made = Ollama(server.server_address[1], list(models))
    server.RequestHandlerClass = type("Handler", (_Handler,), {"ollama": made})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
