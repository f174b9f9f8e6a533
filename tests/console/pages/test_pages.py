"""Each page, as each role, in each language."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse

from accounts import roles
from accounts.models import ApiKey, Membership, User
from accounts.roles import Permission as P
from console.smoke import runs
from metering.models import Usage
from providers.models import Connection
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.services import put_route
from routing.simulations import start_simulation
from tests.console.activity import export_of, statement_of
from tests.console.earning_rows import doubted_lot
from tests.console.money import paid_out, paid_top_up
from tests.console.pages import machines
from tests.console.pages.conftest import connect, log_of, new_key, record
from tests.standing import Cast, around_tests, make_cast

LISTS = {
    "home": P.VIEW,
    "playground": P.USE_PLAYGROUND,
    "keys": P.VIEW,
    "keys-new": P.MANAGE_KEYS,
    "models": P.VIEW,
    "route-tester": P.VIEW,
    "routes": P.VIEW,
    "routes-new": P.MANAGE_ROUTES,
    "billing": P.VIEW_BILLING,
    "billing-export": P.VIEW_BILLING,
    "earnings": P.VIEW_EARNINGS,
    "earnings-export": P.VIEW_EARNINGS,
    "earnings-estimate": P.VIEW_EARNINGS,
    "earnings-programme": P.MANAGE_EARNINGS,
    "earnings-recognition": P.MANAGE_EARNINGS,
    "earnings-prices": P.MANAGE_NODES,
    "billing-auto-top-up": P.MANAGE_BILLING,
    "billing-details": P.MANAGE_BILLING,
    "payouts": P.VIEW_EARNINGS,
    "payouts-export": P.VIEW_EARNINGS,
    "payouts-bank": P.MANAGE_EARNINGS,
    "cache": P.VIEW_USAGE,
    "smoke": P.VIEW_USAGE,
    "cache-new": P.MANAGE_ROUTES,
    "cache-purge": P.MANAGE_ROUTES,
    "nodes": P.VIEW,
    "nodes-fleets": P.VIEW,
    "nodes-new": P.MANAGE_NODES,
    "activity": P.VIEW_USAGE,
    "activity-insight": P.VIEW_USAGE,
    "activity-export": P.VIEW_USAGE,
    "activity-same": P.VIEW_USAGE,
    "activity-exports": P.VIEW_USAGE,
    "activity-statements": P.VIEW_BILLING,
    "logs": P.VIEW_USAGE,
    "logs-export": P.VIEW_USAGE,
    "members": P.VIEW,
    "members-invite": P.MANAGE_MEMBERS,
    "quotas": P.VIEW_USAGE,
    "quotas-organisation": P.MANAGE_LIMITS,
    "providers": P.VIEW,
    "providers-new": P.MANAGE_PROVIDERS,
    "audit": P.VIEW_AUDIT,
    "audit-export": P.VIEW_AUDIT,
    "audit-verify": P.VIEW_AUDIT,
    "settings": P.VIEW,
    "settings-content-export": P.VIEW_CONTENT,
    "settings-content-purge": P.MANAGE_ORGANIZATION,
    "settings-configuration": P.MANAGE_ORGANIZATION,
    "settings-configuration-export": P.MANAGE_ORGANIZATION,
    "settings-transfer": P.MANAGE_OWNERS,
    "settings-delete": P.DELETE_ORGANIZATION,
}
OWNED = {
    "billing-receipt": P.VIEW_BILLING,
    "payouts-detail": P.VIEW_EARNINGS,
    "payouts-statement": P.VIEW_EARNINGS,
    "activity-export-file": P.VIEW_USAGE,
    "activity-statement": P.VIEW_BILLING,
    "activity-statement-csv": P.VIEW_BILLING,
    "keys-detail": P.VIEW,
    "keys-rotate": P.MANAGE_KEYS,
    "keys-revoke": P.MANAGE_KEYS,
    "keys-first-use": P.VIEW,
    "cache-edit": P.MANAGE_ROUTES,
    "smoke-run": P.VIEW_USAGE,
    "smoke-download": P.VIEW_USAGE,
    "logs-detail": P.VIEW_USAGE,
    "earnings-case": P.VIEW_EARNINGS,
    "quotas-edit": P.MANAGE_LIMITS,
    "routes-show": P.VIEW,
    "routes-edit": P.MANAGE_ROUTES,
    "routes-delete": P.MANAGE_ROUTES,
    "simulations-show": P.VIEW_USAGE,
    "providers-detail": P.VIEW,
    "providers-edit": P.MANAGE_PROVIDERS,
    "providers-delete": P.MANAGE_PROVIDERS,
    "providers-model": P.MANAGE_PROVIDERS,
    "nodes-detail": P.VIEW,
    "nodes-edit": P.MANAGE_NODES,
    "nodes-pause": P.MANAGE_NODES,
    "nodes-drain": P.MANAGE_NODES,
    "nodes-remove": P.MANAGE_NODES,
    "nodes-token": P.MANAGE_NODES,
    "members-edit": P.MANAGE_MEMBERS,
    "members-remove": P.MANAGE_MEMBERS,
}
MISSING = {"members-edit": [999_999], "members-remove": [999_999], "quotas-edit": ["key", "key_missing"]}


@pytest.fixture(scope="module")
def works(django_db_setup, django_db_blocker) -> Iterator[Cast]:
    """Another cast than that of single tests, for all that only look: a connection, a key, and a log."""
    with around_tests(django_db_blocker):
        yield make_cast("works.test", "other.test")


@pytest.fixture(scope="module")
def things(works) -> tuple[Connection, ApiKey, list[Usage]]:
    connection, key = connect(works.acme, works.as_alice), new_key(works.acme, works.as_alice, works.alice)
    return connection, key, log_of(works.acme, key)


@pytest.fixture(scope="module")
def address(works, things):
    """Where the page of the organisation's own thing is."""
    acme, as_alice, (connection, key, log) = works.acme, works.as_alice, things
    other = Membership.objects.create(
        org=acme, user=User.objects.create_user("dave@works.test", None), role=roles.DEVELOPER
    )
    policy = put_policy(acme, as_alice, scope="organization", ttl_s=60)
    node = machines.new_node(acme, as_alice)
    machines.list_models(node)
    route = put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}]})
    draft = save_draft(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}], "private": True})
    ids = {
        "billing": [paid_top_up(acme).public_id],
        "payouts": [paid_out(acme).public_id],
        "activity": [statement_of(acme).public_id],
        "keys": [key.public_id],
        "cache": [policy.public_id],
        "earnings": [doubted_lot(node.served_models.first()).public_id],
        "smoke": [runs.begin(acme, as_alice).public_id],
        "logs": [log[0].request_id],
        "members": [other.pk],
        "nodes": [node.public_id],
        "providers": [connection.public_id],
        "routes": [route.name],
        "simulations": [start_simulation(draft, as_alice, run=int).public_id],
        "quotas": ["key", key.public_id],
    }

    def address(name: str) -> str:
        if name == "nodes-token":
            return reverse(name, args=[node.enrolled_with.public_id])
        if name == "activity-export-file":
            return reverse(name, args=[export_of(acme, as_alice).public_id])
        if name == "providers-model":
            return reverse(name, args=[connection.public_id, connection.served_models.first().public_id])
        return reverse(name, args=ids[name.partition("-")[0]])

    return address


