"""A request through a pair of sessions, to its end or to its reset; who may open; credit; turns."""

from __future__ import annotations

import pytest

from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import CannotOpen, Code, CreditExceeded, StreamGone
from shareai_node.tunnel.events import (
    DataReceived,
    GoAwayReceived,
    HeadReceived,
    PongReceived,
    ResetReceived,
    RoomGained,
    SettingsReceived,
)
from shareai_node.tunnel.resets import MANY_RESETS
from shareai_node.tunnel.session import MAX_STREAMS
from shareai_node.tunnel.turns import MAX_TURN_BYTES
from shareai_node.tunnel.window import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from tests.tunnel.wires import ANSWER, REQUEST, Pair


@pytest.fixture
def pair() -> Pair:
    return Pair()


class TestExchange:
    def test_a_request_and_its_answer(self, pair):
        stream = pair.console.open(REQUEST)
        pair.console.send_data(stream, b"question", ended=True)
        assert pair.to_node() == [HeadReceived(stream, REQUEST, False), DataReceived(stream, b"question", True)]
        pair.node.send_head(stream, ANSWER)
        pair.node.send_data(stream, b"ans")
        pair.node.send_data(stream, b"wer", ended=True)
        assert pair.to_console() == [HeadReceived(stream, ANSWER, False), DataReceived(stream, b"answer", True)]
        assert pair.console.open_streams == pair.node.open_streams == 0

    def test_without_bodies(self, pair):
        stream = pair.ask()
        pair.node.send_head(stream, ANSWER, ended=True)
        assert pair.to_console() == [HeadReceived(stream, ANSWER, True)]
        assert pair.console.open_streams == pair.node.open_streams == 0

    def test_an_end_may_come_alone(self, pair):
        stream = pair.answered()
        pair.node.send_data(stream, b"all")
        assert pair.to_console() == [DataReceived(stream, b"all", False)]
        pair.node.send_data(stream, b"", ended=True)
        assert pair.to_console() == [DataReceived(stream, b"", True)]

    def test_data_without_a_byte_is_not_sent(self, pair):
        stream = pair.answered()
        pair.node.send_data(stream, b"")
        assert pair.node.take() is None

    def test_an_answer_may_end_before_its_request(self, pair):
        stream = pair.ask(ended=False)
        pair.node.send_head(stream, ANSWER, ended=True)
        assert pair.to_console() == [HeadReceived(stream, ANSWER, True)]
        assert pair.console.open_streams == 1
        pair.console.reset(stream, Code.NO_ERROR)
        assert pair.to_node() == [ResetReceived(stream, Code.NO_ERROR, "")]
        assert pair.console.open_streams == pair.node.open_streams == 0

    def test_streams_are_odd_and_rise_by_two(self, pair):
        assert [pair.ask() for _ in range(4)] == [1, 3, 5, 7]

    def test_streams_do_not_mix(self, pair):
        first, second = pair.answered(), pair.answered()
        pair.node.send_data(first, b"1")
        pair.node.send_data(second, b"2", ended=True)
        assert pair.to_console() == [DataReceived(first, b"1", False), DataReceived(second, b"2", True)]

    def test_settings_travel_either_way_at_any_time(self, pair):
        pair.node.send_settings(b'{"models":[]}')
        pair.console.send_settings(b'{"config":{}}')
        assert pair.to_console() == [SettingsReceived(b'{"models":[]}')]
        assert pair.to_node() == [SettingsReceived(b'{"config":{}}')]

    def test_a_ping_is_answered(self, pair):
        pair.console.ping()
        assert pair.to_node() == []
        assert pair.to_console() == [PongReceived()]


class TestMisuse:
    """What this end asks of its own session and may not."""

    def test_a_node_opens_nothing(self, pair):
        assert not pair.node.can_open
        with pytest.raises(CannotOpen):
            pair.node.open(REQUEST)

    def test_no_more_than_256_streams(self, pair):
        streams = [pair.ask() for _ in range(MAX_STREAMS)]
        assert MAX_STREAMS == 256
        assert not pair.console.can_open
        with pytest.raises(CannotOpen):
            pair.console.open(REQUEST)
        pair.node.send_head(streams[7], ANSWER, ended=True)
        pair.to_console()
        assert pair.ask() == streams[-1] + 2

    def test_no_data_before_the_head(self, pair):
        stream = pair.ask()
        with pytest.raises(StreamGone):
            pair.node.send_data(stream, b"early")

    def test_no_data_after_the_end(self, pair):
        stream = pair.console.open(REQUEST)
        pair.console.send_data(stream, b"all", ended=True)
        with pytest.raises(StreamGone):
            pair.console.send_data(stream, b"more")

    def test_no_second_head(self, pair):
        stream = pair.answered()
        with pytest.raises(StreamGone):
            pair.node.send_head(stream, ANSWER)

    def test_nothing_on_a_stream_that_is_not_open(self, pair):
        with pytest.raises(StreamGone):
            pair.node.send_head(1, ANSWER)
        with pytest.raises(StreamGone):
            pair.console.send_data(1, b"data")
        assert pair.console.room(1) == 0
        pair.console.consumed(1, 10)
        pair.console.reset(1, Code.CANCEL)
        assert pair.console.take() is None

    def test_a_head_that_fits_no_frame_opens_nothing(self, pair):
        with pytest.raises(ValueError, match="fit no frame"):
            pair.console.open(bytes(frames.MAX_PAYLOAD_BYTES + 1))
        assert pair.console.open_streams == 0
        assert pair.ask() == 1

    def test_more_is_not_dealt_with_than_came(self, pair):
        stream = pair.answered()
        with pytest.raises(ValueError, match="came"):
            pair.console.consumed(stream, STREAM_WINDOW_BYTES)


