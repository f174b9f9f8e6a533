"""The state of one connection, as one of its ends sees it.

    message ──▶ receive ──▶ event or nothing                        what the other end did
    open, send_head, send_data, reset, … ──▶ take ──▶ message       what to tell the other end, in this order

After each call there may be messages to `take`. Taking one at a time, whenever the socket can have it, keeps the
streams fair: a turn is one frame, so a long answer delays a short one by one frame.

Data is bounded twice. A stream's credit comes back when its reader has dealt with its bytes (`consumed`), so a
reader who stops holds up its own stream and no other. The connection's credit comes back on receipt, so it bounds
what is under way; were it to wait for readers as well, a few who stopped would hold up all.

A stream that this end has reset may still get what the other end sent before it heard of that. Such late frames
are dropped until the other end has answered a PING sent after the reset: it has heard by then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import ClassVar

from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import CannotOpen, Code, CreditExceeded, ProtocolViolation, StreamGone
from shareai_node.tunnel.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    HeadReceived,
    PongReceived,
    ResetReceived,
    RoomGained,
    SettingsReceived,
)
from shareai_node.tunnel.resets import Resets
from shareai_node.tunnel.stream import Stream
from shareai_node.tunnel.turns import Turns
from shareai_node.tunnel.window import CONNECTION_WINDOW_BYTES, ReceiveWindow

MAX_STREAMS = 256
MAX_WAITING_MESSAGES = 4096
"""Data apart. The other end cannot make this one answer without bound while it reads nothing."""


class Role(Enum):
    CONSOLE = "console"
    """Opens streams."""

    NODE = "node"
    """Answers them."""


class Session:
    def __init__(self, role: Role) -> None:
        self._opens = role is Role.CONSOLE
        self._may_open = self._opens
        self._streams: dict[int, Stream] = {}
        self._last_stream = -1
        """The highest that was opened."""

        self._messages: deque[bytes] = deque()
        """All but data; they go first."""

        self._turns = Turns()
        self._received = ReceiveWindow(CONNECTION_WINDOW_BYTES)
        self._resets = Resets()
        self._answers_until: int | None = None
        """What our GOAWAY said."""

        self._refused_after = frames.MAX_STREAM
        """What the other end's GOAWAY said."""

        self._violation: ProtocolViolation | None = None
        self._lost: tuple[int, ...] = ()
        self._closed = False

    # ── what this end does ──────────────────────────────────────────────────────────────────────────────────

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def can_open(self) -> bool:
        return self._may_open and len(self._streams) < MAX_STREAMS and self._last_stream < frames.MAX_STREAM

    @property
    def has_news(self) -> bool:
        """Whether there may be something to `take`."""
        return bool(self._messages or self._turns)

    def open(self, head: bytes, *, ended: bool = False) -> int:
        """Begins a request. Returns its stream. Raises CannotOpen; ValueError for a head that fits no frame."""
        if not self.can_open:
            raise CannotOpen("full" if self._may_open else "going away or closed")
        message = frames.encode_head(self._last_stream + 2, head, ended=ended)
        self._last_stream = stream = self._last_stream + 2
        self._streams[stream] = state = Stream(stream)
        self._send_head(state, message, ended)
        return stream

    def send_head(self, stream: int, head: bytes, *, ended: bool = False) -> None:
        """Begins an answer. Raises StreamGone; ValueError for a head that fits no frame."""
        state = self._state(stream)
        if state.head_left:
            raise StreamGone(f"stream {stream} was begun before")
        self._send_head(state, frames.encode_head(stream, head, ended=ended), ended)

    def _send_head(self, state: Stream, message: bytes, ended: bool) -> None:
        state.head_left = True
        self._messages.append(message)
        if ended:
            state.ends = True
            self._end_sending(state)

    def room(self, stream: int) -> int:
        """How many bytes `send_data` takes now; `RoomGained` tells of more. 0 if the stream is gone."""
        state = self._streams.get(stream)
        return 0 if state is None else state.room.credit

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        """Queues data. Raises StreamGone, and CreditExceeded beyond `room`."""
        state = self._state(stream)
        if state.ends or not state.head_left:
            raise StreamGone(f"stream {stream} takes no data now")
        if len(data) > state.room.credit:
            raise CreditExceeded(f"{len(data)} bytes for {state.room.credit} of room")
        state.room.credit -= len(data)
        state.queue += data
        state.ends = ended
        if data or ended:
            self._turns.add(state)

    def consumed(self, stream: int, size: int) -> None:
        """So many bytes of a stream were dealt with: more may come. A stream that is gone needs no telling."""
        state = self._streams.get(stream)
        if state is not None and not state.last_came and (increment := state.received.give_back(size)):
            self._messages.append(frames.encode_window_update(stream, increment))

    def reset(self, stream: int, code: Code, reason: str = "") -> None:
        """Breaks a stream off, with what it has queued. Does nothing if the stream is gone."""
        if self._remove(stream):
            self._messages.append(frames.encode_reset(stream, code, reason))
            if self._resets.add(stream):
                self.ping()

    def send_settings(self, payload: bytes) -> None:
        """Raises ValueError for settings that fit no frame."""
        if not self._closed:
            self._messages.append(frames.encode_settings(payload))

    def ping(self) -> None:
        if not self._closed:
            self._messages.append(frames.encode(frames.PING, 0, 0, self._resets.ping()))

    def go_away(self, code: Code = Code.NO_ERROR, reason: str = "") -> None:
        """Nothing new from now on; what is open goes on to its end."""
        if self._closed:
            return
        self._may_open = False
        if self._answers_until is None:
            self._answers_until = 0 if self._opens else max(self._last_stream, 0)
        self._messages.append(frames.encode_go_away(self._answers_until, code, reason))

    def take(self) -> bytes | None:
        """The next message to send, None when there is none for now."""
        if self._messages:
            return self._messages.popleft()
        if not self._turns or (turn := self._turns.take()) is None:
            return None
        state, data = turn
        ended = state.ends and not state.queue
        if ended:
            self._end_sending(state)
        return frames.encode(frames.DATA, int(ended), state.id, data)

    def close(self) -> tuple[int, ...]:
        """The connection is gone. Returns the streams that went with it."""
        self._shut()
        self._messages.clear()
        lost, self._lost = self._lost, ()
        return lost

    # ── what the other end does ─────────────────────────────────────────────────────────────────────────────

    def receive(self, message: bytes) -> Event | None:
        """What a message means.

        Raises:
            ProtocolViolation: `take` what is left and send it, close the connection and call `close`.
        """
        if self._violation is not None:
            raise self._violation
        try:
            kind, flags, stream, payload = frames.decode(message)
            if kind == frames.DATA:
                return self._receive_data(stream, payload, flags == frames.END_STREAM)
            return self._RECEIVERS[kind](self, flags, stream, payload)
        except ProtocolViolation as violation:
            self._violation = violation
            self._shut()
            self._messages.clear()
            last = 0 if self._opens else max(self._last_stream, 0)
            self._messages.append(frames.encode_go_away(last, violation.code, violation.reason))
            raise

    def _receive_data(self, stream: int, data: bytes, ended: bool) -> DataReceived | None:
        size = len(data)
        self._received.take(size)
        if increment := self._received.give_back(size):
            self._messages.append(frames.encode_window_update(0, increment))
        state = self._streams.get(stream)
        if state is None:
            self._check_is_late(stream)
            return None
        if not state.head_came or state.last_came:
            raise ProtocolViolation(Code.STREAM_CLOSED, f"data on stream {stream} before its head or after its end")
        if not data and not ended:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "data without a byte")
        state.received.take(size)
        if ended:
            self._end_receiving(state)
        return DataReceived(stream, data, ended)

    def _receive_head(self, flags: int, stream: int, payload: bytes) -> HeadReceived | None:
        state = self._streams.get(stream)
        if state is None:
            if self._opens or stream <= self._last_stream:
                self._check_is_late(stream)
                return None
            state = self._accept(stream)
            if state is None:
                return None
        if state.head_came:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, f"a second head on stream {stream}")
        state.head_came = True
        ended = flags == frames.END_STREAM
        if ended:
            self._end_receiving(state)
        return HeadReceived(stream, payload, ended)

    def _accept(self, stream: int) -> Stream | None:
        """A stream that the console opens; None for one that it opened before it heard of our GOAWAY."""
        if stream != self._last_stream + 2:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, f"stream {stream} after {self._last_stream}")
        self._last_stream = stream
        if self._answers_until is not None:
            return None
        if len(self._streams) >= MAX_STREAMS:
            raise ProtocolViolation(Code.REFUSED_STREAM, f"more than {MAX_STREAMS} streams")
        self._streams[stream] = state = Stream(stream)
        return state

    def _receive_reset(self, flags: int, stream: int, payload: bytes) -> ResetReceived | None:
        code, reason = frames.reset_in(payload)
        if not self._remove(stream):
            self._check_was_open(stream)
            self._resets.discard(stream)
            return None
        return ResetReceived(stream, code, reason)

    def _receive_window_update(self, flags: int, stream: int, payload: bytes) -> RoomGained | None:
        increment = frames.increment_in(payload)
        if stream == 0:
            self._turns.room.gain(increment)
            return None
        state = self._streams.get(stream)
        if state is None:
            self._check_was_open(stream)
            return None
        state.room.gain(increment)
        return RoomGained(stream)

    def _receive_settings(self, flags: int, stream: int, payload: bytes) -> SettingsReceived:
        return SettingsReceived(payload)

    def _receive_ping(self, flags: int, stream: int, payload: bytes) -> PongReceived | None:
        if flags == frames.ACK:
            self._resets.answered(payload)
            return PongReceived()
        if len(self._messages) >= MAX_WAITING_MESSAGES:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "it asks on and on and reads nothing")
        self._messages.append(frames.encode(frames.PING, frames.ACK, 0, payload))
        return None

    def _receive_go_away(self, flags: int, stream: int, payload: bytes) -> GoAwayReceived:
        last_stream, code, reason = frames.go_away_in(payload)
        if last_stream > self._refused_after:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "a GOAWAY that takes an earlier one back")
        self._refused_after = last_stream
        self._may_open = False
        refused = tuple(number for number in self._streams if number > last_stream) if self._opens else ()
        for number in refused:
            self._remove(number)
        return GoAwayReceived(code, reason, refused)

    _RECEIVERS: ClassVar[dict[int, Callable[[Session, int, int, bytes], Event | None]]] = {
        frames.HEADERS: _receive_head,
        frames.RST_STREAM: _receive_reset,
        frames.WINDOW_UPDATE: _receive_window_update,
        frames.SETTINGS: _receive_settings,
        frames.PING: _receive_ping,
        frames.GOAWAY: _receive_go_away,
    }

    def _check_is_late(self, stream: int) -> None:
        """A head or data for a stream that is not open: dropped if it is only late, else a violation."""
        self._check_was_open(stream)
        refused_by_us = self._answers_until is not None and stream > self._answers_until and not self._opens
        if not refused_by_us and stream not in self._resets:
            raise ProtocolViolation(Code.STREAM_CLOSED, f"stream {stream} has ended")

    def _check_was_open(self, stream: int) -> None:
        if stream > self._last_stream:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, f"stream {stream} was never opened")

    # ── moving the streams ──────────────────────────────────────────────────────────────────────────────────

    def _state(self, stream: int) -> Stream:
        state = self._streams.get(stream)
        if state is None:
            raise StreamGone(f"stream {stream} is not open")
        return state

    def _end_sending(self, state: Stream) -> None:
        state.last_left = True
        if state.last_came:
            del self._streams[state.id]

    def _end_receiving(self, state: Stream) -> None:
        state.last_came = True
        if state.last_left:
            del self._streams[state.id]

    def _remove(self, stream: int) -> bool:
        """Takes a stream out, with what it has queued. Returns whether it was open."""
        state = self._streams.pop(stream, None)
        if state is None:
            return False
        self._turns.discard(state)
        return True

    def _shut(self) -> None:
        self._closed = True
        self._may_open = False
        self._lost += tuple(self._streams)
        self._streams.clear()
        self._turns.clear()
