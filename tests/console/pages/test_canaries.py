"""A canary on the page of its route, and by the management API."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts import roles
from accounts.models import Membership
from routing import canaries
from routing.drafts import save_draft
from routing.models import Canary, Route
from routing.services import put_route

pytestmark = pytest.mark.django_db
BEGIN = {"wish": "start", "percent": "10", "most_error_percent": "5", "least_requests": "50"}


@pytest.fixture
def draft(acme, as_alice, connection):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}]})
    return save_draft(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat", "weight": 3}]})


def test_a_canary_is_begun_changed_and_promoted_on_its_page(as_browser, alice, acme, draft):
    browser, address = as_browser(alice), reverse("routes-canary", args=["fast"])
    shown = reverse("routes-show", args=["fast"])
    assert 'name="most_error_percent"' in browser.get(shown).content.decode()
    browser.post(address, BEGIN)
    page = browser.get(shown).content.decode()
    assert "10 % of the requests" in page
    assert 'name="most_error_percent"' not in page, "one at a time"
    browser.post(address, {"wish": "share", "percent": "25"})
    assert canaries.running_of(Route.objects.get(org=acme)).percent == 25
    browser.post(address, {"wish": "promote"})
    assert Route.objects.get(org=acme).targets[0]["weight"] == 3
    assert Canary.objects.get().state == Canary.PROMOTED


def test_it_is_rolled_back_on_its_page_and_stays_to_be_seen(as_browser, alice, acme, draft):
    browser, address = as_browser(alice), reverse("routes-canary", args=["fast"])
    browser.post(address, BEGIN)
    browser.post(address, {"wish": "roll_back"})
    assert Canary.objects.get().state == Canary.ROLLED_BACK
    assert "rolled back" in browser.get(reverse("routes-show", args=["fast"])).content.decode()


def test_what_is_no_share_is_refused(as_browser, alice, draft):
    for percent in ("0", "100", "x", ""):
        as_browser(alice).post(reverse("routes-canary", args=["fast"]), BEGIN | {"percent": percent})
    assert not Canary.objects.exists()


def test_who_only_looks_begins_nothing(as_browser, bob, acme, draft):
    Membership.objects.of(acme).filter(user=bob).update(role=roles.VIEWER)
    assert as_browser(bob).post(reverse("routes-canary", args=["fast"]), BEGIN).status_code == 403