@pytest.mark.parametrize("language", ["en", "th"])
@pytest.mark.parametrize("name", LISTS)
def test_an_owner_sees_every_page(db, as_browser, works, things, name, language):
    response = as_browser(works.alice, language).get(reverse(name))
    assert response.status_code == 200
    assert b"{%" not in content_of(response)
    if response["Content-Type"].startswith("text/html"):
        assert f'<html lang="{language}"'.encode() in content_of(response)


@pytest.mark.parametrize("name", LISTS)
def test_an_owner_of_an_empty_organisation_sees_every_page(as_browser, alice, acme, name):
    assert as_browser(alice).get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_a_viewer_sees_what_the_role_allows(db, as_browser, works, things, name):
    wanted = 200 if roles.allows(roles.VIEWER, LISTS[name]) else 403
    assert as_browser(works.carol).get(reverse(name)).status_code == wanted


@pytest.mark.parametrize("name", LISTS)
def test_a_visitor_is_asked_to_sign_in(db, name):
    response = Client().get(reverse(name))
    assert response.status_code == 302
    assert response.url.startswith("/accounts/login/")


@pytest.mark.parametrize("language", ["en", "th"])
@pytest.mark.parametrize("name", OWNED)
def test_an_owner_sees_the_page_of_each_thing(db, as_browser, works, address, name, language):
    assert as_browser(works.alice, language).get(address(name)).status_code == 200


