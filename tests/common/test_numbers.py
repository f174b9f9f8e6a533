from __future__ import annotations

from decimal import Decimal

import pytest

from common.numbers import is_number, is_whole, plain


@pytest.mark.parametrize("value", [1, 2, 9])
def test_whole_numbers_within_the_bounds_are_whole(value):
    assert is_whole(value, 1, 9)


@pytest.mark.parametrize("value", [0, 10, 1.0, True, "1", None, float("nan")])
def test_what_is_beyond_or_of_another_kind_is_not(value):
    assert not is_whole(value, 1, 9)


@pytest.mark.parametrize(("value", "is_one"), [(0, True), (-1.5, True), (True, False), ("1", False), (None, False)])
def test_numbers_are_told_from_what_looks_like_one(value, is_one):
    assert is_number(value) is is_one


@pytest.mark.parametrize(
    ("amount", "text"),
    [("2.500000", "2.5"), ("100", "100"), ("100.00", "100"), ("0E-9", "0"), ("1E+2", "100"), ("-0.10", "-0.1")],
)
def test_amounts_are_plain(amount, text):
    assert plain(Decimal(amount)) == text
