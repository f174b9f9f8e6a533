"""Values of the environment are checked when the settings are read, and the message names the variable."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from console import env
from providers.transport import Deadlines

NAME = "SHAREAI_TEST_VALUE"


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (env.integer, "ten"),
        (env.integer, "1.5"),
        (env.number, "much"),
        (env.seconds, "0"),
        (env.seconds, "-1"),
        (env.seconds, "inf"),
        (env.seconds, "nan"),
        (env.seconds, "1 s"),
        (env.boolean, "maybe"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch, read, raw):
    monkeypatch.setenv(NAME, raw)
    with pytest.raises(ImproperlyConfigured, match=NAME):
        read(NAME, 1)


@pytest.mark.parametrize(
    ("read", "raw", "value"),
    [
        (env.integer, "12", 12),
        (env.number, "-1.5", -1.5),
        (env.seconds, "0.25", 0.25),
        (env.boolean, "Yes", True),
        (env.boolean, "off", False),
        (env.words, " a, ,b", ["a", "b"]),
        (env.text, " as it is ", " as it is "),
    ],
)
def test_a_right_value(monkeypatch, read, raw, value):
    monkeypatch.setenv(NAME, raw)
    assert read(NAME, env.text("NOT_SET_ANYWHERE")) == value


@pytest.mark.parametrize("read", [env.integer, env.number, env.seconds])
def test_an_empty_value_is_the_default(monkeypatch, read):
    monkeypatch.setenv(NAME, "")
    assert read(NAME, 7) == 7


def test_the_deadlines_are_the_shipped_ones_unless_somebody_sets_them():
    assert Deadlines(**settings.DEADLINES) == Deadlines()
