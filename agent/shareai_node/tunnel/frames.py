"""Frames: a header of nine bytes, big endian, and a payload. One WebSocket message holds exactly one.

     0       1       2          3               7        9
    +-------+-------+----------+---------------+--------+---------
    | type  | flags | reserved | stream        | length | payload
    +-------+-------+----------+---------------+--------+---------

Decoding is strict: whatever is not known, not allowed for its type, or not as long as it says is a violation.
The names and most numbers are HTTP/2's (RFC 9113, section 6).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from shareai_node.tunnel.errors import Code, ProtocolViolation

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1

HEADER_BYTES = 9
MAX_FRAME_BYTES = 65_536
MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES - HEADER_BYTES
MAX_REASON_BYTES = 200
MAX_STREAM = 0xFFFF_FFFF
PING_BYTES = 8

_HEADER = Struct(">BBBIH")
_NUMBER = Struct(">I")
_LAST_AND_CODE = Struct(">II")


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


class _Rule(NamedTuple):
    flags: int
    """Those that may be set."""

    least_bytes: int
    most_bytes: int
    on_connection: bool
    """May stand on stream 0."""

    on_stream: bool


_RULES = {
    DATA: _Rule(END_STREAM, 0, MAX_PAYLOAD_BYTES, on_connection=False, on_stream=True),
    HEADERS: _Rule(END_STREAM, 2, MAX_PAYLOAD_BYTES, on_connection=False, on_stream=True),
    RST_STREAM: _Rule(0, 4, 4 + MAX_REASON_BYTES, on_connection=False, on_stream=True),
    SETTINGS: _Rule(0, 2, MAX_PAYLOAD_BYTES, on_connection=True, on_stream=False),
    PING: _Rule(ACK, PING_BYTES, PING_BYTES, on_connection=True, on_stream=False),
    GOAWAY: _Rule(0, 8, 8 + MAX_REASON_BYTES, on_connection=True, on_stream=False),
    WINDOW_UPDATE: _Rule(0, 4, 4, on_connection=True, on_stream=True),
}

_CODES = {code.value: code for code in Code}


def decode(message: bytes) -> Frame:
    """The frame that a message holds. Raises ProtocolViolation."""
    if not HEADER_BYTES <= len(message) <= MAX_FRAME_BYTES:
        raise ProtocolViolation(Code.FRAME_SIZE_ERROR, f"a message of {len(message)} bytes is no frame")
    kind, flags, reserved, stream, length = _HEADER.unpack_from(message)
    rule = _RULES.get(kind)
    if rule is None:
        raise ProtocolViolation(Code.PROTOCOL_ERROR, f"frame type {kind} is unknown")
    if reserved or flags & ~rule.flags:
        raise ProtocolViolation(Code.PROTOCOL_ERROR, f"reserved bits are set in a frame of type {kind}")
    if length != len(message) - HEADER_BYTES or not rule.least_bytes <= length <= rule.most_bytes:
        raise ProtocolViolation(Code.FRAME_SIZE_ERROR, f"wrong length in a frame of type {kind}")
    # Only the console opens streams, and it gives them odd numbers.
    if not (rule.on_stream if stream & 1 else rule.on_connection and stream == 0):
        raise ProtocolViolation(Code.PROTOCOL_ERROR, f"a frame of type {kind} on stream {stream}")
    return Frame(kind, flags, stream, message[HEADER_BYTES:])


def encode(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _HEADER.pack(kind, flags, 0, stream, len(payload)) + payload


def encode_head(stream: int, head: bytes, *, ended: bool) -> bytes:
    """Raises ValueError for a head that fits no frame."""
    _check_fits(HEADERS, head)
    return encode(HEADERS, END_STREAM if ended else 0, stream, head)


def encode_settings(payload: bytes) -> bytes:
    """Raises ValueError for settings that fit no frame."""
    _check_fits(SETTINGS, payload)
    return encode(SETTINGS, 0, 0, payload)


def encode_window_update(stream: int, increment: int) -> bytes:
    return encode(WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))


def encode_reset(stream: int, code: Code, reason: str) -> bytes:
    return encode(RST_STREAM, 0, stream, _NUMBER.pack(code) + _clipped(reason))


def encode_go_away(last_stream: int, code: Code, reason: str) -> bytes:
    return encode(GOAWAY, 0, 0, _LAST_AND_CODE.pack(last_stream, code) + _clipped(reason))


def increment_in(payload: bytes) -> int:
    """Of a WINDOW_UPDATE. Raises ProtocolViolation."""
    increment: int = _NUMBER.unpack(payload)[0]
    if increment == 0:
        raise ProtocolViolation(Code.PROTOCOL_ERROR, "a window update by nothing")
    return increment


def reset_in(payload: bytes) -> tuple[Code, str]:
    """Of a RST_STREAM. Raises ProtocolViolation."""
    return _code(_NUMBER.unpack_from(payload)[0]), _reason(payload[4:])


def go_away_in(payload: bytes) -> tuple[int, Code, str]:
    """Of a GOAWAY: the last stream that it will answer, why, in words. Raises ProtocolViolation."""
    last_stream, code = _LAST_AND_CODE.unpack_from(payload)
    return last_stream, _code(code), _reason(payload[8:])


def _check_fits(kind: int, payload: bytes) -> None:
    rule = _RULES[kind]
    if not rule.least_bytes <= len(payload) <= rule.most_bytes:
        raise ValueError(f"{len(payload)} bytes fit no frame of type {kind}")


def _code(number: int) -> Code:
    """A number that a newer version knows is an internal error to this one."""
    return _CODES.get(number, Code.INTERNAL_ERROR)


def _reason(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ProtocolViolation(Code.PROTOCOL_ERROR, "a reason that is not UTF-8") from error


def _clipped(reason: str) -> bytes:
    """At most so many bytes, and never half a character."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()
