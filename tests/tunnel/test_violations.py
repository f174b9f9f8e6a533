"""What a hostile end may try. Each is one named violation: the session says GOAWAY and takes nothing more."""

from __future__ import annotations

import struct

import pytest

from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import CannotOpen, Code, ProtocolViolation, StreamGone
from shareai_node.tunnel.session import MAX_STREAMS, MAX_WAITING_MESSAGES, Session
from shareai_node.tunnel.window import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from tests.tunnel.wires import ANSWER, REQUEST, Pair


@pytest.fixture
def pair() -> Pair:
    return Pair()


def data(stream: int, size: int = 1, *, ended: bool = False) -> bytes:
    return frames.encode(frames.DATA, int(ended), stream, bytes(size))


def head(stream: int, *, ended: bool = False) -> bytes:
    return frames.encode_head(stream, ANSWER, ended=ended)


def reset(stream: int) -> bytes:
    return frames.encode_reset(stream, Code.CANCEL, "")


def violation(session: Session, *messages: bytes) -> Code:
    """Of the last message; those before it are fine."""
    for message in messages[:-1]:
        session.receive(message)
    with pytest.raises(ProtocolViolation) as caught:
        session.receive(messages[-1])
    return caught.value.code


class TestHostileNode:
    @pytest.mark.parametrize("message", [head(1), data(1), reset(1), frames.encode_window_update(1, 1)])
    def test_a_stream_that_was_never_opened(self, pair, message):
        assert violation(pair.console, message) is Code.PROTOCOL_ERROR

    @pytest.mark.parametrize("message", [head(9), data(9), reset(9), frames.encode_window_update(9, 1)])
    def test_a_stream_beyond_the_last(self, pair, message):
        pair.ask()
        assert violation(pair.console, message) is Code.PROTOCOL_ERROR

    def test_data_before_the_head(self, pair):
        assert violation(pair.console, data(pair.ask())) is Code.STREAM_CLOSED

    def test_a_second_head(self, pair):
        assert violation(pair.console, head(pair.answered())) is Code.PROTOCOL_ERROR

    @pytest.mark.parametrize("message", [head(1), data(1), data(1, 0, ended=True)])
    def test_after_the_end(self, pair, message):
        stream = pair.answered()
        assert stream == 1
        assert violation(pair.console, data(stream, ended=True), message) is Code.STREAM_CLOSED

    def test_after_the_end_while_the_request_goes_on(self, pair):
        stream = pair.ask(ended=False)
        assert violation(pair.console, head(stream, ended=True), data(stream)) is Code.STREAM_CLOSED

    @pytest.mark.parametrize("message", [head(1), data(1)])
    def test_after_its_own_reset(self, pair, message):
        stream = pair.ask()
        assert violation(pair.console, reset(stream), message) is Code.STREAM_CLOSED

    @pytest.mark.parametrize("message", [head(1), data(1)])
    def test_long_after_it_was_told_of_a_reset(self, pair, message):
        stream = pair.ask()
        pair.console.reset(stream, Code.CANCEL)
        pair.console.ping()
        pair.to_node()
        pair.to_console()
        assert violation(pair.console, message) is Code.STREAM_CLOSED

    @pytest.mark.parametrize("message", [head(1), data(1)])
    def test_after_both_have_reset(self, pair, message):
        stream = pair.ask()
        pair.console.reset(stream, Code.CANCEL)
        assert violation(pair.console, reset(stream), message) is Code.STREAM_CLOSED

    def test_more_than_the_stream_s_credit(self, pair):
        stream = pair.answered()
        within = [data(stream, 32 * 1024)] * 8
        assert violation(pair.console, *within, data(stream)) is Code.FLOW_CONTROL_ERROR

    def test_more_than_the_stream_s_credit_after_some_came_back(self, pair):
        stream = pair.answered()
        for _ in range(8):
            pair.console.receive(data(stream, 32 * 1024))
        pair.console.consumed(stream, STREAM_WINDOW_BYTES // 2)
        within = [data(stream, 32 * 1024)] * 4
        assert violation(pair.console, *within, data(stream)) is Code.FLOW_CONTROL_ERROR

    def test_data_for_a_stream_that_was_reset_costs_nothing_and_goes_nowhere(self, pair):
        stream = pair.answered()
        pair.console.reset(stream, Code.CANCEL)
        for _ in range(CONNECTION_WINDOW_BYTES // 32_768 * 2):
            assert pair.console.receive(data(stream, 32_768)) is None

    def test_data_without_a_byte(self, pair):
        assert violation(pair.console, data(pair.answered(), 0)) is Code.PROTOCOL_ERROR

    @pytest.mark.parametrize("stream", [0, 1])
    def test_credit_for_more_than_was_sent(self, pair, stream):
        pair.ask(ended=False)
        assert violation(pair.console, frames.encode_window_update(stream, 1)) is Code.FLOW_CONTROL_ERROR

    @pytest.mark.parametrize("increment", [CONNECTION_WINDOW_BYTES, frames.MAX_STREAM])
    def test_credit_without_bounds(self, pair, increment):
        pair.ask(ended=False)
        assert violation(pair.console, frames.encode_window_update(1, increment)) is Code.FLOW_CONTROL_ERROR

    def test_an_answer_to_no_ping(self, pair):
        assert violation(pair.console, frames.encode(frames.PING, frames.ACK, 0, bytes(8))) is Code.PROTOCOL_ERROR

    def test_answers_out_of_order(self, pair):
        pair.console.ping()
        pair.console.ping()
        second = frames.encode(frames.PING, frames.ACK, 0, struct.pack(">Q", 2))
        assert violation(pair.console, second) is Code.PROTOCOL_ERROR

    def test_pings_without_end_while_it_reads_nothing(self, pair):
        ping = frames.encode(frames.PING, 0, 0, b"are you?")
        assert violation(pair.console, *[ping] * MAX_WAITING_MESSAGES, ping) is Code.PROTOCOL_ERROR

    def test_a_go_away_that_takes_an_earlier_one_back(self, pair):
        messages = [frames.encode_go_away(last, Code.NO_ERROR, "") for last in (3, 5)]
        assert violation(pair.console, *messages) is Code.PROTOCOL_ERROR

    @pytest.mark.parametrize("message", [b"", b"\x00", bytes(70_000), frames.encode(99, 0, 1, b"")])
    def test_no_frame_at_all(self, pair, message):
        assert violation(pair.console, message) in (Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)


class TestHostileConsole:
    def test_a_stream_number_that_is_left_out(self, pair):
        assert violation(pair.node, head(3)) is Code.PROTOCOL_ERROR

    def test_a_stream_number_that_was_used(self, pair):
        stream = pair.ask()
        pair.node.send_head(stream, ANSWER, ended=True)
        pair.to_console()
        assert violation(pair.node, head(stream)) is Code.STREAM_CLOSED

    @pytest.mark.parametrize("message", [data(1), reset(1), frames.encode_window_update(1, 1)])
    def test_a_stream_that_was_never_opened(self, pair, message):
        assert violation(pair.node, message) is Code.PROTOCOL_ERROR

    def test_one_stream_more_than_allowed(self, pair):
        within = [head(stream) for stream in range(1, 2 * MAX_STREAMS, 2)]
        assert violation(pair.node, *within, head(2 * MAX_STREAMS + 1)) is Code.REFUSED_STREAM

    def test_more_than_the_stream_s_credit(self, pair):
        within = [head(1), *[data(1, 32 * 1024)] * 8]
        assert violation(pair.node, *within, data(1)) is Code.FLOW_CONTROL_ERROR

    def test_more_after_the_end(self, pair):
        assert violation(pair.node, head(1, ended=True), data(1)) is Code.STREAM_CLOSED


class TestAfterwards:
    @pytest.fixture
    def broken(self, pair) -> Pair:
        pair.ask()
        pair.console.ping()
        violation(pair.console, data(9))
        return pair

    def test_the_last_message_says_what_was_wrong(self, broken):
        assert frames.go_away_in(frames.decode(broken.console.take()).payload) == (
            0,
            Code.PROTOCOL_ERROR,
            "stream 9 was never opened",
        )
        assert broken.console.take() is None

    def test_nothing_more_is_taken(self, broken):
        with pytest.raises(ProtocolViolation):
            broken.console.receive(head(1))

    def test_nothing_more_is_sent(self, broken):
        broken.console.take()
        with pytest.raises(CannotOpen):
            broken.console.open(REQUEST)
        with pytest.raises(StreamGone):
            broken.console.send_data(1, b"data")
        broken.console.reset(1, Code.CANCEL)
        broken.console.ping()
        broken.console.go_away()
        assert broken.console.take() is None

    def test_only_its_own_streams_are_lost(self, broken):
        other = Pair()
        stream = other.answered()
        assert broken.console.close() == (1,)
        other.node.send_data(stream, b"fine", ended=True)
        assert len(other.to_console()) == 1
