import base64
import copy
import json
import logging
import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.secrets import (
    KeyRing,
    KeyRingInvalid,
    SealBroken,
    SealingKeyMissing,
    Secret,
    SecretsError,
    generate_entry,
)

KEYS = {number: bytes(range(number, number + 32)) for number in (1, 2, 3)}  # fixed: they are in the names of cases
RING = KeyRing({1: KEYS[1], 2: KEYS[2]})
PLACE = "providers_connectionkey|7|3|https://api.example.com"


def entry(key_id: int, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}"


@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, aad: str):
    assert RING.open(RING.seal(plaintext, aad), aad) == plaintext


def test_the_same_secret_sealed_twice_looks_different():
    assert RING.seal(b"sk-vendor", PLACE) != RING.seal(b"sk-vendor", PLACE)


def test_the_format_is_version_key_id_nonce_ciphertext():
    sealed = RING.seal(b"sk-vendor", PLACE)
    assert sealed[:3] == b"\x01\x00\x02"
    assert len(sealed) == 3 + 12 + len(b"sk-vendor") + 16
    assert b"sk-vendor" not in sealed


def test_a_secret_copied_to_another_place_does_not_open():
    with pytest.raises(SealBroken):
        RING.open(RING.seal(b"sk-vendor", PLACE), PLACE.replace("|3|", "|4|"))


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject):
    sealed = bytearray(RING.seal(b"sk-vendor", PLACE))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SecretsError):
        RING.open(bytes(sealed), PLACE)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_the_typed_errors(junk: bytes):
    with pytest.raises(SecretsError):
        RING.open(junk, PLACE)


def test_a_truncated_seal_is_broken():
    sealed = RING.seal(b"", PLACE)
    with pytest.raises(SealBroken):
        RING.open(sealed[:-1], PLACE)


def test_database_buffers_open_too():
    assert RING.open(memoryview(RING.seal(b"x", PLACE)), PLACE) == b"x"


def test_rotation_from_one_key_to_the_next():
    old = KeyRing({1: KEYS[1]})
    both = KeyRing.parse(f"{entry(1, KEYS[1])},{entry(2, KEYS[2])}")
    new = KeyRing({2: KEYS[2]})
    sealed = old.seal(b"sk-vendor", PLACE)
    assert not old.needs_rotation(sealed)
    assert both.needs_rotation(sealed)
    rotated = both.seal(both.open(sealed, PLACE), PLACE)
    assert not both.needs_rotation(rotated)
    assert new.open(rotated, PLACE) == b"sk-vendor"
    with pytest.raises(SealingKeyMissing, match="no key 1"):
        new.open(sealed, PLACE)


def test_the_highest_id_seals_wherever_it_stands():
    assert KeyRing.parse(f"{entry(10, KEYS[1])},{entry(9, KEYS[2])}").sealing_id == 10


def test_both_alphabets_with_and_without_padding_are_read():
    key = bytes(range(224, 256))
    for text in (
        base64.b64encode(key).decode(),
        base64.urlsafe_b64encode(key).decode(),
        base64.urlsafe_b64encode(key).decode().rstrip("="),
    ):
        ring = KeyRing.parse(f" 1:{text} ")
        assert ring.open(KeyRing({1: key}).seal(b"x", ""), "") == b"x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "1",
        "1:",
        "1:short",
        "x:" + "A" * 43 + "=",
        "0" + entry(1, KEYS[1]),
        "-" + entry(1, KEYS[1]),
        "٣" + entry(1, KEYS[1])[1:],
        entry(0, KEYS[1]),
        entry(65536, KEYS[1]),
        entry(1, KEYS[1][:31]),
        entry(1, KEYS[1] + b"x"),
        entry(1, bytes(32)),
        entry(1, b"password" * 4)[:-3] + "!!!",
        entry(1, b"abcabcab" * 4),
        entry(1, KEYS[1]) + "," + entry(1, KEYS[2]),
        entry(1, KEYS[1]) + ",",
    ],
)
def test_a_ring_that_is_not_right_is_refused_without_showing_it(text: str):
    with pytest.raises(KeyRingInvalid) as refusal:
        KeyRing.parse(text)
    assert not [word for word in text.split(":") if len(word) > 5 and word[:6] in str(refusal.value)]


def test_a_generated_entry_makes_a_ring():
    first, second = generate_entry(), generate_entry(2)
    assert KeyRing.parse(f"{first},{second}").sealing_id == 2
    assert first.removeprefix("1:") != second.removeprefix("2:")


def test_a_ring_shows_ids_only():
    assert repr(RING) == "KeyRing(ids=[1, 2])"


def test_a_secret_shows_itself_only_when_asked(caplog):
    secret = Secret("sk-vendor-0123456789")
    assert secret.reveal() == "sk-vendor-0123456789"
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", secret, {"key": secret})
    shown = [str(secret), repr(secret), f"{secret}", repr([secret])]
    assert not [text for text in [*shown, caplog.text] if "vendor" in text]


@pytest.mark.parametrize("serialise", [pickle.dumps, json.dumps, orjson.dumps, "".join, bytes])
def test_a_secret_is_not_serialised(serialise):
    with pytest.raises(TypeError):
        serialise([Secret("sk-vendor")] if serialise == "".join else Secret("sk-vendor"))


def test_secrets_compare_by_content_and_with_secrets_only():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("ü")}) == 2
    assert copy.deepcopy(Secret("a")) == Secret("a")
    assert not Secret("")


def test_a_hint_tells_little():
    assert Secret("sk-vendor-0123456789").hint() == "6789"
    assert Secret("short").hint() == ""