class TestResets:
    @pytest.mark.parametrize("code", list(Code))
    def test_the_other_end_hears_why(self, pair, code):
        stream = pair.answered()
        pair.node.reset(stream, code, "so it is")
        assert pair.to_console() == [ResetReceived(stream, code, "so it is")]
        assert pair.console.open_streams == pair.node.open_streams == 0

    def test_what_was_queued_is_dropped(self, pair):
        stream = pair.answered()
        pair.node.send_data(stream, b"never mind")
        pair.node.reset(stream, Code.CANCEL)
        assert pair.to_console() == [ResetReceived(stream, Code.CANCEL, "")]

    def test_twice_says_it_once(self, pair):
        stream = pair.answered()
        pair.console.reset(stream, Code.CANCEL)
        pair.console.reset(stream, Code.CANCEL)
        assert pair.to_node() == [ResetReceived(stream, Code.CANCEL, "")]

    def test_late_frames_are_dropped(self, pair):
        stream = pair.ask()
        pair.node.send_head(stream, ANSWER)
        pair.node.send_data(stream, b"under way")
        pair.up.send_all()
        pair.console.reset(stream, Code.CANCEL)
        assert pair.to_console() == []
        assert pair.to_node() == [ResetReceived(stream, Code.CANCEL, "")]

    def test_an_answer_to_an_earlier_ping_says_nothing_of_a_later_reset(self, pair):
        stream = pair.ask()
        pair.console.ping()
        pair.to_node()
        pair.node.send_head(stream, ANSWER)
        pair.node.send_data(stream, b"under way")
        pair.console.reset(stream, Code.CANCEL)
        assert pair.to_console() == [PongReceived()]
        assert pair.to_node() == [ResetReceived(stream, Code.CANCEL, "")]

    def test_both_at_once(self, pair):
        stream = pair.answered()
        pair.console.reset(stream, Code.CANCEL)
        pair.node.reset(stream, Code.LOCAL_TIMEOUT)
        assert pair.to_node() == pair.to_console() == []

    def test_crossing_the_last_word(self, pair):
        stream = pair.answered()
        pair.node.send_data(stream, b"end", ended=True)
        pair.up.send_all()
        pair.console.reset(stream, Code.CANCEL)
        assert pair.to_node() == pair.to_console() == []

    def test_many_are_forgotten_without_being_told(self, pair):
        for stream in [pair.ask() for _ in range(MANY_RESETS)]:
            pair.console.reset(stream, Code.CANCEL)
        assert len(pair.to_node()) == MANY_RESETS
        assert pair.to_console() == [PongReceived()]


class TestCredit:
    def test_a_stream_takes_256_kib_and_no_more(self, pair):
        stream = pair.answered()
        assert pair.node.room(stream) == STREAM_WINDOW_BYTES == 256 * 1024
        pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES - 1))
        assert pair.node.room(stream) == 1
        with pytest.raises(CreditExceeded):
            pair.node.send_data(stream, b"12")
        pair.node.send_data(stream, b"1")
        assert pair.node.room(stream) == 0

    def test_it_comes_back_when_the_reader_has_dealt_with_half(self, pair):
        stream = pair.answered()
        pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES))
        pair.to_console()
        pair.console.consumed(stream, STREAM_WINDOW_BYTES // 2 - 1)
        assert pair.to_node() == []
        pair.console.consumed(stream, 1)
        assert pair.to_node() == [RoomGained(stream)]
        assert pair.node.room(stream) == STREAM_WINDOW_BYTES // 2

    def test_it_bounds_requests_as_well(self, pair):
        stream = pair.ask(ended=False)
        pair.console.send_data(stream, bytes(STREAM_WINDOW_BYTES))
        pair.to_node()
        assert pair.console.room(stream) == 0
        pair.node.consumed(stream, STREAM_WINDOW_BYTES)
        assert pair.to_console() == [RoomGained(stream)]

    def test_late_credit_for_a_stream_that_has_ended_means_nothing(self, pair):
        stream = pair.answered()
        pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES))
        pair.to_console()
        pair.console.consumed(stream, STREAM_WINDOW_BYTES)
        pair.node.reset(stream, Code.NO_ERROR)
        assert pair.to_node() == []

    def test_all_that_is_under_way_is_4_mib_at_most(self, pair):
        for stream in [pair.answered() for _ in range(20)]:
            pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES))
        pair.up.send_all()
        waiting = sum(len(message) - frames.HEADER_BYTES for message in pair.up.travelling)
        assert waiting == CONNECTION_WINDOW_BYTES == 4 * 1024 * 1024

    def test_the_last_of_it_is_used_to_the_byte(self, pair):
        *many, last = [pair.answered() for _ in range(17)]
        for stream in many:
            pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES - (100 if stream == many[0] else 0)))
        pair.up.send_all()
        pair.node.send_data(last, bytes(200))
        assert len(frames.decode(pair.node.take()).payload) == 100
        assert pair.node.take() is None

    def test_nobody_is_told_of_room_after_the_end(self, pair):
        stream = pair.ask(ended=False)
        pair.node.send_head(stream, ANSWER)
        pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES), ended=True)
        pair.to_console()
        pair.console.consumed(stream, STREAM_WINDOW_BYTES)
        assert pair.console.take() is None

    def test_readers_who_stopped_hold_up_nobody_else(self, pair):
        quick = pair.answered()
        for stream in [pair.answered() for _ in range(32)]:  # 8 MiB that nobody reads
            pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES))
        pair.settle()
        pair.node.send_data(quick, b"quick", ended=True)
        assert pair.to_console() == [DataReceived(quick, b"quick", True)]


