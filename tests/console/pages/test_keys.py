from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import apikeys
from accounts.authentication import MANAGE
from accounts.models import ApiKey

FORM = {"name": "shop", "scopes": ["inference"], "expires": "never"}


def test_a_key_is_shown_once(as_browser, alice, acme, connection):
    browser = as_browser(alice)
    response = browser.post(reverse("keys-new"), FORM)
    assert response.status_code == 201
    plain = response.context["plain"]
    assert plain in response.content.decode()
    key = ApiKey.objects.get(name="shop")
    assert apikeys.matches(apikeys.parse(plain), bytes(key.secret_hash))
    later = browser.get(reverse("keys-detail", args=[key.public_id])).content.decode()
    assert plain not in later
    assert key.prefix in later


def test_the_page_with_a_key_is_kept_by_nobody(as_browser, alice, acme):
    response = as_browser(alice).post(reverse("keys-new"), FORM)
    assert "no-store" in response["Cache-Control"]


def test_the_snippets_hold_the_key_and_a_model_that_exists(as_browser, alice, acme, connection):
    response = as_browser(alice).post(reverse("keys-new"), FORM)
    for snippet in response.context["snippets"]:
        assert response.context["plain"] in snippet.text
        assert "demo-chat" in snippet.text


def test_making_a_key_asks_who_signed_in_long_ago_once_more(client_of, alice, acme):
    alice.set_password("correct horse battery staple")
    alice.save()
    response = client_of(alice).get(reverse("keys-new"))
    assert response.url.startswith(reverse("account_reauthenticate"))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"ip_allow": "10.0.0.1/8"}, "ip_allow"),
        ({"allowed_models": "two words"}, "allowed_models"),
        ({"expires": "date"}, "expires_on"),
        ({"expires": "date", "expires_on": "2020-01-01"}, "expires_on"),
    ],
)
def test_a_wrong_field_keeps_what_was_typed(as_browser, alice, acme, wrong, field):
    typed = FORM | {"name": "a name to keep", "ip_allow": "192.0.2.7"} | wrong
    response = as_browser(alice).post(reverse("keys-new"), typed)
    assert response.status_code == 422
    assert response.context["form"].errors.keys() == {field}
    if field != "name":
        assert "a name to keep" in response.content.decode()
    assert f'id="id_{field}_error"' in response.content.decode()
    assert not ApiKey.objects.exists()


def test_a_developer_makes_keys_but_none_that_manages(as_browser, bob, acme):
    browser = as_browser(bob)
    assert browser.post(reverse("keys-new"), FORM | {"scopes": [MANAGE]}).status_code == 422
    assert browser.post(reverse("keys-new"), FORM).status_code == 201
    assert ApiKey.objects.get().created_by == bob


def test_a_developer_leaves_the_keys_of_others_alone(as_browser, bob, acme, key):
    browser = as_browser(bob)
    for name in ("keys-rotate", "keys-revoke"):
        assert browser.post(reverse(name, args=[key.public_id]), {"overlap_s": "0"}).status_code == 403
    assert ApiKey.objects.get().revoked_at is None


def test_rotation_gives_a_new_key_and_ends_the_old_after_the_overlap(as_browser, alice, acme, key):
    response = as_browser(alice).post(reverse("keys-rotate", args=[key.public_id]), {"overlap_s": "86400"})
    assert response.status_code == 201
    key.refresh_from_db()
    assert key.replaced_by.get().public_id == apikeys.parse(response.context["plain"]).public_id
    assert timedelta(hours=23) < key.expires_at - timezone.now() <= timedelta(days=1)


def test_revoking_names_what_breaks_and_then_does_it(as_browser, alice, acme, key):
    browser, address = as_browser(alice), reverse("keys-revoke", args=[key.public_id])
    assert key.prefix not in browser.get(address).context["key"].name
    assert "never been used" in browser.get(address).content.decode()
    browser.post(address)
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_the_first_request_turns_the_waiting_green(as_browser, alice, acme, key):
    browser, address = as_browser(alice), reverse("keys-first-use", args=[key.public_id])
    waiting = browser.get(address).content.decode()
    assert "hx-trigger" in waiting
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
    arrived = browser.get(address).content.decode()
    assert "the first request has arrived" in arrived
    assert "hx-trigger" not in arrived


def test_the_list_is_narrowed_by_words_and_state(as_browser, alice, acme, key, as_alice):
    browser = as_browser(alice)

    def names(query):
        return [shown.name for shown in browser.get(reverse("keys") + query).context["keys"]]

    assert names("?q=BILL") == ["billing service"]
    assert names(f"?q={key.prefix}") == ["billing service"]
    assert names("?q=other") == []
    assert names("?state=ended") == []
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
    assert names("") == []
    assert names("?state=ended") == ["billing service"]


def test_a_date_means_the_whole_of_that_day(as_browser, alice, acme):
    day = timezone.localdate() + timedelta(days=3)
    as_browser(alice).post(reverse("keys-new"), FORM | {"expires": "date", "expires_on": day.isoformat()})
    assert timezone.localdate(ApiKey.objects.get().expires_at - timedelta(seconds=1)) == day
