"""`/staff/cases`: staff find doubted earnings of every organisation and decide them; each trail says so."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from billing.earnings import cases
from billing.earnings.models import Case
from common.money import usd_text
from nodes.recount import TOO_FAST
from tests.billing.conftest import balances as balances
from tests.billing.conftest import fund as fund
from tests.billing.conftest import sold as sold
from tests.billing.conftest import used as used
from tests.billing.conftest import wallet as wallet
from tests.billing.earnings.conftest import PRICE, SHARE
from tests.billing.earnings.conftest import doubted as doubted
from tests.billing.earnings.conftest import machine as machine
from tests.billing.earnings.conftest import served as served
from tests.console.api.conftest import Api, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(make_user, join, acme, api_of) -> Api:
    sam = make_user("sam@operator.test", is_staff=True)
    join(acme, sam, "viewer")
    return api_of(sam)


@pytest.fixture
def case(served, doubted) -> Case:
    """Of two requests, one of which is at stake."""
    served("req_1")
    served("req_2")
    doubted(TOO_FAST)
    assert cases.look(timezone.now()) == 1
    return Case.objects.get()


def test_a_case_is_listed_with_what_is_at_stake_and_upheld_once(staff, case, rival, balances):
    [row] = staff.get("staff/cases?state=open").json()["data"]
    assert (row["id"], row["organization"], row["organization_name"]) == (case.public_id, rival.public_id, rival.name)
    assert (row["at_stake_usd"], row["doubts"][0]["kind"]) == (usd_text(SHARE), TOO_FAST)
    assert staff.get(f"staff/cases/{case.public_id}").json() == row
    address, wish = f"staff/cases/{case.public_id}/verdict", {"verdict": "uphold", "note": "Too fast to be true."}
    first, again = (staff.post(address, wish, Idempotency_Key="once") for _ in range(2))
    assert first.json() == again.json()
    assert (first.json()["state"], first.json()["at_stake_usd"]) == ("upheld", None)
    assert (first.json()["decided_by"], first.json()["note"]) == ("sam@operator.test", "Too fast to be true.")
    assert balances()["acme wallet"] == 10**10 - PRICE
    event = AuditEvent.objects.of(rival).get(action="earnings.case_upheld")
    assert (event.actor_label, event.object_id) == ("sam@operator.test", case.public_id)
    assert refused(staff.post(address, {"verdict": "dismiss"}), 409, "case_closed")
    assert staff.get("staff/cases?state=open").json()["data"] == []


def test_a_case_is_dismissed(staff, case, rival):
    said = staff.post(f"staff/cases/{case.public_id}/verdict", {"verdict": "dismiss"}).json()
    assert (said["state"], said["taken_back_usd"]) == ("dismissed", "0")
    assert AuditEvent.objects.of(rival).filter(action="earnings.case_dismissed").exists()


@pytest.mark.parametrize("wish", [{}, {"verdict": "maybe"}, {"verdict": "uphold", "note": "x" * 301}])
def test_a_verdict_that_is_none_decides_nothing(staff, case, wish):
    assert staff.post(f"staff/cases/{case.public_id}/verdict", wish).status_code == 400
    assert Case.objects.get().is_pending