class TestTurns:
    def test_a_long_answer_delays_a_short_one_by_one_frame(self, pair):
        long, short = pair.answered(), pair.answered()
        pair.node.send_data(long, bytes(STREAM_WINDOW_BYTES))
        pair.node.send_data(short, b"short", ended=True)
        first, second = pair.node.take(), pair.node.take()
        assert len(first) == frames.HEADER_BYTES + MAX_TURN_BYTES
        assert frames.decode(second).payload == b"short"

    def test_everybody_has_the_same_share(self, pair):
        streams = [pair.answered() for _ in range(5)]
        for stream in streams:
            pair.node.send_data(stream, bytes(5 * MAX_TURN_BYTES))
        taken = [frames.decode(pair.node.take()).stream for _ in range(15)]
        assert taken == streams * 3

    def test_what_is_not_data_goes_first(self, pair):
        stream, other = pair.answered(), pair.answered()
        pair.node.send_data(stream, bytes(STREAM_WINDOW_BYTES))
        pair.node.reset(other, Code.LOCAL_TIMEOUT)
        assert frames.decode(pair.node.take()).kind == frames.RST_STREAM

    def test_small_pieces_that_wait_leave_together(self, pair):
        stream = pair.answered()
        for piece in (b"a", b"b", b"c"):
            pair.node.send_data(stream, piece)
        assert pair.to_console() == [DataReceived(stream, b"abc", False)]


class TestGoingAway:
    def test_a_console_that_goes_opens_no_more_and_ends_what_is_open(self, pair):
        stream = pair.ask()
        pair.console.go_away(Code.NO_ERROR, "restart")
        assert pair.to_node() == [GoAwayReceived(Code.NO_ERROR, "restart", ())]
        with pytest.raises(CannotOpen):
            pair.console.open(REQUEST)
        pair.node.send_head(stream, ANSWER, ended=True)
        assert pair.to_console() == [HeadReceived(stream, ANSWER, True)]

    def test_a_node_that_goes_refuses_what_it_has_not_seen(self, pair):
        seen, ended = pair.ask(ended=False), pair.ask()
        pair.node.go_away(Code.NO_ERROR, "draining")
        unseen = pair.console.open(REQUEST)
        pair.console.send_data(unseen, b"body", ended=True)
        pair.console.send_data(seen, b"body", ended=True)
        assert pair.to_node() == [DataReceived(seen, b"body", True)]
        assert pair.to_console() == [GoAwayReceived(Code.NO_ERROR, "draining", (unseen,))]
        assert not pair.console.can_open
        for stream in (seen, ended):
            pair.node.send_head(stream, ANSWER, ended=True)
        assert len(pair.to_console()) == 2
        assert pair.console.open_streams == pair.node.open_streams == 0

    def test_saying_it_again_takes_nothing_back(self, pair):
        pair.node.go_away(Code.NO_ERROR, "draining")
        pair.console.open(REQUEST)
        pair.to_node()
        pair.node.go_away(Code.NO_ERROR, "now")
        assert [type(event) for event in pair.to_console()] == [GoAwayReceived, GoAwayReceived]

    def test_a_lost_connection_takes_its_streams_with_it(self, pair):
        streams = [pair.ask(), pair.answered()]
        assert pair.console.close() == pair.node.close() == tuple(streams)
        assert pair.console.close() == ()
        pair.console.ping()
        pair.console.send_settings(b"{}")
        pair.console.go_away()
        assert pair.console.take() is None
        with pytest.raises(CannotOpen):
            pair.console.open(REQUEST)
