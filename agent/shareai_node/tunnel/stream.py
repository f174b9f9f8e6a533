"""One request and its answer, as one end of the tunnel sees them."""

from __future__ import annotations

from shareai_node.tunnel.window import STREAM_WINDOW_BYTES, ReceiveWindow, SendWindow


class Stream:
    """State only; `Session` moves it.

    `room` is the credit that is not promised to queued bytes yet, so the queue never holds what may not be sent.
    """

    __slots__ = (
        "ends",
        "has_turn",
        "head_came",
        "head_left",
        "id",
        "last_came",
        "last_left",
        "queue",
        "received",
        "room",
    )

    def __init__(self, stream: int) -> None:
        self.id = stream
        self.room = SendWindow(STREAM_WINDOW_BYTES)
        self.received = ReceiveWindow(STREAM_WINDOW_BYTES)
        self.queue = bytearray()
        self.has_turn = False
        """Stands in the session's round of streams that have something to send."""

        self.head_left = False
        self.ends = False
        """Nothing will be queued any more."""

        self.last_left = False
        self.head_came = False
        self.last_came = False
