"""Members, invitations, settings, the audit log, preferences, the Playground's key."""

import csv
import json
import re
from datetime import timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.db import connection as connection_of_database
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import audit, roles
from accounts.models import ApiKey, AuditEvent, Invitation, Membership, Organization
from tests.conftest import PASSWORD


def texts(response):
    return response.content.decode()


def invite(browser, email="erin@new.test", role=roles.DEVELOPER):
    return browser.post(reverse("members-invite"), {"email": email, "role": role})


def link_of_last_mail() -> str:
    return re.search(r"(/invitations/\S+/)", mail.outbox[-1].body)[1]


@pytest.mark.django_db(transaction=True)
def test_an_invitation_is_sent_opened_and_accepted(as_browser, alice, acme, make_user):
    invite(as_browser(alice))
    erin = as_browser(make_user("erin@new.test"))
    shown = erin.get(link_of_last_mail(), follow=True)
    assert "Join Acme" in texts(shown)
    assert erin.post(reverse("invitation")).url == reverse("home")
    assert Membership.objects.get(user__email="erin@new.test").role == roles.DEVELOPER
    assert "Acme" in texts(erin.get(reverse("home")))


@pytest.mark.django_db(transaction=True)
def test_a_visitor_with_an_invitation_may_sign_up(as_browser, alice, acme):
    invite(as_browser(alice))
    shown = texts(Client().get(link_of_last_mail(), follow=True))
    assert reverse("account_signup") in shown


@pytest.mark.django_db(transaction=True)
def test_an_invitation_for_another_is_refused(as_browser, alice, acme, mallory):
    invite(as_browser(alice))
    browser = as_browser(mallory)
    browser.get(link_of_last_mail())
    assert browser.post(reverse("invitation")).status_code == 403
    assert not Membership.objects.filter(user=mallory, org=acme).exists()


def test_a_wrong_link_says_so(db):
    response = Client().get(reverse("invitation-link", args=["nonsense"]))
    assert response.status_code == 404
    assert "does not exist" in texts(response)


def test_an_address_is_invited_once_and_the_form_says_so(as_browser, alice, acme):
    browser = as_browser(alice)
    invite(browser)
    again = invite(browser)
    assert again.context["form"].errors.keys() == {"email"}
    assert "erin@new.test" in texts(again)


def test_an_invitation_is_withdrawn(as_browser, alice, acme):
    browser = as_browser(alice)
    invite(browser)
    invitation = Invitation.objects.of(acme).get()
    browser.post(reverse("members-invitation", args=[invitation.public_id]), {"wish": "revoke"})
    assert Invitation.objects.get().revoked_at is not None


def test_a_role_is_changed(as_browser, alice, acme, bob):
    member = Membership.objects.get(user=bob)
    as_browser(alice).post(reverse("members-edit", args=[member.pk]), {"role": roles.AUDITOR})
    member.refresh_from_db()
    assert member.role == roles.AUDITOR


def test_the_last_owner_stays(as_browser, alice, acme):
    member = Membership.objects.get(user=alice)
    response = as_browser(alice).post(reverse("members-edit", args=[member.pk]), {"role": roles.VIEWER})
    assert "needs an owner" in texts(response)
    shown = as_browser(alice).post(reverse("members-remove", args=[member.pk]), follow=True)
    assert "needs an owner" in texts(shown)
    assert Membership.objects.get(user=alice).role == roles.OWNER


def test_everybody_may_leave_and_nobody_may_send_others_away(as_browser, alice, acme, bob, carol):
    browser = as_browser(carol)
    assert browser.post(reverse("members-remove", args=[Membership.objects.get(user=bob).pk])).status_code == 403
    browser.post(reverse("members-remove", args=[Membership.objects.get(user=carol).pk]))
    assert not Membership.objects.filter(user=carol).exists()


def test_settings_are_saved_by_who_may(as_browser, alice, carol, acme):
    wanted = {
        "name": "Acme Works",
        "time_zone": "Asia/Bangkok",
        "default_strategy": "cheapest",
        "retention_days": "7",
        "content_days": "7",
    }
    assert as_browser(carol).post(reverse("settings"), wanted).status_code == 403
    as_browser(alice).post(reverse("settings"), wanted)
    acme.refresh_from_db()
    assert (acme.name, acme.time_zone, acme.default_strategy, acme.retention_days) == (
        "Acme Works",
        "Asia/Bangkok",
        "cheapest",
        7,
    )


