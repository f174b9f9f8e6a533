"""How `status`, `pause`, `drain` and the like speak to the running agent.

    verb ──▶ {"token", "verb", …} one line ──▶ agent
         ◀── {"ok": …} or {"error": …} one line ◀──

On loopback, at a port that the agent finds free; the port and a token stand in a file that only the owner can read.
It is the same on every system. Nothing else on the machine can say the token, so no web page and no other user gets
an answer.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from shareai_node import __version__
from shareai_node.errors import AgentError, NotRunning
from shareai_node.files import read_object, write_json

_HOST = "127.0.0.1"
_LONGEST_LINE = 1 << 20
_LONGEST_QUESTION = 4096
_QUESTION_WITHIN_S = 5.0

Question = dict[str, Any]
Answerer = Callable[[Question], Awaitable[dict[str, Any]]]


class Control:
    """The agent's end.

    Args:
        answer: is given what was asked, without the token; what it raises as an AgentError is told to the asker.
    """

    def __init__(self, path: Path, answer: Answerer) -> None:
        self._path = path
        self._answer = answer
        self._token = secrets.token_urlsafe(32)
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, _HOST, 0, limit=_LONGEST_QUESTION)
        port = self._server.sockets[0].getsockname()[1]
        about = {"port": port, "token": self._token, "pid": os.getpid(), "version": __version__}
        write_json(self._path, about)

    async def stop(self) -> None:
        """Removes the file, unless a later agent has written its own."""
        if self._server is None:
            return
        self._server.close()
        for conversation in list(self._conversations):
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        about = read_object(self._path)
        if about is not None and about.get("token") == self._token:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            said = await self._said(reader)
            if said is not None:
                writer.write(json.dumps(said).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _said(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        """None for somebody who does not know the token: a stranger gets no answer at all."""
        try:
            question = json.loads(await asyncio.wait_for(reader.readline(), _QUESTION_WITHIN_S))
        except (ValueError, TimeoutError):
            return None
        if not isinstance(question, dict) or not self._knows(question.pop("token", None)):
            return None
        try:
            return {"ok": await self._answer(question)}
        except AgentError as error:
            return {"error": str(error)}

    def _knows(self, token: object) -> bool:
        return isinstance(token, str) and hmac.compare_digest(token.encode(), self._token.encode())


def find_running(path: Path) -> dict[str, Any] | None:
    """What the running agent says of itself; None if none runs."""
    try:
        return ask(path, "status", timeout_s=5)
    except NotRunning:
        return None


def ask(path: Path, verb: str, *, timeout_s: float = 10, **details: object) -> dict[str, Any]:
    """Asks the running agent.

    Raises: NotRunning; AgentError: it runs, and says why it cannot do it.
    """
    about = read_object(path)
    if about is None or not isinstance(about.get("port"), int):
        raise _not_running()
    try:
        said = _conversation(about["port"], {"token": about.get("token"), "verb": verb, **details}, timeout_s)
    except TimeoutError:
        raise AgentError("The agent runs and did not answer in time. Look at: shareai-node logs") from None
    except (OSError, ValueError):
        raise _not_running() from None
    if "error" in said:
        raise AgentError(str(said["error"]))
    answer = said.get("ok")
    return answer if isinstance(answer, dict) else {}


def _conversation(port: int, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Raises: ValueError: somebody else listens there now; OSError."""
    with socket.create_connection((_HOST, port), timeout=timeout_s) as connection:
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("rb") as file:
            said = json.loads(file.readline(_LONGEST_LINE))
    if not isinstance(said, dict):
        raise ValueError("not an agent's answer")
    return said


def _not_running() -> NotRunning:
    return NotRunning("The agent does not run. Start it with: shareai-node run (or: shareai-node service install)")
