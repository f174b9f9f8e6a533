"""A server of embeddings whose vectors are known: of each text, how often each of a few words is in it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("capital", "france", "spain", "weather", "paris", "tell", "what", "please")


def vector_of(text: str) -> list[float]:
    asked = text.lower().replace("?", " ").replace("'s", " ").split()
    return [0.01, *(float(asked.count(word)) for word in WORDS)]


class EmbeddingServer:
    """`with EmbeddingServer() as server`. Set `status` to refuse, `body` to say something else."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = None
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked.append(sent["input"])
                data = [{"object": "embedding", "index": 0, "embedding": vector_of(sent["input"])}]
                usage = {"prompt_tokens": 7, "total_tokens": 7}
                said = {"object": "list", "data": data, "model": sent["model"], "usage": usage}
                body = json.dumps(said if server.body is None else server.body).encode()
                self.send_response(server.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on the terminal."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> EmbeddingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
