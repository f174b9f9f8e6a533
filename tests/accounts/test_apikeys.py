import string

from hypothesis import given
from hypothesis import strategies as st

from accounts import apikeys

ALPHABET = string.digits + string.ascii_letters


def test_a_new_key_has_the_documented_shape():
    key = apikeys.mint().key
    assert key.startswith("sk-sai-")
    public_id, _, rest = key.removeprefix("sk-sai-").partition("-")
    assert (len(public_id), len(rest)) == (12, 38)
    assert set(public_id + rest) <= set(ALPHABET)


def test_keys_do_not_repeat():
    assert len({apikeys.mint().key for _ in range(1000)}) == 1000


def test_the_parts_of_a_key_prove_it():
    minted = apikeys.mint()
    parts = apikeys.parse(minted.key)
    assert parts == (minted.public_id, minted.secret_hash)
    assert apikeys.matches(parts, minted.secret_hash)
    assert not apikeys.matches(parts, apikeys.mint().secret_hash)


def test_the_hash_does_not_hold_the_secret():
    minted = apikeys.mint()
    assert minted.key[20:52].encode() not in minted.secret_hash
    assert len(minted.secret_hash) == 32


@given(position=st.integers(7, 56), letter=st.sampled_from(ALPHABET))
def test_one_wrong_letter_is_refused_without_any_look_up(position, letter):
    key = apikeys.mint().key
    changed = key[:position] + letter + key[position + 1 :]
    assert (apikeys.parse(changed) is None) == (changed != key)


@given(st.integers(8, 55))
def test_two_letters_swapped_are_refused(position):
    key = apikeys.mint().key
    swapped = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert (apikeys.parse(swapped) is None) == (swapped != key)


@given(st.text(max_size=80))
def test_anything_else_is_refused(text):
    assert apikeys.parse(text) is None
    assert apikeys.parse("sk-sai-" + text) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=12, max_size=12))
def test_a_public_id_has_letters_and_digits_only(public_id):
    stem = f"sk-sai-{public_id}-{'a' * 32}"
    forged = stem + apikeys._check(stem)
    assert (apikeys.parse(forged) is not None) == (public_id.isascii() and public_id.isalnum())
