"""What a received message means to the end that received it. A message means one of these, or nothing."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from shareai_node.tunnel.errors import Code


class HeadReceived(NamedTuple):
    """At the node: a request begins. At the console: its answer begins. `payload` is JSON, not looked at."""

    stream: int
    payload: bytes
    ended: bool


class DataReceived(NamedTuple):
    """`data` may be empty when `ended`. Whoever has dealt with it says so by `Session.consumed`."""

    stream: int
    data: bytes
    ended: bool


class ResetReceived(NamedTuple):
    """The other end broke the stream off; nothing more comes, and nothing more may be sent."""

    stream: int
    code: Code
    reason: str


class RoomGained(NamedTuple):
    """`Session.room` of this stream has grown."""

    stream: int


class SettingsReceived(NamedTuple):
    """`payload` is JSON, not looked at."""

    payload: bytes


class PongReceived(NamedTuple):
    """The other end has read everything up to one of our PINGs."""


class GoAwayReceived(NamedTuple):
    """No new streams. Those in `refused` were never looked at: their requests may go elsewhere."""

    code: Code
    reason: str
    refused: tuple[int, ...]


Event: TypeAlias = (
    HeadReceived | DataReceived | ResetReceived | RoomGained | SettingsReceived | PongReceived | GoAwayReceived
)
