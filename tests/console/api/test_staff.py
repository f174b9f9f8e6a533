"""`/staff/…`: the operator's work by API, for a signed-in member of staff and for nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, OperatorEvent
from billing import concerns, freezing, payees
from billing.models import Concern, Payee, Payout, PriceVersion, Unsettled
from console.api.staff import urls
from ledger.invariants import reconcile
from providers.models import ServedModel
from tests.billing.conftest import balances as balances
from tests.billing.conftest import sold as sold
from tests.billing.payees import DOLLAR, earn
from tests.conftest import PASSWORD
from tests.console.api.conftest import Api, refused

pytestmark = pytest.mark.django_db
BANK = payees.Bank("Acme Ltd", "TH00 1234 5678 9012", "Bangkok Bank BKKBTHBK")


@pytest.fixture
def due(acme, as_alice) -> Payout:
    """$40, to a bank that was found right."""
    earn(acme, 40 * DOLLAR)
    payees.set_bank(acme, as_alice, BANK)
    payees.verify(acme, as_alice, is_right=True)
    return freezing.request(acme, as_alice)


def calls() -> Iterator[tuple[str, str]]:
    for entry in urls.urlpatterns:
        path = re.sub(r"<int:\w+>", "1", re.sub(r"<slug:\w+>", "missing", str(entry.pattern)))
        for method in entry.callback.cls.methods:
            yield method, f"staff/{path}"


@pytest.mark.parametrize(("method", "path"), sorted(calls()))
def test_who_is_no_staff_finds_every_address_closed(method, path, api, api_of, alice, staff):
    """Owners and managing keys as well; staff find that there is no such thing, or say too little."""
    assert refused(Api().send(method, path, {}), 401, "missing_api_key")
    for caller in (api, api_of(alice)):
        assert refused(caller.send(method, path, {}), 403, "permission_refused")
    assert staff.send(method, path, {}).status_code in (200, 400, 404)


def test_every_post_can_be_repeated_and_every_method_is_said():
    for entry in urls.urlpatterns:
        view = entry.callback.cls
        have = {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)}
        assert view.methods == have
        assert not hasattr(view, "post") or view.post.is_idempotent


def test_an_address_below_that_is_none_is_none(staff):
    assert staff.get("staff/nothing").status_code == 404
    assert refused(staff.delete("staff/prices"), 405, "method_not_allowed")


def test_a_price_is_read_and_set_and_its_versions_kept(staff, sold):
    listed = staff.get("staff/prices").json()["data"]
    [row] = [one for one in listed if one["model"] == "fast"]
    assert (row["provider"], row["input_price"], row["price_version"]) == (sold.connection.slug, "1", 1)
    tier = {"above_tokens": 200_000, "input_price": "4", "output_price": "12"}
    said = staff.patch(f"staff/prices/{row['id']}", {"input_price": "2", "output_price": "8", "price_tiers": [tier]})
    assert said.status_code == 200, said.content
    assert [one["input_price"] for one in said.json()["versions"]] == ["2", "1"]
    assert said.json()["price_tiers"][0]["input_price"] == "4"
    assert PriceVersion.objects.get(target_id=sold.pk, valid_until=None).input_nanos == 2 * 10**9
    assert OperatorEvent.objects.latest("sequence").actor_label == "sam@operator.test"
    assert staff.get(f"staff/prices/{row['id']}").json() == said.json()


@pytest.mark.parametrize("wish", [{"input_price": "-1"}, {"input_price": "NaN"}, {"price": "1"}, {"input_price": []}])
def test_a_price_that_makes_no_sense_is_refused(staff, sold, wish):
    assert staff.patch(f"staff/prices/{sold.public_id}", wish).status_code == 400
    assert ServedModel.objects.get(pk=sold.pk).price_version == 1


def test_a_price_of_an_organisations_own_is_no_price_of_the_platform(staff, acme, as_alice, api):
    api.post("providers", {"name": "Own", "base_url": "https://llm.example.com/v1", "models": [{"id": "m"}]})
    own = ServedModel.objects.of(acme).get()
    assert staff.get("staff/prices").json()["data"] == []
    assert staff.patch(f"staff/prices/{own.public_id}", {"input_price": "2"}).status_code == 404


def test_a_payout_by_bank_goes_through_the_file_to_its_end(staff, due, acme, balances):
    assert [one["state"] for one in staff.get("staff/payouts?state=waiting").json()["data"]] == ["waiting"]
    assert refused(staff.post(f"staff/payouts/{due.public_id}/paid", {"reference": "TX"}), 409, "payout_refused")
    [line] = staff.post("staff/payouts/file", {}).json()["data"]
    assert (line["payout"], line["amount_usd"], line["account"]) == (due.public_id, "40.00", BANK.account)
    assert staff.post(f"staff/payouts/{due.public_id}/put-back", {}).json()["state"] == "waiting"
    staff.post("staff/payouts/file", {})
    for _ in range(2):
        done = staff.post(f"staff/payouts/{due.public_id}/paid", {"reference": "TX-1"}, Idempotency_Key="once")
        assert (done.status_code, done.json()["state"], done.json()["reference"]) == (200, "paid", "bank:TX-1")
    assert "acme rewards_available" not in balances()
    back = staff.post(f"staff/payouts/{due.public_id}/failed", {"reason": "Account closed"}).json()
    assert (back["came_back_usd"], back["reason"]) == ("40.00", "Account closed")
    assert balances()["acme rewards_available"] == 40 * DOLLAR
    assert reconcile() == []
    said = AuditEvent.objects.of(acme).filter(actor_label="sam@operator.test").values_list("action", flat=True)
    assert {"payout.exported", "payout.put_back", "payout.confirmed", "payout.came_back"} <= set(said)


def test_a_bank_is_read_in_the_open_and_judged(staff, acme, as_alice):
    payees.set_bank(acme, as_alice, BANK)
    [row] = staff.get("staff/banks").json()["data"]
    assert BANK.account not in str(row)
    read = staff.get(f"staff/banks/{acme.public_id}").json()
    assert (read["holder"], read["account"], read["bank"]) == (BANK.holder, BANK.account, BANK.bank)
    assert AuditEvent.objects.of(acme).filter(action="payout_destination.read").count() == 1
    address = f"staff/banks/{acme.public_id}/judgement"
    assert refused(staff.post(address, {"is_right": False}), 400, "invalid_request", "problem")
    assert staff.post(address, {"is_right": False, "problem": "Another name"}).json()["problem"] == "Another name"
    assert refused(staff.post(address, {"is_right": True}), 400, "invalid_request", "seen")
    assert staff.post(address, {"is_right": True, "seen": read["seen"]}).json()["state"] == "ready"
    assert Payee.objects.get().state == Payee.READY


def test_a_bank_that_was_put_in_the_place_of_the_one_that_was_read_is_not_found_right(staff, acme, as_alice):
    payees.set_bank(acme, as_alice, BANK)
    address = f"staff/banks/{acme.public_id}"
    wish = {"is_right": True, "seen": staff.get(address).json()["seen"]}
    payees.set_bank(acme, as_alice, payees.Bank(BANK.holder, "TH00 6666 6666 6666", BANK.bank))
    assert refused(staff.post(f"{address}/judgement", wish), 409, "payout_refused")
    assert Payee.objects.get().state == Payee.INCOMPLETE
    assert "seen" not in staff.get("staff/banks").json()["data"][0]


@pytest.mark.parametrize(
    "path", ["prices", "cases", "payouts", "banks", "concerns", "vouchers", "causes", "audit-events"]
)
def test_no_list_is_read_by_what_is_no_page_of_it(staff, path):
    for query in ({"limit": "0"}, {"limit": "-1"}, {"limit": "101"}, {"limit": "NaN"}, {"cursor": "x"}):
        assert refused(staff.get(f"staff/{path}", **query), 400, "invalid_request", next(iter(query)))


def test_ids_beyond_belief_are_those_of_nothing(staff):
    for path in (f"concerns/{10**30}/done", "vouchers/vou_0/withdraw", "voucher-batches/vob_0/withdraw"):
        assert refused(staff.post(f"staff/{path}", {}), 404, "not_found")
    assert staff.client.post(f"/staff/needs-a-person/{10**30}").status_code == 302


def test_money_on_its_way_out_asks_for_a_recent_proof(sam, client_of, due, acme):
    sam.set_password(PASSWORD)
    sam.save()
    late = Api(client_of(sam))
    for answer in (
        late.post("staff/payouts/file", {}),
        late.get(f"staff/banks/{acme.public_id}"),
        late.client.head(f"/api/v1/staff/banks/{acme.public_id}"),
        late.post(f"staff/payouts/{due.public_id}/paid", {"reference": "x"}),
    ):
        assert answer.status_code in (401, 403)
    assert not AuditEvent.objects.of(acme).filter(action="payout_destination.read").exists()


def test_what_needs_a_person_is_listed_and_closed(staff, sold):
    Unsettled.objects.create(
        request_id="req_1", started_at=timezone.now(), org_id=1, target_id=sold.pk, reason="price_unknown"
    )
    assert concerns.look() == 1
    [row] = staff.get("staff/concerns").json()["data"]
    assert (row["kind"], row["requests"], row["organization"]) == ("unsettled", 1, None)
    done = staff.post(f"staff/concerns/{row['id']}/done", {})
    assert (done.status_code, done.json()["done_by"]) == (200, "sam@operator.test")
    assert staff.get("staff/concerns").json()["data"] == []
    assert len(staff.get("staff/concerns?done=true").json()["data"]) == 1
    assert Concern.objects.get().done_at
    assert OperatorEvent.objects.get(action="concern.closed").actor_label == "sam@operator.test"
