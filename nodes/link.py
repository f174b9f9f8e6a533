"""A node's live connection: requests go down it as streams, answers come up, in the step of the loop that read them.

    wire ── message ──▶ Session ── event ──▶ Answer ──▶ its follower
    request ──▶ Session ── messages ──▶ wire

A node that breaks the protocol loses its connection and the streams on it; nobody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from time import monotonic
from typing import Any, Protocol

import orjson

from nodes.answer import Answer
from nodes.fleet import MOST_WAITING_PER_SLOT
from nodes.outbox import Outbox
from nodes.precedence import Job, giving_way
from nodes.wire import RESTART, VIOLATION, Wire
from providers.failures import Kind, UpstreamFailure
from shareai_node.tunnel.errors import CannotOpen, Code, ProtocolViolation
from shareai_node.tunnel.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    HeadReceived,
    ResetReceived,
    RoomGained,
    SettingsReceived,
)
from shareai_node.tunnel.line import Line
from shareai_node.tunnel.session import MAX_STREAMS, Role, Session

MOST_SETTINGS_AT_ONCE = 60
SETTINGS_PER_S = 5.0

_BEFORE_THE_HEAD = {
    Code.REFUSED_STREAM: Kind.BUSY,
    Code.LOCAL_UNREACHABLE: Kind.CONNECT,
    Code.LOCAL_TIMEOUT: Kind.FIRST_BYTE_TIMEOUT,
    Code.NOT_ALLOWED: Kind.REFUSED_EGRESS,
}
"""What a reset means to whoever asked; any other, and any after the head, is a lost connection."""


class Host(Protocol):
    """Who keeps the links of a process."""

    def settings_came(self, link: Link, settings: Mapping[str, Any]) -> None: ...

    def load_changed(self, link: Link) -> None: ...

    def link_lost(self, link: Link) -> None: ...


class Link:
    """Args: node: its public id. generation: of this connection, the newest wins."""

    __slots__ = (
        "_answers",
        "_closes_when_done",
        "_host",
        "_is_lost",
        "_line",
        "_out",
        "_session",
        "_settings_left",
        "_settings_since",
        "_wire",
        "generation",
        "guests_in_flight",
        "heard_at",
        "is_leaving",
        "node",
    )

    def __init__(self, node: str, generation: int, wire: Wire, host: Host) -> None:
        self.node = node
        self.generation = generation
        self.heard_at = self._settings_since = monotonic()
        self.guests_in_flight = 0
        self.is_leaving = False
        self._settings_left = float(MOST_SETTINGS_AT_ONCE)
        self._session = Session(Role.CONSOLE)
        self._answers: dict[int, Answer] = {}
        self._line = Line(MAX_STREAMS)
        self._wire = wire
        self._out = Outbox(self._session, wire)
        self._host = host
        self._closes_when_done = False
        self._is_lost = False

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def can_open(self) -> bool:
        """Whether one more request can go down this connection now."""
        return self._session.can_open

    @property
    def in_flight(self) -> int:
        """All that the node is to answer, also what waits here for a slot."""
        return len(self._answers) + len(self._line)

    async def ask(
        self,
        head: bytes,
        body: bytes,
        *,
        guest: bool = False,
        slots: int = MAX_STREAMS,
        waits_s: float | None = None,
    ) -> Answer:
        """Sends a request, as soon as the node has a slot for it, and waits for the head of its answer.

        Args:
            head: as `head_of` makes it.
            guest: it is not of the node's owner, whose requests go first; it does not wait for a slot.
            slots: how many the node serves at a time.
            waits_s: for a slot, at most.

        Raises: UpstreamFailure.
        """
        if len(self._answers) >= slots or self._line:
            await self._wait_for_slot(guest, slots, waits_s)
        answer = self._open(head, body, guest)
        try:
            if len(body) <= self._session.room(answer.stream):
                self._session.send_data(answer.stream, body, ended=True)
                self._out.send_soon()
            else:
                await self._feed(answer, body)
            await answer.wait_for_head()
        except BaseException:
            answer.close()
            raise
        return answer

    def _open(self, head: bytes, body: bytes, guest: bool) -> Answer:
        try:
            stream = self._session.open(head)
        except CannotOpen as error:
            raise _busy() from error
        except ValueError as error:
            self._line.call(len(self._answers))
            raise UpstreamFailure(Kind.TOO_LARGE, "more headers than a machine takes") from error
        answer = self._answers[stream] = Answer(self, stream, guest)
        self.guests_in_flight += guest
        self._host.load_changed(self)
        return answer

    async def _wait_for_slot(self, guest: bool, slots: int, waits_s: float | None) -> None:
        if guest or self.is_leaving:
            raise _busy()
        line = self._line
        line.places = slots
        if self.guests_in_flight:
            self._make_room(slots)
        if len(line) >= slots * MOST_WAITING_PER_SLOT:
            raise _busy()
        self._host.load_changed(self)
        try:
            await line.wait(len(self._answers), waits_s)
        except BaseException as error:
            line.call(len(self._answers))
            self._host.load_changed(self)
            if isinstance(error, TimeoutError):
                raise UpstreamFailure(Kind.WAITED, "the machine was busy for too long") from error
            raise

    def _make_room(self, slots: int) -> None:
        jobs = [Job(one.stream, one.guest, one.started, one.status != 0) for one in self._answers.values()]
        if (stream := giving_way(jobs, slots)) is not None:
            answer = self._answers[stream]
            kind = Kind.INTERRUPTED if answer.status else Kind.RATE_LIMITED
            self._spoil(answer, UpstreamFailure(kind, "the machine went on with its owner's request"))

    async def _feed(self, answer: Answer, body: bytes) -> None:
        """Sends a body larger than the stream's credit, until it is all gone or the answer is there without it."""
        place, size = 0, len(body)
        while place < size and not answer.is_over:
            piece = body[place : place + self._session.room(answer.stream)]
            if piece:
                place += len(piece)
                self._session.send_data(answer.stream, piece, ended=place == size)
                self._out.send_soon()
            else:
                await answer.stirs()

    def send_settings(self, settings: Mapping[str, Any]) -> None:
        self._session.send_settings(orjson.dumps(settings))
        self._out.send()

    def ping(self) -> None:
        self._session.ping()
        self._out.send()

    def go_away(self, reason: str) -> None:
        """Nothing new; the connection is closed when what is open has ended."""
        if not self._closes_when_done:
            self.is_leaving = self._closes_when_done = True
            self._session.go_away(Code.NO_ERROR, reason)
            self._line.disperse(_busy())
            self._host.load_changed(self)
            self._out.send()
            self._close_if_done()

    def close(self, code: int, reason: str) -> None:
        self._wire.close(code, reason)
        self.lost()

    # ── what a carrier of answers does ──────────────────────────────────────────────────────────────────────

    def has_taken(self, stream: int, size: int) -> None:
        self._session.consumed(stream, size)
        self._out.send_soon()

    def let_go(self, answer: Answer) -> None:
        if self._forget(answer.stream) is not None:
            self._session.reset(answer.stream, Code.CANCEL)
            self._out.send_soon()
            self._close_if_done()

    # ── what the wire tells ─────────────────────────────────────────────────────────────────────────────────

    def message(self, message: bytes) -> None:
        self.heard_at = monotonic()
        try:
            event = self._session.receive(message)
        except ProtocolViolation as violation:
            self._break_off(violation.reason)
            return
        if event is not None:
            self._react(event)
        self._out.send_soon()
        if self._closes_when_done:
            self._close_if_done()

    def writable(self) -> None:
        self._out.send()

    def server_stops(self) -> None:
        self.go_away("restart")

    def lost(self) -> None:
        if self._is_lost:
            return
        self._is_lost = self.is_leaving = True
        self._session.close()
        self._line.disperse(_busy())
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.end(UpstreamFailure(Kind.RESET, "the connection to the machine was lost"))
        self._host.link_lost(self)

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _react(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._body_came(event)
        elif isinstance(event, HeadReceived):
            self._head_came(event)
        elif isinstance(event, SettingsReceived):
            self._settings_came(event.payload)
        elif isinstance(event, ResetReceived):
            self._reset_came(event)
        elif isinstance(event, RoomGained):
            if (answer := self._answers.get(event.stream)) is not None:
                answer.stir()
        elif isinstance(event, GoAwayReceived):
            self._go_away_came(event)

    def _body_came(self, event: DataReceived) -> None:
        stream, data, ended = event
        answer = self._answers[stream]
        try:
            if data:
                answer.body(data)
        except UpstreamFailure as failure:
            self._spoil(answer, failure)
            return
        if ended:
            self._complete(answer)

    def _head_came(self, event: HeadReceived) -> None:
        stream, payload, ended = event
        answer = self._answers[stream]
        try:
            answer.head(payload)
        except UpstreamFailure as failure:
            self._spoil(answer, failure)
            return
        if ended:
            self._complete(answer)

    def _complete(self, answer: Answer) -> None:
        if self._forget(answer.stream) is not None:
            # Nobody needs the rest of a request that is answered.
            self._session.reset(answer.stream, Code.NO_ERROR)
            answer.end()

    def _spoil(self, answer: Answer, failure: UpstreamFailure) -> None:
        answer.end(failure)
        self.let_go(answer)

    def _reset_came(self, event: ResetReceived) -> None:
        if (answer := self._forget(event.stream)) is not None:
            kind = Kind.RESET if answer.status else _BEFORE_THE_HEAD.get(event.code, Kind.RESET)
            answer.end(UpstreamFailure(kind, f"the machine says {event.code.name.lower()}"))

    def _go_away_came(self, event: GoAwayReceived) -> None:
        self.is_leaving = True
        for stream in event.refused:
            if (answer := self._forget(stream)) is not None:
                answer.end(_busy())
        self._line.disperse(_busy())
        self._host.load_changed(self)

    def _settings_came(self, payload: bytes) -> None:
        self._settings_left += (self.heard_at - self._settings_since) * SETTINGS_PER_S
        self._settings_left = min(self._settings_left, MOST_SETTINGS_AT_ONCE) - 1
        self._settings_since = self.heard_at
        if self._settings_left < 0:
            self._break_off("it talks of itself without end")
            return
        try:
            settings = orjson.loads(payload)
        except orjson.JSONDecodeError:
            settings = None
        if not isinstance(settings, dict):
            self._break_off("settings that are no JSON object")
            return
        self._host.settings_came(self, settings)

    def _break_off(self, reason: str) -> None:
        """The session may have last words."""
        self._out.send_last_words()
        self.close(VIOLATION, reason)

    def _forget(self, stream: int) -> Answer | None:
        answer = self._answers.pop(stream, None)
        if answer is not None:
            self.guests_in_flight -= answer.guest
            if self._line:
                self._line.call(len(self._answers))
            self._host.load_changed(self)
        return answer

    def _close_if_done(self) -> None:
        if self._closes_when_done and not self._answers and not self._is_lost:
            self._out.send()
            self.close(RESTART, "restart")


def _busy() -> UpstreamFailure:
    return UpstreamFailure(Kind.BUSY, "the machine takes no more requests now")


@lru_cache(maxsize=1024)
def head_of(path: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """What a machine is told of a request before its body."""
    return orjson.dumps({"method": "POST", "path": path, "headers": dict(headers)})
