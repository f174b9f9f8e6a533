"""Every interleaving of two sessions, with loss and violation: Hypothesis plays both ends and the wire between.

The model is what was said on each stream. Whatever order things happen in, an end hears a prefix of what the other
said, all of it if nothing was broken off; no honest act is ever a violation; and no bound is ever passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import CannotOpen, Code, ProtocolViolation, StreamGone
from shareai_node.tunnel.events import DataReceived, Event, GoAwayReceived, HeadReceived, ResetReceived
from shareai_node.tunnel.session import MAX_STREAMS, Session
from shareai_node.tunnel.window import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from tests.tunnel.wires import ANSWER, REQUEST, Pair, Wire

SIZES = st.one_of(st.integers(0, 100), st.integers(0, 300_000))
CODES = st.sampled_from(list(Code))


@dataclass
class Heard:
    """One direction of one stream."""

    said: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)
    said_end: bool = False
    heard_end: bool = False
    unread: int = 0

    def check(self, *, broken: bool) -> None:
        assert self.said.startswith(self.heard)
        assert not self.heard_end or (self.said_end and self.heard == self.said)
        assert broken or (self.heard == self.said and self.heard_end == self.said_end)


class Tunnel(RuleBasedStateMachine):
    streams = Bundle("streams")
    alive = False

    def __init__(self) -> None:
        super().__init__()
        self.connect()

    @precondition(lambda self: not self.alive)
    @rule()
    def connect(self) -> None:
        """A new connection starts from nothing, whatever became of the one before."""
        self.pair = Pair()
        self.alive = True
        self.going = False
        self.requests: dict[int, Heard] = {}
        self.answers: dict[int, Heard] = {}
        self.broken: set[int] = set()
        self.at_node: set[int] = set()
        self.byte = 0

    # ── honest acts ─────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.alive)
    @rule(target=streams, ended=st.booleans())
    def open(self, ended: bool) -> int:
        try:
            stream = self.pair.console.open(REQUEST, ended=ended)
        except CannotOpen:
            assert self.going or self.pair.console.open_streams == MAX_STREAMS
            return -1
        self.requests[stream] = Heard(said_end=ended)
        self.answers[stream] = Heard()
        return stream

    @precondition(lambda self: self.alive)
    @rule(stream=streams, ended=st.booleans())
    def answer(self, stream: int, ended: bool) -> None:
        try:
            self.pair.node.send_head(stream, ANSWER, ended=ended)
        except StreamGone:
            return
        self.answers[stream].said_end = ended

    @precondition(lambda self: self.alive)
    @rule(stream=streams, size=SIZES, ended=st.booleans(), up=st.booleans())
    def say(self, stream: int, size: int, ended: bool, up: bool) -> None:
        session, heard = self._end(stream, speaker=up)
        data = self._bytes(min(size, session.room(stream)))
        try:
            session.send_data(stream, data, ended=ended)
        except StreamGone:
            return
        heard.said += data
        heard.said_end |= ended

    @precondition(lambda self: self.alive)
    @rule(stream=streams, share=st.floats(0, 1), up=st.booleans())
    def read(self, stream: int, share: float, up: bool) -> None:
        heard = self._end(stream, speaker=up)[1]
        size = round(heard.unread * share)
        heard.unread -= size
        (self.pair.console if up else self.pair.node).consumed(stream, size)

    @precondition(lambda self: self.alive)
    @rule(stream=consumes(streams), code=CODES, by_node=st.booleans())
    def reset(self, stream: int, code: Code, by_node: bool) -> None:
        (self.pair.node if by_node else self.pair.console).reset(stream, code, "enough")
        self.broken.add(stream)

    @precondition(lambda self: self.alive)
    @rule(by_node=st.booleans())
    def ping(self, by_node: bool) -> None:
        (self.pair.node if by_node else self.pair.console).ping()

    @precondition(lambda self: self.alive)
    @rule(by_node=st.booleans())
    def say_settings(self, by_node: bool) -> None:
        (self.pair.node if by_node else self.pair.console).send_settings(b"{}")

    @precondition(lambda self: self.alive)
    @rule(by_node=st.booleans(), really=st.integers(0, 3))
    def go_away(self, by_node: bool, really: int) -> None:
        if really == 0:
            self.going = True
            (self.pair.node if by_node else self.pair.console).go_away()

    # ── the wire ────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.alive)
    @rule(count=st.integers(1, 12), up=st.booleans())
    def leave(self, count: int, up: bool) -> None:
        wire, session = self._wire(up)
        for _ in range(count):
            if (message := session.take()) is not None:
                wire.travelling.append(message)

    @precondition(lambda self: self.alive)
    @rule(count=st.integers(1, 12), up=st.booleans())
    def arrive(self, count: int, up: bool) -> None:
        wire = self._wire(up)[0]
        for _ in range(min(count, len(wire.travelling))):
            self._hear(wire.arrive(), up)

    @precondition(lambda self: self.alive)
    @rule(really=st.integers(0, 5))
    def lose_the_connection(self, really: int) -> None:
        if really == 0:
            self._lose()

    @precondition(lambda self: self.alive)
    @rule(up=st.booleans(), message=st.binary(max_size=40), really=st.integers(0, 3))
    def inject(self, up: bool, message: bytes, really: int) -> None:
        """Bytes that the other end did not send: a violation, after which all is lost on both ends."""
        receiver = self.pair.console if up else self.pair.node
        if really:
            return
        try:
            receiver.receive(b"\xff" + message)
        except ProtocolViolation:
            goodbye = receiver.take()
            assert goodbye is not None
            assert frames.decode(goodbye).kind == frames.GOAWAY
            assert receiver.take() is None
            self._lose()
        else:
            raise AssertionError("an unknown type was taken")

    # ── what always holds ───────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def no_bound_is_passed(self) -> None:
        assert self.pair.node.open_streams <= MAX_STREAMS
        assert self.pair.console.open_streams <= MAX_STREAMS
        for wire in (self.pair.down, self.pair.up):
            under_way = [frames.decode(message) for message in wire.travelling]
            sizes = [len(frame.payload) for frame in under_way if frame.kind == frames.DATA]
            assert sum(sizes) <= CONNECTION_WINDOW_BYTES
        for heard in (*self.requests.values(), *self.answers.values()):
            assert heard.unread <= STREAM_WINDOW_BYTES

    @invariant()
    def nobody_hears_what_was_not_said(self) -> None:
        for stream in self.requests:
            self.requests[stream].check(broken=True)
            self.answers[stream].check(broken=True)

    def teardown(self) -> None:
        """All that was said is heard in the end, and nothing is left behind."""
        if not self.alive:
            return
        for _ in range(200):
            self._carry_all()
            if not self._read_all():
                break
        for stream in self.requests:
            broken = stream in self.broken
            self.requests[stream].check(broken=broken)
            self.answers[stream].check(broken=broken)
            self.broken.add(stream)
            self.pair.console.reset(stream, Code.CANCEL)
        self._carry_all()
        assert self.pair.console.open_streams == self.pair.node.open_streams == 0

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, stream: int, *, speaker: bool) -> tuple[Session, Heard]:
        """Of the one who speaks: the node if `speaker`, else the console."""
        if speaker:
            return self.pair.node, self.answers.get(stream, Heard())
        return self.pair.console, self.requests.get(stream, Heard())

    def _wire(self, up: bool) -> tuple[Wire, Session]:
        return (self.pair.up, self.pair.node) if up else (self.pair.down, self.pair.console)

    def _bytes(self, size: int) -> bytes:
        self.byte = (self.byte + 1) % 256
        return bytes([self.byte]) * size

    def _hear(self, event: Event | None, up: bool) -> None:
        heard = self.answers if up else self.requests
        if isinstance(event, HeadReceived):
            assert event.payload == (ANSWER if up else REQUEST)
            if not up:
                assert event.stream not in self.at_node
                self.at_node.add(event.stream)
            heard[event.stream].heard_end = event.ended
        elif isinstance(event, DataReceived):
            assert not heard[event.stream].heard_end
            heard[event.stream].heard += event.data
            heard[event.stream].unread += len(event.data)
            heard[event.stream].heard_end = event.ended
        elif isinstance(event, ResetReceived):
            assert event.stream in self.broken
        elif isinstance(event, GoAwayReceived):
            assert self.at_node.isdisjoint(event.refused)
            self.broken.update(event.refused)

    def _carry_all(self) -> None:
        moved = True
        while moved:
            moved = False
            for up in (False, True):
                wire = self._wire(up)[0]
                wire.send_all()
                while wire.travelling:
                    moved = True
                    self._hear(wire.arrive(), up)

    def _read_all(self) -> bool:
        some = False
        for session, heard in ((self.pair.console, self.answers), (self.pair.node, self.requests)):
            for stream, one in heard.items():
                some |= one.unread > 0
                session.consumed(stream, one.unread)
                one.unread = 0
        return some

    def _lose(self) -> None:
        self.alive = False
        self.pair.console.close()
        self.pair.node.close()
        assert self.pair.console.open_streams == self.pair.node.open_streams == 0
        assert self.pair.console.take() is self.pair.node.take() is None


TestTunnel = Tunnel.TestCase
TestTunnel.settings = settings(max_examples=200, stateful_step_count=80)
