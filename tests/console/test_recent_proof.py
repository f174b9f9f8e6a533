"""Keys, vendors' secrets, payouts and roles: whoever signed in long ago is asked once more, at every door."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from accounts import roles
from accounts.audit import Actor
from accounts.models import AuditEvent, Membership, Organization, User
from billing.earnings.models import Cause
from tests.conftest import PASSWORD
from tests.console.api.conftest import Api, refused
from tests.console.api.routes import CALLS, Address, name_of
from tests.console.money import paid_out, ways_to_pay
from tests.console.pages import machines
from tests.console.pages.conftest import connect, new_key

pytestmark = pytest.mark.django_db

PAGES = (
    "keys-new", "keys-detail", "keys-rotate",
    "providers-new-preset", "providers-edit", "providers-add-key", "providers-key",
    "payouts-request", "payouts-onboard", "payouts-bank", "causes-pay",
    "members-invite", "members-edit", "members-remove", "settings-transfer", "settings-delete",
    "nodes-new", "nodes-remove",
    "staff-payouts-export", "staff-payout-paid", "staff-payout-failed", "staff-bank", "staff-vouchers-new",
    "staff-concern-done",
)  # fmt: skip
ONLY_READ = {
    "keys", "keys-first-use", "providers", "providers-new", "providers-detail", "payouts", "payouts-export",
    "payouts-detail", "payouts-statement", "members", "staff-payouts",
    "staff-concerns",
}  # fmt: skip
GIVES_NO_RIGHT = {
    "keys-revoke": "ends a key, which must be quick",
    "providers-switch": "no secret goes elsewhere",
    "providers-delete": "forgets secrets",
    "providers-fault": "of the demo",
    "providers-test": "the secret goes where it is bound to",
    "providers-test-draft": "the secret is the one that was just typed",
    "providers-models": "no secret",
    "providers-model": "no secret",
    "providers-model-health": "no secret",
    "payouts-monthly": "when, not where to",
    "payouts-check": "asks what Stripe says of where to",
    "members-invitation": "sent once more to the address that was proven for, or withdrawn",
    "staff-payout-put-back": "it waits again",
}
ROOMS = ("keys", "providers", "payouts", "members", "staff-payout", "staff-bank", "staff-concern")

CALLS_WITHOUT = {
    "DELETE keys/<slug:key_id>": "ends a key, which must be quick",
    "DELETE providers/<slug:provider_id>": "forgets secrets",
    "POST providers/<slug:provider_id>/test": "the secret goes where it is bound to",
    "PATCH providers/<slug:provider_id>/keys/<slug:key_id>": "parks it or takes it back into use",
    "DELETE nodes/tokens/<slug:token_id>": "withdraws",
    "PATCH payouts/destination": "when, not where to",
    "POST payouts/destination/check": "asks what Stripe says of where to",
    "DELETE invitations/<slug:invitation_id>": "withdraws",
    "POST invitations/<slug:invitation_id>/resend": "to the address that was proven for",
    "PATCH members/<slug:member_id>/limits": "no right",
    "PUT members/<slug:member_id>/limits": "no right",
    "DELETE members/<slug:member_id>/limits": "no right",
}
API_ROOMS = ("keys", "providers", "payouts", "members", "invitations", "nodes/tokens")


@pytest.fixture
def owner(alice: User, acme: Organization) -> User:
    """Of the operator's staff too, and with something to prove who she is by."""
    alice.set_password(PASSWORD)
    alice.is_staff = True
    alice.save()
    return alice


def ids_of(name: str, owner: User, acme: Organization, as_alice: Actor) -> list[object]:
    """What stands in the page's address."""
    if name in ("keys-detail", "keys-rotate"):
        return [new_key(acme, as_alice, owner).public_id]
    if name == "providers-new-preset":
        return ["openai"]
    if name.startswith("providers-"):
        connection = connect(acme, as_alice)
        return [connection.public_id, *([connection.keys.get().public_id] if name == "providers-key" else [])]
    if name in ("members-edit", "members-remove"):
        other = User.objects.create_user("dave@acme.test", None)
        return [Membership.objects.create(org=acme, user=other, role=roles.ADMIN).pk]
    if name == "nodes-remove":
        return [machines.new_node(acme, as_alice).public_id]
    if name.startswith("staff-payout-"):
        return [paid_out(acme).public_id]
    if name == "staff-bank":
        ways_to_pay(acme, "x")
        return [acme.public_id]
    if name == "staff-concern-done":
        return [1]
    if name == "causes-pay":
        return [Cause.objects.create(slug="sea", name="Sea", summary="Good.").slug]
    return []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_before_it_acts(name, client_of, owner, acme, as_alice):
    address = reverse(name, args=ids_of(name, owner, acme, as_alice))
    written = AuditEvent.objects.count()
    answer = client_of(owner).post(address, {"wish": "remove", "name": "x", "role": "owner", "key": "sk-x"})
    assert (answer.status_code, answer.url.partition("?")[0]) == (302, reverse("account_reauthenticate"))
    assert AuditEvent.objects.count() == written


def test_every_page_of_these_rooms_asks_or_needs_not():
    names = {str(name) for name in get_resolver().reverse_dict if isinstance(name, str)}
    named = {name for name in names if name.startswith(ROOMS)}
    assert named - set(PAGES) - ONLY_READ == GIVES_NO_RIGHT.keys()


SENSITIVE = [
    call for call in CALLS
    if call[1] != "GET" and str(call[0]).startswith(API_ROOMS) and name_of(call) not in CALLS_WITHOUT
]  # fmt: skip


@pytest.mark.parametrize("call", SENSITIVE, ids=name_of)
def test_a_session_at_the_api_is_asked_as_well(call: tuple[Address, str], client_of, owner):
    address, method = call
    path = address.path(**dict.fromkeys(address.parameters, "missing"))
    browser: Client = client_of(owner)
    assert refused(Api(browser).send(method, path, {}), 403, "reauthentication_required")
