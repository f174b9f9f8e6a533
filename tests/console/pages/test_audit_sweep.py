"""Every page that writes leaves an audit event with before and after; a new one needs a case here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from accounts import audit, invitations
from accounts.models import AuditEvent, Invitation, Membership
from console import account_words, urls, words
from nodes.enrolment import create_token
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.drills import start_drill
from routing.services import put_route
from routing.simulations import start_simulation
from tests.console.activity import export_of
from tests.console.api.test_audit_sweep import CHANGED, GONE, NEW, NOTED, said_by
from tests.console.earning_rows import doubted_lot
from tests.console.pages import machines
from tests.console.pages.conftest import record
from tests.console.pages.kept import keep
from tests.console.pages.test_node_detail import settings_of

SECRET = "sk-secret-of-an-upstream-0123456789"
SETTINGS = {
    "name": "Works",
    "time_zone": "UTC",
    "default_strategy": "cheapest",
    "retention_days": "7",
    "content_days": "7",
}
ROUTE = {"name": "new", "strategy": "fastest", "use": "aurora/demo-chat", "enabled": "on"}
CONFIGURATION = {
    "format": "shareai-configuration",
    "version": 1,
    "limits": [{"scope": "organisation", "subject": "", "rpm": 7}],
}
MODEL = {"id": "demo-chat", "upstream_id": "demo-chat", "kind": "chat", "enabled": "on", "weight": "1"}


@dataclass(frozen=True, slots=True)
class Case:
    """`needs` names what the address is of; see `things`."""

    action: str
    says: str
    body: dict[str, Any]
    needs: str = ""


def of(action: str, says: str, needs: str = "", **body: Any) -> Case:
    return Case(action, says, body, needs)


CASES: dict[str, Case] = {
    "playground-key": of("api_key.created", NEW),
    "keys-new": of("api_key.created", NEW, name="shop", scopes=["inference"], expires="never"),
    "keys-detail": of("api_key.updated", CHANGED, "key", name="shop", scopes=["inference"], expires="never"),
    "keys-rotate": of("api_key.rotated", CHANGED, "key", overlap_s="3600"),
    "keys-revoke": of("api_key.revoked", GONE, "key"),
    "providers-new-preset": of(
        "connection.created",
        NEW,
        "preset",
        name="Lab",
        base_url="https://llm.example.com/v1",
        api_keys=SECRET,
        priority="10",
    ),
    "providers-edit": of(
        "connection.updated",
        CHANGED,
        "provider",
        name="Lab",
        base_url="https://api.openai.com/v1",
        priority="10",
    ),
    "providers-switch": of("connection.disabled", CHANGED, "provider", enabled="false"),
    "providers-delete": of("connection.deleted", GONE, "provider"),
    "providers-add-key": of("connection.key_added", NEW, "provider", key=SECRET, label="second"),
    "providers-key": of("connection.key_parked", CHANGED, "provider_key", wish="park"),
    "providers-models": of("connection.models_set", CHANGED, "provider", model=["demo-chat"]),
    "providers-model": of("model.updated", CHANGED, "model", **MODEL, input_price="3", output_price="4"),
    "routes-new": of("route.drafted", NEW, **ROUTE),
    "routes-template": of("route.drafted", NEW, "template"),
    "routes-edit": of("route.drafted", CHANGED, "route", **ROUTE),
    "routes-publish": of("route.updated", CHANGED, "route"),
    "routes-discard": of("route.draft_discarded", GONE, "route"),
    "routes-rollback": of("route.updated", CHANGED, "version"),
    "routes-canary": of(
        "canary.started", NEW, "route", wish="start", percent="10", most_error_percent="5", least_requests="50"
    ),
    "routes-delete": of("route.deleted", GONE, "route"),
    "smoke": of("smoke.begun", NEW, checks=["answers"]),
    "simulations-start": of("simulation.started", NEW, name="fast", traffic="own"),
    "simulations-cancel": of("simulation.cancelled", NOTED, "simulation"),
    "quotas-organisation": of("limits.updated", CHANGED, rpm="7", when_reached="block"),
    "quotas-edit": of("limits.updated", CHANGED, "quota", rpm="7", when_reached="block"),
    "providers-model-health": of("target.held_open", CHANGED, "model", wish="hold"),
    "nodes-model-health": of("target.held_open", CHANGED, "node_model", wish="hold"),
    "drills-start": of("drill.started", NEW, target="aurora", seconds="60"),
    "earnings-programme": of("earnings.programme_chosen", CHANGED, exchanged_percent="100", donated_percent="0"),
    "earnings-recognition": of("earnings.recognition_set", CHANGED, is_public="on", public_name="The Shed"),
    "earnings-answer": of("earnings.case_answered", CHANGED, "case", answer="A mistake."),
    "drills-end": of("drill.ended", GONE, "drill"),
    "cache-new": of("cache_policy.created", NEW, covers="model:demo-chat", ttl_s="3600"),
    "cache-edit": of("cache_policy.updated", CHANGED, "policy", ttl_s="3600"),
    "cache-delete": of("cache_policy.deleted", GONE, "policy"),
    "cache-purge": of("cache.purged", NEW, name="demo-chat"),
    "activity-insight-cache": of("cache_policy.created", NEW, scope="model", subject="demo-chat", ttl_s="600"),
    "activity-exports": of("usage_export.created", NEW, format="csv"),
    "activity-export-delete": of("usage_export.deleted", GONE, "export"),
    "nodes-new": of("node_token.created", NEW, size="one", count="1", ttl="86400"),
    "nodes-token-revoke": of("node_token.revoked", GONE, "token"),
    "nodes-bulk": of("node.updated", CHANGED, act="tag", tag="rack"),
    "nodes-edit": of("node.updated", CHANGED, "node", **settings_of(name="Lab")),
    "nodes-models": of("node.updated", CHANGED, "node"),
    "nodes-pause": of("node.paused", CHANGED, "node"),
    "nodes-drain": of("node.drained", CHANGED, "node"),
    "nodes-resume": of("node.resumed", CHANGED, "node"),
    "nodes-remove": of("node.removed", GONE, "node"),
    "members-invite": of("invitation.sent", NEW, email="new@acme.test", role="viewer"),
    "members-invitation": of("invitation.sent_again", CHANGED, "invitation", wish="resend"),
    "members-edit": of("member.role_changed", CHANGED, "member", role="viewer"),
    "members-remove": of("member.removed", GONE, "member"),
    "billing-details": of("billing.details_set", CHANGED, name="Acme Ltd"),
    "payouts-bank": of("payout_destination.changed", NEW, holder="Acme", account="TH00 1234", bank="BBL BKKBTHBK"),
    "settings": of("organization.updated", CHANGED, **SETTINGS),
    "settings-content-purge": of("content.purged", GONE),
    "settings-configuration": of(
        "configuration.imported", NEW, wish="import", sections=["limits"], text=json.dumps(CONFIGURATION)
    ),
    "logs-content": of("content.read", NOTED, "content"),
    "billing-spending": of("organization.updated", CHANGED, spending_order="credits_first", credit_backup="on"),
    "settings-transfer": of("member.role_changed", CHANGED, typed_name="Acme"),
    "settings-delete": of("organization.deleted", GONE, typed_name="Acme"),
}
ELSEWHERE = {
    "earnings-prices": "in test_earnings.py: a change of a machine, as by nodes-models",
    "price-book-model": "of the operator's trail: in test_staff_audit.py",
    "staff-vouchers-new": "of the operator's trail: in test_staff_vouchers.py",
    "staff-voucher-withdraw": "of the operator's trail: in test_staff_vouchers.py",
    "staff-payouts-export": "in test_staff_payouts.py, with something to be paid",
    "staff-payout-paid": "in test_staff_payouts.py, with something to be paid",
    "staff-payout-failed": "in test_staff_payouts.py, with something to be paid",
    "staff-payout-put-back": "in test_staff_payouts.py, with something to be paid",
    "staff-concern-done": "in test_staff_concerns.py, with something that needs a person",
    "staff-bank": "in test_staff_payouts.py, with a bank to check",
    "causes-new": "of the operator's trail: in test_staff_audit.py",
    "causes-edit": "of the operator's trail: in test_staff_audit.py",
    "causes-pay": "of the operator's trail: in test_staff_audit.py",
    "causes-close": "of the operator's trail: in test_staff_audit.py",
    "causes-decide": "in tests of billing: noted in the trail of the organisation whose case it is",
    "providers-fault": "in test_providers.py, with a simulated provider",
    "billing-top-up": "in test_billing.py, with somebody to pay at",
    "billing-auto-top-up": "in test_payments.py, with a saved card",
    "billing-card": "in test_payments.py, with somebody to pay at",
    "billing-voucher": "in test_payments.py, with a voucher",
    "payouts-request": "in test_payouts.py, with something to be paid",
    "payouts-check": "in test_payouts.py, with somebody to pay",
    "payouts-onboard": "in test_payouts.py, with somebody to pay",
    "payouts-monthly": "in test_payouts.py, with somewhere to be paid",
    "activity-insight-draft": "in test_insight.py, with usage that suggests something",
    "invitation": "in test_organization_pages.py, by who accepts",
    "invitation-link": "in test_organization_pages.py, by who accepts",
    "organization-new": "in test_organization_pages.py: the event is of the new organisation",
}
CHANGES_NOTHING = {
    "staff-vouchers-made": "of the browser, which forgets the codes",
    "activity-export-retry": "in tests of metering: only one that has failed is tried again",
    "billing-portal": "opens a page of the payment service",
    "providers-test": "calls the provider",
    "providers-test-draft": "calls the provider",
    "organization-switch": "is of the browser",
    "theme": "is of the browser",
    "set_language": "is of the browser",
}

OF_ACCOUNTS: dict[str, set[str]] = {
    "account_login": {"sign_in.succeeded", "sign_in.failed"},
    "account_confirm_login_code": {"sign_in.succeeded", "sign_in.failed"},
    "account_signup": {"sign_in.succeeded"},
    "account_logout": {"sign_in.ended"},
    "account_reauthenticate": {"sign_in.failed"},
    "account_email": {"email.added", "email.removed", "email.main_changed"},
    "account_email_verification_sent": {"email.added", "email.confirmed", "sign_in.succeeded"},
    "account_change_password": {"password.changed"},
    "account_set_password": {"password.set"},
    "account_reset_password_from_key": {"password.reset"},
    "mfa_authenticate": {"sign_in.succeeded", "sign_in.failed"},
    "mfa_reauthenticate": {"sign_in.failed"},
    "mfa_reauthenticate_webauthn": {"sign_in.failed"},
    "mfa_login_webauthn": {"sign_in.succeeded"},
    "mfa_activate_totp": {"totp.added", "recovery_codes.generated"},
    "mfa_deactivate_totp": {"totp.removed", "recovery_codes.removed"},
    "mfa_generate_recovery_codes": {"recovery_codes.generated"},
    "mfa_add_webauthn": {"passkey.added", "recovery_codes.generated"},
    "mfa_remove_webauthn": {"passkey.removed", "recovery_codes.removed"},
    "usersessions_list": {"sessions.ended"},
    "socialaccount_signup": {"sign_in.succeeded"},
    "socialaccount_connections": {"sign_in_provider.linked", "sign_in_provider.unlinked"},
}
"""What each page of allauth leaves in the trail; tests/accounts/test_account_trail.py does it all."""

OF_ACCOUNTS_WITHOUT = {
    "account_request_login_code": "sends a code",
    "account_reset_password": "sends a link",
    "account_reset_password_done": "says that it was sent",
    "account_reset_password_from_key_done": "says that it is done",
    "account_inactive": "says so",
    "mfa_index": "shows what there is",
    "mfa_view_recovery_codes": "shows them, once",
    "mfa_download_recovery_codes": "shows them, once",
    "mfa_list_webauthn": "shows what there is",
    "mfa_edit_webauthn": "what somebody calls a passkey opens no door",
    "socialaccount_login_cancelled": "says so",
    "socialaccount_login_error": "says so",
}


def writing_pages() -> set[str]:
    found = set()
    for entry in urls.urlpatterns:
        if isinstance(entry, URLPattern) and entry.callback.__module__.startswith("console."):
            kinds = {name: type(converter).__name__ for name, converter in entry.pattern.converters.items()}
            arguments = [1 if kind == "IntConverter" else "x" for kind in kinds.values()]
            told = Client().options(reverse(entry.name, args=arguments))
            if told.status_code != 405 or "POST" in told["Allow"]:
                found.add(entry.name)
    return found


@pytest.mark.django_db
def test_every_page_that_writes_has_a_case():
    assert writing_pages() == CASES.keys() | ELSEWHERE.keys() | CHANGES_NOTHING.keys()


def pages_of_accounts() -> set[str]:
    [entry] = [
        each for each in urls.urlpatterns if isinstance(each, URLResolver) and str(each.pattern) == "accounts/"
    ]
    return {name for name in entry.reverse_dict if isinstance(name, str)}


def test_every_page_of_accounts_is_in_the_trail_or_said_to_change_nothing():
    """Pages of others by whom one may sign in are there only where they are set up: each signs in, or links."""
    assert pages_of_accounts() == OF_ACCOUNTS.keys() | OF_ACCOUNTS_WITHOUT.keys()
    assert set.union(*OF_ACCOUNTS.values()) == account_words.ACTIONS.keys()


@pytest.fixture
def things(acme, alice, as_alice, bob, connection, key) -> dict[str, Callable[[], list[Any]]]:
    """The arguments of addresses, each thing made when it is asked for."""
    model, provider_key = connection.served_models.get(model_id="demo-chat"), connection.keys.get()
    node = machines.new_node(acme, as_alice)
    machines.list_models(node)
    put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}]})
    put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat", "weight": 2}]})
    draft = save_draft(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat", "weight": 3}]})
    return {
        "simulation": lambda: [start_simulation(draft, as_alice, run=int).public_id],
        "quota": lambda: ["key", key.public_id],
        "": list,
        "key": lambda: [key.public_id],
        "preset": lambda: ["custom"],
        "provider": lambda: [connection.public_id],
        "provider_key": lambda: [connection.public_id, provider_key.public_id],
        "model": lambda: [connection.public_id, model.public_id],
        "template": lambda: ["cheapest-then-my-node"],
        "route": lambda: ["fast"],
        "version": lambda: [1, "fast"],
        "drill": lambda: [start_drill(acme, as_alice, "aurora", 60).public_id],
        "policy": lambda: [put_policy(acme, as_alice, scope="organization", ttl_s=60).public_id],
        "export": lambda: [export_of(acme, as_alice).public_id],
        "node": lambda: [node.public_id],
        "node_model": lambda: [node.public_id, node.served_models.get().public_id],
        "case": lambda: [doubted_lot(node.served_models.first()).public_id],
        "token": lambda: [create_token(acme, as_alice).token.public_id],
        "invitation": lambda: [sent_before(invitations.invite(acme, as_alice, email="d@acme.test", role="viewer"))],
        "member": lambda: [Membership.objects.get(user=bob).pk],
        "content": lambda: [keep(acme, record(acme, key, 60).request_id)],
        "the node itself": lambda: [node],
        "the heir": lambda: [Membership.objects.get(user=bob)],
    }


def sent_before(invitation: Invitation) -> str:
    Invitation.objects.update(expires_at=F("expires_at") - timedelta(hours=1))
    return invitation.public_id


def body_of(name: str, case: Case, things: dict[str, Callable[[], list[Any]]]) -> dict[str, Any]:
    [node], [heir] = things["the node itself"](), things["the heir"]()
    more: dict[str, Any] = {}
    if name == "nodes-bulk":
        more = {"node": [node.public_id]}
    elif name == "nodes-remove":
        more = {"typed_name": node.slug}
    elif name == "nodes-models":
        more = {f"{field}-{row.public_id}": text for row in node.served_models.all() for field, text in (
            ("name", row.model_id), ("input", "0.01"), ("output", "0.02"),
        )}  # fmt: skip
    elif name == "settings-transfer":
        more = {"to": str(heir.pk)}
    return case.body | more


@pytest.mark.parametrize("name", CASES)
def test_every_page_that_writes_is_in_the_audit_trail(as_browser, alice, acme, things, name):
    case = CASES[name]
    browser = as_browser(alice)
    address = reverse(name, args=things[case.needs]())
    if name == "nodes-resume":
        browser.post(address.replace("resume", "pause"))
    seen = AuditEvent.objects.of(acme).count()
    answer = browser.post(address, body_of(name, case, things))
    assert answer.status_code in (200, 201, 302), errors_of(answer)
    events = [*AuditEvent.objects.of(acme).filter(sequence__gt=seen).order_by("sequence")]
    event = next((each for each in events if each.action == case.action), None)
    assert event is not None, ([each.action for each in events], answer.status_code, errors_of(answer))
    assert said_by(event) == case.says, (event.before, event.after)
    assert (event.actor_type, event.actor_label, event.ip) == ("user", alice.email, "127.0.0.1")
    assert words.action(event.action) != event.action, "no words for it"
    assert words.object_type(event.object_type) != event.object_type, "no words for it"
    assert SECRET not in str([event.before, event.after])
    assert audit.verify(acme).ok


def errors_of(answer) -> object:
    form = answer.context and answer.context.get("form")
    return form.errors if form else answer.status_code
