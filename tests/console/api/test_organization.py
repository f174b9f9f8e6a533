"""`/organization`, `/members`, `/invitations`, `/audit-events`."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import connection

from accounts.audit_export import COLUMNS
from accounts.models import AuditEvent, Membership
from tests.console.api.conftest import Api, refused

pytestmark = pytest.mark.django_db


def test_the_organisation_is_shown_and_changed(api, acme):
    before = api.get("organization").json()
    assert (before["id"], before["slug"], before["retention_days"]) == (acme.public_id, "acme", 30)
    wishes = {"name": "Acme Ltd", "time_zone": "Asia/Bangkok", "log_content": True, "retention_days": 7}
    assert api.patch("organization", wishes).json() == before | wishes
    assert api.get("organization").json() == before | wishes


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": " "}, "name"),
        ({"time_zone": "Mars/Phobos"}, "time_zone"),
        ({"default_strategy": "best"}, "default_strategy"),
        ({"log_content": "yes"}, "log_content"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": 401}, "retention_days"),
        ({"slug": "other"}, "slug"),
    ],
)
def test_a_mistake_about_the_organisation_is_refused_with_its_field(api, body, param):
    assert refused(api.patch("organization", body), 400, "invalid_request", param)


def member_id(api: Api, email: str) -> str:
    [found] = [member for member in api.get("members").json()["data"] if member["email"] == email]
    return str(found["id"])


def test_members_are_shown_by_public_ids(api, bob, carol):
    members = api.get("members").json()["data"]
    assert {(member["email"], member["role"]) for member in members} == {
        ("alice@acme.test", "owner"),
        ("bob@acme.test", "developer"),
        ("carol@acme.test", "viewer"),
    }
    assert all(member["id"].startswith("mem_") for member in members)
    assert api.get(f"members/{members[0]['id']}").json() == members[0]


def test_a_role_is_changed(api, bob, acme):
    path = f"members/{member_id(api, 'bob@acme.test')}"
    assert api.patch(path, {"role": "viewer"}).json()["role"] == "viewer"
    assert Membership.objects.of(acme).get(user=bob).role == "viewer"
    assert refused(api.patch(path, {"role": "king"}), 400, "invalid_request", "role")
    assert refused(api.patch(path, {}), 400, "invalid_request", "role") is True


def test_a_member_is_removed(api, bob, acme):
    path = f"members/{member_id(api, 'bob@acme.test')}"
    assert api.delete(path).status_code == 204
    assert refused(api.get(path), 404, "not_found")


def test_the_last_owner_stays(api_of, alice, acme):
    api = api_of(alice)
    path = f"members/{member_id(api, 'alice@acme.test')}"
    assert refused(api.delete(path), 409, "last_owner")
    assert refused(api.patch(path, {"role": "admin"}), 409, "last_owner")


def test_somebody_is_invited_by_mail(api, acme, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post("invitations", {"email": "Dana@example.com", "role": "developer"})
    made = answer.json()
    assert (answer.status_code, made["email"], made["status"]) == (201, "dana@example.com", "open")
    [sent] = mail.outbox
    assert sent.to == ["dana@example.com"]
    link = next(word for word in sent.body.split() if "/invitations/" in word)
    assert link.rstrip("/").rsplit("/", 1)[1] not in answer.content.decode()
    assert api.get("invitations").json()["data"] == [made]
    assert api.get(f"invitations/{made['id']}").json() == made


def test_an_invitation_is_withdrawn(api, acme):
    made = api.post("invitations", {"email": "dana@example.com", "role": "viewer"}).json()
    assert api.delete(f"invitations/{made['id']}").status_code == 204
    assert api.get(f"invitations/{made['id']}").json()["status"] == "revoked"
    assert refused(api.post(f"invitations/{made['id']}/resend"), 409, "invitation_closed")


def test_an_invitation_is_not_sent_again_at_once(api, acme):
    made = api.post("invitations", {"email": "dana@example.com", "role": "viewer"}).json()
    assert refused(api.post(f"invitations/{made['id']}/resend"), 400, "invalid_request", "email")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"role": "viewer"}, "email"),
        ({"email": "nobody", "role": "viewer"}, "email"),
        ({"email": "alice@acme.test", "role": "viewer"}, "email"),
        ({"email": "dana@example.com"}, "role"),
        ({"email": "dana@example.com", "role": "king"}, "role"),
    ],
)
def test_a_mistake_about_an_invitation_is_refused_with_its_field(api, body, param):
    assert refused(api.post("invitations", body), 400, "invalid_request", param)


def test_the_trail_is_listed_newest_first_and_filtered(api, acme):
    api.patch("organization", {"name": "Acme Ltd"})
    events = api.get("audit-events").json()["data"]
    assert [event["action"] for event in events] == [
        "organization.updated",
        "api_key.created",
        "organization.created",
    ]
    assert events[0].keys() == {"object", *COLUMNS}
    assert (events[0]["before"], events[0]["after"]) == ({"name": "Acme"}, {"name": "Acme Ltd"})
    assert len(api.get("audit-events", action="api_key.created").json()["data"]) == 1
    assert len(api.get("audit-events", object_type="organization").json()["data"]) == 2
    assert api.get("audit-events", to="2026-01-01").json()["data"] == []


def test_people_in_the_trail_go_by_their_membership(api, acme, bob):
    bobs_id = member_id(api, "bob@acme.test")
    alices_id = member_id(api, "alice@acme.test")
    api.patch(f"members/{bobs_id}", {"role": "viewer"})
    [event] = api.get("audit-events", object_id=bobs_id).json()["data"]
    assert (event["action"], event["object_id"]) == ("member.role_changed", bobs_id)
    assert len(api.get("audit-events", actor_id=alices_id).json()["data"]) == 2
    api.delete(f"members/{bobs_id}")
    [removed, *_rest] = api.get("audit-events").json()["data"]
    assert (removed["object_id"], removed["object_label"]) == (None, "bob@acme.test")


def test_a_whole_trail_is_verified(api, acme):
    answer = api.get("audit-events/verify").json()
    newest = AuditEvent.objects.of(acme).latest("sequence")
    assert (answer["ok"], answer["events"], answer["breach"]) == (True, newest.sequence, None)
    assert answer["head"] == bytes(newest.digest).hex()


def test_an_edited_trail_is_found_out(api, acme):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER audit_append_only")
        cursor.execute("UPDATE accounts_auditevent SET actor_label = 'nobody' WHERE sequence = 2")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditevent ENABLE ALWAYS TRIGGER audit_append_only")
    answer = api.get("audit-events/verify").json()
    assert (answer["ok"], answer["events"]) == (False, 1)
    assert answer["breach"] == {"sequence": 2, "reason": "edited"}