def test_machines_of_the_community_are_used_by_who_says_so(as_browser, alice, acme):
    browser = as_browser(alice)
    same = {"name": "Acme", "time_zone": "UTC", "default_strategy": "priority"}
    same |= {"retention_days": "30", "content_days": "7"}
    for ticked, used in (({"uses_community_nodes": "on"}, True), ({}, False)):
        browser.post(reverse("settings"), same | ticked)
        acme.refresh_from_db()
        assert acme.uses_community_nodes is used


def test_wrong_settings_keep_what_was_typed(as_browser, alice, acme):
    typed = {"name": "Kept", "time_zone": "UTC", "default_strategy": "priority"}
    typed |= {"retention_days": "9999", "content_days": "7"}
    response = as_browser(alice).post(reverse("settings"), typed)
    assert response.context["form"].errors.keys() == {"retention_days"}
    assert "Kept" in texts(response)


def test_deleting_needs_the_name_typed(as_browser, alice, acme):
    browser = as_browser(alice)
    assert browser.post(reverse("settings-delete"), {"typed_name": "acme"}).status_code == 422
    browser.post(reverse("settings-delete"), {"typed_name": "Acme"})
    assert Organization.objects.get(pk=acme.pk).deleted_at is not None
    assert browser.get(reverse("home")).url == reverse("organization-new")


def hand_over(browser, to, typed_name="Acme"):
    return browser.post(reverse("settings-transfer"), {"to": str(to), "typed_name": typed_name})


def test_an_organisation_is_handed_over(as_browser, alice, acme, bob):
    heir = Membership.objects.get(user=bob)
    browser = as_browser(alice)
    assert bob.email in texts(browser.get(reverse("settings-transfer")))
    assert hand_over(browser, heir.pk).url == reverse("members")
    assert Membership.objects.get(user=bob).role == roles.OWNER
    assert Membership.objects.get(user=alice).role == roles.ADMIN
    assert browser.get(reverse("settings-transfer")).status_code == 403
    assert reverse("settings-transfer") not in texts(browser.get(reverse("settings")))


def test_handing_over_needs_the_name_typed(as_browser, alice, acme, bob):
    response = hand_over(as_browser(alice), Membership.objects.get(user=bob).pk, "acme")
    assert (response.status_code, response.context["form"].errors.keys()) == (422, {"typed_name"})
    assert Membership.objects.get(user=alice).role == roles.OWNER


def test_handing_over_needs_a_recent_sign_in(client_of, alice, acme, bob):
    alice.set_password(PASSWORD)
    alice.save()
    response = hand_over(client_of(alice), Membership.objects.get(user=bob).pk)
    assert response.url.startswith(reverse("account_reauthenticate"))
    assert Membership.objects.get(user=alice).role == roles.OWNER


def test_nobody_from_elsewhere_is_an_heir(as_browser, alice, acme, bob, mallory, rival):
    browser = as_browser(alice)
    for stranger in (Membership.objects.get(user=mallory).pk, Membership.objects.get(user=alice).pk, 0):
        assert hand_over(browser, stranger).status_code == 422
    assert Membership.objects.get(user=alice).role == roles.OWNER


def test_who_is_alone_is_asked_to_invite_first(as_browser, alice, acme):
    assert reverse("members-invite") in texts(as_browser(alice).get(reverse("settings-transfer")))


def test_founding_an_organisation_leads_into_it(as_browser, mallory):
    browser = as_browser(mallory)
    browser.post(reverse("organization-new"), {"name": "Rival Works"})
    assert "Rival Works" in texts(browser.get(reverse("home")))


def test_the_audit_log_tells_who_changed_what(as_browser, alice, acme, key):
    shown = texts(as_browser(alice).get(reverse("audit")))
    assert "created the API key" in shown
    assert "billing service" in shown


def test_the_chain_is_verified_and_a_break_is_told(as_browser, alice, acme, key):
    browser, address = as_browser(alice), reverse("audit-verify")
    assert "Chain verified" in texts(browser.get(address))
    with connection_of_database.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE accounts_auditevent SET action = 'api_key.revoked' WHERE action = 'api_key.created'")
    assert "The chain is broken" in texts(browser.get(address))


def test_the_audit_log_is_narrowed_and_exported_alike(as_browser, alice, acme, key):
    browser = as_browser(alice)
    events = browser.get(reverse("audit") + "?kind=api_key").context["events"]
    assert [event.action for event, _changes in events] == ["api_key.created"]
    lines = b"".join(browser.get(reverse("audit-export") + "?kind=api_key&format=jsonl"))
    assert [json.loads(line)["action"] for line in lines.splitlines()] == ["api_key.created"]


