import csv
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cells import cell, csv_line


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_that_a_spreadsheet_would_run_is_text(start):
    assert cell(f"{start}HYPERLINK()") == f"'{start}HYPERLINK()"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("-0.000000014", "-0.000000014"),
        ("-5", "-5"),
        (-5, "-5"),
        (0, "0"),
        (None, ""),
        ("", ""),
        ("llama-3.1", "llama-3.1"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
    ],
)
def test_figures_times_and_names_stay(value, said):
    assert cell(value) == said


def test_what_looks_like_a_number_and_adds_up_is_a_formula():
    assert cell("-1+1") == "'-1+1"
    assert cell("--1") == "'--1"


@given(st.text())
def test_twice_is_once(text):
    assert cell(cell(text)) == cell(text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=2))
def test_what_was_written_is_read(values):
    (read,) = csv.reader(StringIO(csv_line(values), newline=""))
    assert read == [cell(value) for value in values]
