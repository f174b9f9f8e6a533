"""What all have in common that follow a chat's stream for somebody who speaks another API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from common.errors import BadUpstreamResponse
from common.sse import SSEDecoder
from routing.chats import Choice, Usage, read

_DONE = b"[DONE]"


class ChatEvents(ABC):
    """`feed` turns what a chat's stream says into what the other API says; how, is for each to say."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._has_begun = False
        self._is_over = False

    def feed(self, chunk: bytes) -> bytes:
        said: list[bytes] = []
        for _, data in self._decoder.feed_raw(chunk):
            if data is not None and not self._is_over:
                self._take(data, said)
        return b"".join(said)

    def _take(self, data: bytes, said: list[bytes]) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._start(said)
        if data.strip() == _DONE:
            self._is_over = True
            self._complete(said)
            return
        try:
            chunk = read(data)
        except BadUpstreamResponse as error:
            self._break_off(error.body()["error"], said)
            return
        if chunk.shareai is not None:
            self._note_trace(chunk.shareai)
        if chunk.error:
            self._break_off(chunk.error, said)
            return
        self._usage = chunk.usage or self._usage
        if chunk.choice is not None:
            self._finish_reason = chunk.choice.finish_reason or self._finish_reason
            self._hear(chunk.choice, said)

    def _break_off(self, error: Any, said: list[bytes]) -> None:
        self._is_over = True
        self._fail(error, said)

    @abstractmethod
    def _start(self, said: list[bytes]) -> None:
        """Before anything else is said."""

    @abstractmethod
    def _note_trace(self, trace: Any) -> None:
        """How the request was routed, for who asked for that."""

    @abstractmethod
    def _hear(self, choice: Choice, said: list[bytes]) -> None:
        """A piece of the answer."""

    @abstractmethod
    def _complete(self, said: list[bytes]) -> None:
        """The chat has come to its end."""

    @abstractmethod
    def _fail(self, error: Any, said: list[bytes]) -> None:
        """It broke off. Args: error: as the chat told it."""