def test_the_audit_log_is_narrowed_to_days_of_the_organisation(as_browser, alice, acme, key):
    browser, address = as_browser(alice), reverse("audit")
    today = timezone.localtime(AuditEvent.objects.of(acme).latest("at").at, ZoneInfo(acme.time_zone)).date()
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)
    whole = len(browser.get(address).context["events"])
    for since, until, count in (
        (yesterday, today, whole),
        (yesterday, "", whole),
        (tomorrow, "", 0),
        ("", yesterday, 0),
        ("9999-12-31", "0001-01-01", whole),
        ("soon", "", whole),
    ):
        shown = browser.get(f"{address}?since={since}&until={until}")
        assert len(shown.context["events"]) == count, (since, until)
    lines = b"".join(browser.get(f"{reverse('audit-export')}?since={tomorrow}&format=jsonl"))
    assert lines == b""


def test_a_file_of_the_audit_log_holds_all_of_it_and_is_read_piece_by_piece(
    as_browser, alice, acme, as_alice, monkeypatch
):
    monkeypatch.setattr("console.trail_files._AT_ONCE", 3)
    with transaction.atomic():
        for number in range(10):
            audit.record(acme, as_alice, "route.updated", "route", f"route_{number}")
    whole = [*AuditEvent.objects.of(acme).order_by("-sequence").values_list("sequence", flat=True)]
    browser, address = as_browser(alice), reverse("audit-export")
    rows = [*csv.DictReader(StringIO(b"".join(browser.get(address)).decode()))]
    assert [int(row["sequence"]) for row in rows] == whole
    lines = b"".join(browser.get(f"{address}?format=jsonl")).splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == whole
    pieces = [*browser.get(f"{address}?kind=route")]
    assert [piece.count(b"\n") for piece in pieces] == [1, 3, 3, 3, 1], "the header, then three at a time"


def test_every_action_has_words(as_browser, alice, acme, key, connection):
    from console.words import ACTIONS

    written = set(AuditEvent.objects.of(acme).values_list("action", flat=True))
    assert written <= ACTIONS.keys()


@pytest.mark.parametrize(("asked", "kept"), [("dark", "dark"), ("light", "light"), ("", ""), ("neon", "")])
def test_the_theme_is_kept_in_a_cookie(as_browser, alice, acme, asked, kept):
    browser = as_browser(alice)
    browser.post(reverse("theme"), {"theme": asked, "next": "/keys"})
    page = texts(browser.get(reverse("home")))
    assert (f'data-theme="{kept}"' in page) if kept else ("data-theme=" not in page.split(">")[1])


def test_the_language_is_remembered_by_the_account(as_browser, alice, acme):
    as_browser(alice).post(reverse("set_language"), {"language": "th", "next": "/keys"})
    alice.refresh_from_db()
    assert alice.language == "th"
    as_browser(alice).post(reverse("set_language"), {"language": "xx"})
    alice.refresh_from_db()
    assert alice.language == "th"


def test_the_theme_leads_back_to_this_site_only(db):
    assert Client().post(reverse("theme"), {"theme": "dark", "next": "https://evil.test/"}).url == "/"


def test_the_playground_gets_a_key_that_is_seen_nowhere(as_browser, bob, acme):
    browser = as_browser(bob)
    made = browser.post(reverse("playground-key"))
    assert made.status_code == 201
    assert "no-store" in made["Cache-Control"]
    key = ApiKey.objects.get()
    assert (key.is_ephemeral, key.scopes) == (True, ["inference"])
    assert key.prefix not in texts(browser.get(reverse("keys")))


def test_a_viewer_gets_no_key_for_the_playground(as_browser, carol, acme):
    assert as_browser(carol).post(reverse("playground-key")).status_code == 403


def test_the_playground_key_needs_the_page_s_own_token(acme, alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.post(reverse("playground-key")).status_code == 403


def test_the_facts_of_an_answer_belong_to_its_organisation(as_browser, alice, mallory, rival, log):
    address = reverse("playground-facts", args=[log[0].request_id])
    assert as_browser(mallory).get(address).status_code == 204
    told = as_browser(alice).get(address).json()
    assert (told["target"], told["attempts"], told["cost_exact"]) == ("borealis/demo-chat", 2, "$0.000057")


def test_signing_in_again_leads_back(client_of, alice, acme):
    alice.set_password(PASSWORD)
    alice.save()
    browser = client_of(alice)
    asked = browser.get(reverse("members-invite"))
    done = browser.post(asked.url, {"password": PASSWORD}, follow=True)
    assert done.redirect_chain[-1][0] == reverse("members-invite")