@pytest.mark.parametrize("name", OWNED)
def test_a_viewer_sees_what_the_role_allows_of_each_thing(db, as_browser, works, address, name):
    wanted = 200 if roles.allows(roles.VIEWER, OWNED[name]) else 403
    assert as_browser(works.carol).get(address(name)).status_code == wanted


@pytest.mark.parametrize("name", OWNED)
def test_a_stranger_finds_what_is_missing_and_what_is_anothers_alike(db, as_browser, works, address, name):
    browser = as_browser(works.mallory)
    theirs = browser.get(address(name))
    missing = browser.get(missing_address(name))
    assert (theirs.status_code, missing.status_code) == (404, 404)
    assert same_but_tokens(theirs) == same_but_tokens(missing)


def test_a_stranger_sees_nothing_of_another_organisation(
    as_browser, mallory, rival, acme, as_alice, connection, key, log
):
    browser = as_browser(mallory)
    machines.list_models(machines.new_node(acme, as_alice, "Basement"), "secret-finetune")
    for name in (
        "home", "keys", "models", "logs", "activity", "activity-insight", "providers", "members",
        "audit", "nodes", "nodes-fleets", "earnings",
        "earnings-prices", "contributors", "causes", "playground", "route-tester", "routes", "smoke",
    ):  # fmt: skip
        shown = content_of(browser.get(reverse(name))).decode()
        assert "billing service" not in shown
        assert "Aurora" not in shown
        assert "Basement" not in shown
        assert "secret-finetune" not in shown
        assert "alice@acme.test" not in shown


def test_somebody_without_an_organisation_is_led_to_founding_one(as_browser, mallory):
    assert as_browser(mallory).get(reverse("home")).url == reverse("organization-new")


def test_the_switcher_changes_what_is_shown(as_browser, alice, acme, rival, join, as_mallory):
    join(rival, alice, roles.VIEWER)
    connect(rival, as_mallory, "Cygnus")
    browser = as_browser(alice)
    assert "Cygnus" not in content_of(browser.get(reverse("providers"))).decode()
    browser.post(reverse("organization-switch"), {"organization": rival.public_id})
    assert "Cygnus" in content_of(browser.get(reverse("providers"))).decode()


def test_the_switcher_leads_to_no_strange_organisation(as_browser, alice, acme, rival):
    response = as_browser(alice).post(reverse("organization-switch"), {"organization": rival.public_id})
    assert response.status_code == 404


def test_only_pages_that_a_role_may_see_are_linked(as_browser, carol, acme):
    shown = content_of(as_browser(carol).get(reverse("home"))).decode()
    assert f'href="{reverse("logs")}"' in shown
    assert f'class="sidebar-link" href="{reverse("audit")}"' not in shown


def test_the_log_of_another_organisation_stays_out_of_sums(as_browser, mallory, rival, acme, key, log):
    record(rival, None, 1, cost_nanos=5_000_000_000)
    shown = content_of(as_browser(mallory).get(reverse("activity"))).decode()
    assert "$5.00" in shown


def missing_address(name: str) -> str:
    if name == "providers-model":
        return reverse(name, args=["conn_none", "model_none"])
    return reverse(name, args=MISSING.get(name, ["none"]))


def same_but_tokens(response) -> list[str]:
    return [
        line
        for line in content_of(response).decode().splitlines()
        if "csrf" not in line.lower() and "next" not in line
    ]


def content_of(response) -> bytes:
    return b"".join(response) if response.streaming else response.content
