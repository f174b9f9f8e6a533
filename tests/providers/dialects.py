"""What vendors say, one class for each adapter: the contract of adapters is tested against it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import orjson

from demo.answers import Reply


class Dialect(ABC):
    """What a vendor says. All in bytes as they come over the wire."""

    @abstractmethod
    def whole(self, reply: Reply) -> bytes: ...

    @abstractmethod
    def stream(self, reply: Reply) -> bytes: ...

    @abstractmethod
    def refusal(self, message: str) -> bytes: ...

    @abstractmethod
    def without_usage(self, whole: bytes) -> bytes: ...

    @abstractmethod
    def model_asked(self, sent: dict[str, Any]) -> str: ...


class OpenAIDialect(Dialect):
    def whole(self, reply: Reply) -> bytes:
        return orjson.dumps(reply.body)

    def stream(self, reply: Reply) -> bytes:
        events = [b"data: " + orjson.dumps(event.chunk) + b"\n\n" for event in reply.events]
        return b"".join([*events, b"data: [DONE]\n\n"])

    def refusal(self, message: str) -> bytes:
        return orjson.dumps(
            {"error": {"message": message, "type": "invalid_request_error", "param": "n", "code": "x"}}
        )

    def without_usage(self, whole: bytes) -> bytes:
        return orjson.dumps({name: value for name, value in orjson.loads(whole).items() if name != "usage"})

    def model_asked(self, sent: dict[str, Any]) -> str:
        return str(sent["model"])


DIALECTS: dict[str, Dialect] = {"openai": OpenAIDialect()}
