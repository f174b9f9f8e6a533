"""`/staff/vouchers`: made with codes that are told once, found, withdrawn, offered again, and who redeemed them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import OperatorEvent
from billing import vouchers
from billing.models import Voucher
from console.api.models import KeptAnswer
from tests.billing.conftest import balances as balances
from tests.conftest import PASSWORD
from tests.console.api.conftest import Api, refused

pytestmark = pytest.mark.django_db
DOLLAR = 10**9
WISHES = {"amount_usd": "5", "count": 3, "reason": "Launch"}


def test_a_batch_is_made_and_its_codes_are_told_once(staff, acme, as_alice, balances):
    answer = staff.post("staff/vouchers", WISHES)
    assert answer.status_code == 201, answer.content
    told = answer.json()
    codes = [one["code"] for one in told["data"]]
    assert len({*codes}) == 3
    assert {(one["amount_usd"], one["uses"], one["state"]) for one in told["data"]} == {("5", 1, "open")}
    assert {one["batch"] for one in told["data"]} == {told["batch"]}
    vouchers.redeem(acme, as_alice, codes[1])
    assert balances()["acme wallet"] == 5 * DOLLAR
    listed = staff.get("staff/vouchers").json()["data"]
    assert [one["id"] for one in listed] == [one["id"] for one in reversed(told["data"])]
    assert [one["redeemed_usd"] for one in listed] == ["0", "5", "0"]
    assert not any(code in str(listed) for code in codes)
    [use] = staff.get("staff/voucher-uses", batch=told["batch"]).json()["data"]
    assert (use["voucher"], use["organization"], use["amount_usd"]) == (told["data"][1]["id"], acme.public_id, "5")
    assert staff.get("staff/voucher-uses", voucher=told["data"][0]["id"]).json()["data"] == []
    event = OperatorEvent.objects.get()
    assert (event.actor_label, event.action, event.object_id) == ("sam@operator.test", "voucher.made", told["batch"])


def test_a_repeated_wish_tells_the_same_codes_sealed_meanwhile(staff):
    first, again = (staff.post("staff/vouchers", WISHES, Idempotency_Key="launch") for _ in range(2))
    assert first.json() == again.json()
    assert Voucher.objects.count() == 3
    assert first.json()["data"][0]["code"].encode() not in bytes(KeptAnswer.objects.get().sealed)
    other = staff.post("staff/vouchers", WISHES | {"count": 4}, Idempotency_Key="launch")
    assert refused(other, 409, "idempotency_key_reused")


def test_one_code_that_many_know(staff, acme, as_alice):
    until = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    wish = {
        "amount_usd": 2.5, "uses": 100, "reason": "Fair", "code": "fair-2027", "expires_at": until.isoformat()
    }  # fmt: skip
    told = staff.post("staff/vouchers", wish).json()
    assert (told["batch"], told["data"][0]["code"], told["data"][0]["code_ends_with"]) == (None, "FAIR-2027", "2027")
    assert vouchers.redeem(acme, as_alice, "Fair 2027").expires_at == until
    assert refused(staff.post("staff/vouchers", wish), 400, "invalid_request", "code")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_usd", "0"), ("amount_usd", "-1"), ("amount_usd", "NaN"), ("amount_usd", "Infinity"),
        ("amount_usd", "1e99"), ("amount_usd", 1e308), ("amount_usd", "1.001"), ("amount_usd", "100000.01"),
        ("amount_usd", True), ("amount_usd", "9" * 5000), ("count", 0), ("count", 1001), ("count", "3"),
        ("uses", 0), ("uses", -1), ("uses", 1_000_001), ("uses", 10**18), ("reason", ""), ("reason", "  "),
        ("reason", "x" * 121), ("reason", "a\u202eb"), ("reason", "a\0b"), ("reason", 7),
        ("code", "short"), ("code", "ไทยไทยไทย"), ("code", "LAUNCH"), ("expires_at", "2020-01-01T00:00:00Z"),
        ("expires_at", "tomorrow"), ("made_by", "me"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(staff, field, value):
    wish = WISHES | {field: value}
    assert refused(staff.post("staff/vouchers", wish), 400, "invalid_request", field)
    assert not Voucher.objects.exists()


def test_they_are_withdrawn_and_offered_again(staff):
    made = staff.post("staff/vouchers", WISHES).json()
    one = made["data"][0]["id"]
    for _twice in range(2):
        said = staff.post(f"staff/vouchers/{one}/withdraw", {}).json()
        assert (said["state"], said["withdrawn_by"]) == ("withdrawn", "sam@operator.test")
    for left in (2, 0):
        assert staff.post(f"staff/voucher-batches/{made['batch']}/withdraw", {}).json()["withdrawn"] == left
    assert {row["state"] for row in staff.get("staff/vouchers").json()["data"]} == {"withdrawn"}
    for _twice in range(2):
        said = staff.post(f"staff/vouchers/{one}/offer", {}).json()
        assert (said["state"], said["withdrawn_by"], said["withdrawn_at"]) == ("open", "", None)
    assert staff.get(f"staff/vouchers/{one}").json() == said
    acts = ["made", "withdrawn", "withdrawn", "offered_again"]
    assert [*OperatorEvent.objects.order_by("sequence").values_list("action", flat=True)] == [
        f"voucher.{act}" for act in acts
    ]


def test_they_are_found_by_state_and_words_a_page_at_a_time(staff):
    made = staff.post("staff/vouchers", WISHES | {"count": 5}).json()
    staff.post(f"staff/vouchers/{made['data'][0]['id']}/withdraw", {})
    found, cursor = [], {}
    while True:
        page = staff.get("staff/vouchers", state="open", limit=3, **cursor).json()
        found += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [row["id"] for row in reversed(made["data"][1:])]
    for words, count in (("LAUNCH", 5), ("sam@", 5), (made["batch"], 5), (made["data"][2]["code"], 1), ("zzz", 0)):
        assert len(staff.get("staff/vouchers", q=words).json()["data"]) == count
    assert refused(staff.get("staff/vouchers", state="gone"), 400, "invalid_request", "state")
    assert refused(
        staff.get("staff/voucher-uses", cursor=page["next_cursor"] or "x"), 400, "invalid_request", "cursor"
    )


def test_making_some_asks_for_a_recent_proof(sam, client_of):
    sam.set_password(PASSWORD)
    sam.save()
    late = Api(client_of(sam))
    assert refused(late.post("staff/vouchers", WISHES), 403, "reauthentication_required")
    assert late.get("staff/vouchers").status_code == 200
    assert not Voucher.objects.exists()
