"""How often a page asks the database: at most fifteen times, and as often for many rows as for few."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from bench.activity import asked_of
from tests.console.pages.many import Plenty
from tests.console.pages.test_pages import LISTS, OWNED, address, things, works  # noqa: F401  fixtures

FEW, MANY = 3, 12
MOST = 15
AN_ALERT = 1
"""More while an alert is open, which is told on every page; here one always is."""
EXPLAINING = {"routes-show": 24, "settings-configuration-export": 30}
"""A page that explains a call reads the organisation as the gateway does: keys, limits, targets, routes, drills. The
file of the configuration reads all that can be configured."""
OPEN = ("causes", "contributors", "developer-guide", "provider-guide", "price-book", "causes-review")


@pytest.fixture
def plenty(db, works) -> Plenty:  # noqa: F811
    works.alice.is_staff = True
    works.alice.save()
    return Plenty(works.acme, works.as_alice)


def test_no_page_asks_more_often_for_more_rows_nor_more_than_fifteen_times(as_browser, works, address, plenty):  # noqa: F811
    browser = as_browser(works.alice)
    places = {name: reverse(name) for name in (*LISTS, *OPEN)} | {name: address(name) for name in OWNED}
    plenty.to(FEW)
    few = {name: asked_the_second_time(browser, place) for name, place in places.items()}
    plenty.to(MANY)
    many = {name: asked_the_second_time(browser, place, few[name]) for name, place in places.items()}
    growing = {name: (few[name], many[name]) for name in places if many[name] > few[name]}
    assert growing == {}
    assert {name: count for name, count in many.items() if count > EXPLAINING.get(name, MOST) + AN_ALERT} == {}


def asked_the_second_time(browser: Client, place: str, expected: int = 0) -> int:
    """The first time may fill what is kept for later; and once a minute it is noted that the session was seen, for
    which more than is expected is looked at once more.
    """
    browser.get(place)
    asked = _asked(browser, place)
    return asked if asked <= expected else min(asked, _asked(browser, place))


def _asked(browser: Client, place: str) -> int:
    status, queries = asked_of(browser, place)
    assert status == 200, place
    return queries
