"""`/contents`: prompts and answers by the management API."""

from __future__ import annotations

import pytest

from accounts.models import AuditEvent
from metering.models import Content
from tests.console.pages.kept import ANSWER, PROMPT, keep

pytestmark = pytest.mark.django_db


def test_one_request(api, acme, log):
    request_id = keep(acme, log().request_id)
    said = api.get(f"requests/{request_id}/content").json()
    assert said["request"]["messages"][0]["content"] == PROMPT
    assert said["response"] == ANSWER
    assert AuditEvent.objects.of(acme).filter(action="content.read", actor_type="key").count() == 1


def test_one_that_is_not_kept(api, log):
    assert api.get(f"requests/{log().request_id}/content").status_code == 404


def test_all_of_them_a_page_at_a_time(api, acme):
    ids = [keep(acme, f"req_{number}") for number in range(3)]
    first = api.get("contents", limit=2).json()
    assert [each["id"] for each in first["data"]] == ids[:0:-1]
    second = api.get("contents", limit=2, cursor=first["next_cursor"]).json()
    assert [each["id"] for each in second["data"]] == ids[:1]
    assert not second["has_more"]


def test_a_purge_leaves_nothing(api, acme):
    keep(acme, "req_1")
    assert api.delete("contents").json()["requests"] == 1
    assert not Content.objects.of(acme).exists()


def test_the_switches(api):
    assert api.get("organization").json()["log_content"] is False
    changed = api.patch("organization", {"log_content": True, "content_days": 3}).json()
    assert (changed["log_content"], changed["content_days"]) == (True, 3)
    assert api.patch("organization", {"content_days": 0}).status_code == 400
    made = api.post("keys", {"name": "quiet", "logs_content": False}).json()
    assert made["logs_content"] is False
    assert api.patch(f"keys/{made['id']}", {"logs_content": True}).json()["logs_content"] is True
