"""The bytes of a frame: what is written is read, and what is not exactly so is a violation."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import Code, ProtocolViolation
from shareai_node.tunnel.frames import Frame

KINDS = {
    frames.DATA: (b"data", 5),
    frames.HEADERS: (b"{}", 5),
    frames.RST_STREAM: (struct.pack(">I", 8), 5),
    frames.SETTINGS: (b"{}", 0),
    frames.PING: (b"12345678", 0),
    frames.GOAWAY: (struct.pack(">II", 7, 0), 0),
    frames.WINDOW_UPDATE: (struct.pack(">I", 1), 5),
}
"""Of each type a payload and a stream that it may have."""


def violation_of(message: bytes) -> Code:
    with pytest.raises(ProtocolViolation) as caught:
        frames.decode(message)
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(kind):
    payload, stream = KINDS[kind]
    assert frames.decode(frames.encode(kind, 0, stream, payload)) == Frame(kind, 0, stream, payload)


def test_the_layout_is_the_one_of_the_contract():
    assert (
        frames.encode(frames.DATA, frames.END_STREAM, 5, b"hello")
        == bytes.fromhex("00 01 00 00000005 0005") + b"hello"
    )


@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(KINDS)))
def test_an_unknown_type_is_a_violation(kind):
    assert violation_of(frames.encode(kind, 0, 1, b"")) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", [2, 4, 8, 16, 32, 64, 128])
def test_a_flag_that_means_nothing_is_a_violation(kind, flag):
    payload, stream = KINDS[kind]
    assert violation_of(frames.encode(kind, flag, stream, payload)) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [frames.RST_STREAM, frames.SETTINGS, frames.GOAWAY, frames.WINDOW_UPDATE])
def test_a_flag_of_other_types_is_a_violation(kind):
    payload, stream = KINDS[kind]
    assert violation_of(frames.encode(kind, 1, stream, payload)) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_the_reserved_byte_must_be_nought(kind):
    payload, stream = KINDS[kind]
    message = bytearray(frames.encode(kind, 0, stream, payload))
    message[2] = 1
    assert violation_of(bytes(message)) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_that_is_not_the_payload_s_is_a_violation(kind):
    payload, stream = KINDS[kind]
    whole = frames.encode(kind, 0, stream, payload)
    assert violation_of(whole[:-1]) is Code.FRAME_SIZE_ERROR
    assert violation_of(whole + b"x") is Code.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (frames.PING, b"1234567"),
        (frames.PING, b"123456789"),
        (frames.WINDOW_UPDATE, b"123"),
        (frames.WINDOW_UPDATE, b"12345"),
        (frames.RST_STREAM, b"123"),
        (frames.RST_STREAM, b"1234" + b"x" * 201),
        (frames.GOAWAY, b"1234567"),
        (frames.GOAWAY, b"12345678" + b"x" * 201),
        (frames.HEADERS, b"{"),
        (frames.SETTINGS, b""),
    ],
)
def test_a_length_that_the_type_does_not_have_is_a_violation(kind, payload):
    assert violation_of(frames.encode(kind, 0, KINDS[kind][1], payload)) is Code.FRAME_SIZE_ERROR


def test_the_largest_frame_is_64_kib():
    largest = frames.encode(frames.DATA, 0, 1, bytes(frames.MAX_PAYLOAD_BYTES))
    assert len(largest) == 65_536
    assert len(frames.decode(largest).payload) == frames.MAX_PAYLOAD_BYTES
    assert (
        violation_of(frames.encode(frames.DATA, 0, 1, bytes(frames.MAX_PAYLOAD_BYTES + 1))) is Code.FRAME_SIZE_ERROR
    )


@pytest.mark.parametrize("size", range(9))
def test_less_than_a_header_is_a_violation(size):
    assert violation_of(bytes(size)) is Code.FRAME_SIZE_ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_even_streams_are_nobody_s(kind):
    assert violation_of(frames.encode(kind, 0, 2, KINDS[kind][0])) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [frames.DATA, frames.HEADERS, frames.RST_STREAM])
def test_what_belongs_to_a_stream_cannot_stand_on_the_connection(kind):
    assert violation_of(frames.encode(kind, 0, 0, KINDS[kind][0])) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [frames.SETTINGS, frames.PING, frames.GOAWAY])
def test_what_belongs_to_the_connection_cannot_stand_on_a_stream(kind):
    assert violation_of(frames.encode(kind, 0, 1, KINDS[kind][0])) is Code.PROTOCOL_ERROR


def test_a_window_update_by_nothing_is_a_violation():
    with pytest.raises(ProtocolViolation):
        frames.increment_in(bytes(4))


def test_reasons_travel_and_are_cut_at_a_character():
    reason = "ก" * 100
    stream, code, said = 3, Code.LOCAL_TIMEOUT, "ก" * 66
    assert frames.reset_in(frames.decode(frames.encode_reset(stream, code, reason)).payload) == (code, said)
    assert frames.go_away_in(frames.decode(frames.encode_go_away(9, code, reason)).payload) == (9, code, said)


def test_a_reason_that_is_no_text_is_a_violation():
    with pytest.raises(ProtocolViolation):
        frames.reset_in(bytes(4) + b"\xff")
    with pytest.raises(ProtocolViolation):
        frames.go_away_in(bytes(8) + b"\xff")


def test_a_code_of_a_newer_version_is_an_internal_error():
    assert frames.reset_in(struct.pack(">I", 4711)) == (Code.INTERNAL_ERROR, "")


@pytest.mark.parametrize("payload", [b"", b"{", bytes(frames.MAX_PAYLOAD_BYTES + 1)])
def test_a_head_that_fits_no_frame_is_not_written(payload):
    with pytest.raises(ValueError, match="fit no frame"):
        frames.encode_head(1, payload, ended=True)
    with pytest.raises(ValueError, match="fit no frame"):
        frames.encode_settings(payload)


headers = st.builds(
    lambda kind, flags, reserved, stream, length, payload: (
        struct.pack(">BBBIH", kind, flags, reserved, stream, length) + payload
    ),
    st.one_of(st.sampled_from(sorted(KINDS)), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1]), st.integers(0, 255)),
    st.one_of(st.just(0), st.integers(0, 255)),
    st.one_of(st.integers(0, 9), st.integers(0, frames.MAX_STREAM)),
    st.integers(0, 65_535),
    st.binary(max_size=300),
)


@given(st.one_of(st.binary(max_size=400), headers))
def test_any_bytes_are_either_one_exact_frame_or_a_violation(message):
    try:
        kind, flags, stream, payload = frames.decode(message)
    except ProtocolViolation:
        return
    assert frames.encode(kind, flags, stream, payload) == message
    assert kind in KINDS


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 20), st.integers(0, 255))
def test_a_valid_frame_with_one_byte_changed_is_read_as_it_stands_or_refused(kind, place, byte):
    payload, stream = KINDS[kind]
    message = bytearray(frames.encode(kind, 0, stream, payload))
    message[place % len(message)] = byte
    try:
        frame = frames.decode(bytes(message))
    except ProtocolViolation:
        return
    assert frames.encode(*frame) == bytes(message)
