"""Cache policies as people set them."""

from __future__ import annotations

from django.urls import reverse

from accounts.keys import rotate_key, update_key
from providers.models import Connection
from routing.cache_services import put_policy
from routing.models import CachePolicy, CachePurge
from routing.services import put_route
from tests.console.pages.conftest import connect, record

NEW = {"ttl_s": "3600", "covers": "organization:"}


def test_without_a_policy_the_page_says_that_nothing_is_kept(as_browser, alice, acme):
    shown = as_browser(alice).get(reverse("cache")).content.decode()
    assert "Nothing is kept" in shown
    assert reverse("cache-new") in shown


def test_a_policy_is_added_changed_and_deleted(as_browser, alice, acme):
    browser = as_browser(alice)
    assert browser.post(reverse("cache-new"), NEW | {"per_key": "on"}).url == reverse("cache")
    policy = CachePolicy.objects.of(acme).get()
    assert (policy.scope, policy.ttl_s, policy.per_key) == ("organization", 3600, True)
    browser.post(reverse("cache-edit", args=[policy.public_id]), {"ttl_s": "60"})
    policy.refresh_from_db()
    assert (policy.scope, policy.ttl_s, policy.per_key) == ("organization", 60, False)
    assert "1 minute" in browser.get(reverse("cache")).content.decode()
    browser.post(reverse("cache-delete", args=[policy.public_id]))
    assert not CachePolicy.objects.of(acme).exists()


def test_a_key_and_a_model_can_be_chosen(as_browser, alice, acme, connection, key):
    browser = as_browser(alice)
    for covers in (f"key:{key.public_id}", "model:sim-chat"):
        answer = browser.post(reverse("cache-new"), NEW | {"covers": covers})
        offered = f'value="{covers}"' in browser.get(reverse("cache-new")).content.decode()
        assert answer.status_code == (302 if offered else 422)
    assert CachePolicy.objects.of(acme).filter(scope="key").exists()
    assert key.name in browser.get(reverse("cache")).content.decode()


def test_a_rotated_key_is_offered_once_and_keeps_its_policy(as_browser, alice, as_alice, acme, key):
    put_policy(acme, as_alice, scope="key", subject=key.public_id, ttl_s=60)
    new = rotate_key(key, as_alice, overlap_s=60).key
    update_key(new, as_alice, name="renamed since")
    browser = as_browser(alice)
    shown = browser.get(reverse("cache")).content.decode()
    assert "renamed since" in shown
    assert key.name not in shown
    form = browser.get(reverse("cache-new")).content.decode()
    assert f"key:{new.public_id}" in form
    assert f"key:{key.public_id}" not in form
    policy = CachePolicy.objects.of(acme).get()
    browser.post(reverse("cache-edit", args=[policy.public_id]), {"ttl_s": "3600"})
    assert CachePolicy.objects.of(acme).get().ttl_s == 3600


def test_a_strange_wish_is_refused_beside_its_field(as_browser, alice, acme):
    answer = as_browser(alice).post(reverse("cache-new"), NEW | {"covers": "route:nowhere"})
    assert answer.status_code == 422
    assert not CachePolicy.objects.of(acme).exists()


def test_the_policy_of_a_private_route_says_that_it_keeps_nothing(as_browser, alice, as_alice, acme, connection):
    for name, private in (("home", True), ("open", False)):
        put_route(acme, as_alice, name, {"targets": [{"target": "aurora/demo-chat"}], "private": private})
        put_policy(acme, as_alice, scope="route", subject=name, ttl_s=60)
    assert as_browser(alice).get(reverse("cache")).content.decode().count("private: never kept") == 1


def test_a_purge_is_asked_for_and_made(as_browser, alice, acme):
    browser = as_browser(alice)
    assert "sim-chat" in browser.get(reverse("cache-purge"), {"name": "sim-chat"}).content.decode()
    browser.post(reverse("cache-purge"), {"name": "sim-chat"})
    assert CachePurge.objects.of(acme).get().name == "sim-chat"


def test_what_was_saved_is_shown(as_browser, alice, as_alice, acme):
    put_policy(acme, as_alice, scope="organization", ttl_s=60)
    record(acme, None, 1, cache="MISS")
    record(acme, None, 1, cache="HIT", cost_nanos=0, saved_nanos=7_000_000_000)
    shown = as_browser(alice).get(reverse("cache")).content.decode()
    assert "$7.00" in shown
    assert "50.0 %" in shown


def test_a_viewer_changes_nothing(as_browser, carol, as_alice, acme):
    policy = put_policy(acme, as_alice, scope="organization", ttl_s=60)
    browser = as_browser(carol)
    assert reverse("cache-purge") not in browser.get(reverse("cache")).content.decode()
    addresses = [reverse("cache-delete", args=[policy.public_id]), reverse("cache-purge"), reverse("cache-new")]
    assert [browser.post(address).status_code for address in addresses] == [403] * 3


def test_what_means_the_same_is_a_wish_of_a_route_alone(as_browser, alice, as_alice, acme, connection):
    put_route(acme, as_alice, "faq", {"targets": [{"target": "aurora/demo-chat"}]})
    connect(acme, as_alice, "Embedder", [("embed", "embedding")])
    browser, wish = as_browser(alice), {"semantic_model": "embed", "threshold": "0.9"}
    assert '<option value="embed">' in browser.get(reverse("cache-new")).content.decode()
    strange = NEW | {"covers": "route:faq", "semantic_model": "demo-chat"}
    assert browser.post(reverse("cache-new"), strange).status_code == 422
    assert browser.post(reverse("cache-new"), NEW | wish).status_code == 422
    assert browser.post(reverse("cache-new"), NEW | wish | {"covers": "route:faq"}).status_code == 302
    policy = CachePolicy.objects.of(acme).get()
    assert policy.semantic == {"model": "embed", "threshold": 0.9}
    assert "similar from 0.9" in browser.get(reverse("cache")).content.decode()
    change = reverse("cache-edit", args=[policy.public_id])
    Connection.objects.filter(name="Embedder").update(enabled=False)
    assert "embed (not served now)" in browser.get(change).content.decode()
    assert browser.post(change, wish | {"ttl_s": "600"}).status_code == 302
    browser.post(change, {"ttl_s": "60"})
    policy.refresh_from_db()
    assert policy.semantic is None
