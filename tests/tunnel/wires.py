"""A pair of sessions, and the wires between them: messages leave, travel in order, and arrive when told to."""

from __future__ import annotations

from collections import deque

from shareai_node.tunnel.events import Event, HeadReceived
from shareai_node.tunnel.session import Role, Session

REQUEST = b'{"method":"POST"}'
ANSWER = b'{"status":200}'


class Wire:
    """From one session to the other. `seen` keeps every message that arrived."""

    def __init__(self, sender: Session, receiver: Session) -> None:
        self._sender, self._receiver = sender, receiver
        self.travelling: deque[bytes] = deque()
        self.seen: list[bytes] = []

    def send_all(self) -> None:
        while (message := self._sender.take()) is not None:
            self.travelling.append(message)

    def arrive(self) -> Event | None:
        message = self.travelling.popleft()
        self.seen.append(message)
        return self._receiver.receive(message)


class Pair:
    def __init__(self) -> None:
        self.console, self.node = Session(Role.CONSOLE), Session(Role.NODE)
        self.down = Wire(self.console, self.node)
        self.up = Wire(self.node, self.console)

    def to_node(self) -> list[Event]:
        """All that the console has to say arrives; what that means to the node."""
        return _carry(self.down)

    def to_console(self) -> list[Event]:
        return _carry(self.up)

    def settle(self) -> None:
        """Until neither has anything to say."""
        while self.to_node() or self.to_console() or self.down.travelling or self.up.travelling:
            pass

    def ask(self, *, ended: bool = True) -> int:
        """A request that has arrived at the node."""
        stream = self.console.open(REQUEST, ended=ended)
        assert self.to_node() == [HeadReceived(stream, REQUEST, ended)]
        return stream

    def answered(self) -> int:
        """A request of which the head of the answer has arrived, too."""
        stream = self.ask()
        self.node.send_head(stream, ANSWER)
        assert self.to_console() == [HeadReceived(stream, ANSWER, False)]
        return stream


def _carry(wire: Wire) -> list[Event]:
    wire.send_all()
    events = []
    while wire.travelling:
        if (event := wire.arrive()) is not None:
            events.append(event)
    return events
