"""Earnings, causes and contributors as people see them; rival owns the machine, acme uses it."""
# ruff: noqa: F401, F811  fixtures of billing

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.earnings import cases, causes, programmes
from billing.earnings.models import MISSION, REWARDS, Case, Cause
from common.money import NANOS_PER_USD
from nodes.models import NodeModel
from nodes.recount import TOO_FAST
from tests.billing.conftest import fund, sold, used, wallet
from tests.billing.earnings.conftest import (
    as_mallory,
    cause,
    chosen,
    doubted,
    machine,
    served,
)


@pytest.fixture
def client(client_of, mallory):
    return client_of(mallory)


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


@pytest.fixture
def case(served, doubted):
    served()
    doubted(TOO_FAST)
    cases.look(timezone.now())
    return Case.objects.get()


def text_of(client, name, *args, **query):
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_without_a_machine_it_leads_to_registering_one(client_of, alice, acme):
    page = text_of(client_of(alice), "earnings")
    assert "Nothing earns yet" in page
    assert reverse("nodes-new") in page


def test_the_steps_to_earning_are_ticked_by_what_is_there(client, machine):
    shown = client.get(reverse("earnings")).context["steps"]
    assert [step.done for step in shown] == [True, True, True, False]
    machine.node.visibility = "private"
    machine.node.save()
    shown = client.get(reverse("earnings")).context["steps"]
    assert [(step.done, step.now) for step in shown][2] == (False, True)


def test_the_estimate_divides_as_settlement_would(client, chosen):
    page = text_of(client, "earnings-estimate", speed="100", hours="10", price="0.5")
    assert "108M tokens" in page
    assert all(amount in page for amount in ("$54.00", "$16.20", "$37.80"))
    assert "$" not in client.get(
        reverse("earnings-estimate"), {"speed": "fast", "hours": "25"}, headers={"HX-Request": "true"}
    ).content.decode()  # fmt: skip


def test_what_was_earned_is_shown_by_machine_and_by_day_of_maturity(client, served):
    served("req_1")
    served("req_2")
    page = text_of(client, "earnings")
    assert "Workbench" in page
    assert "$0.0042" in page
    assert "0.0018" in page
    assert "When it is yours" in page
    assert "chart-data" in page


def test_a_private_machine_is_told_why_it_earns_nothing(client, machine):
    machine.node.visibility = "private"
    machine.node.save()
    assert "It is private" in text_of(client, "earnings")


def test_the_machines_own_page_says_what_it_earned(client, served, machine):
    served()
    page = text_of(client, "nodes-detail", machine.node.public_id)
    assert "What it earns" in page
    assert "$0.0021" in page


def test_nobody_sees_anothers_earnings(served, client_of, alice, acme, case):
    guest = client_of(alice)
    page = text_of(guest, "earnings")
    assert "Workbench" not in page
    assert "$0.0042" not in page
    assert guest.get(reverse("earnings-case", args=[case.public_id])).status_code == 404
    assert guest.post(reverse("earnings-answer", args=[case.public_id]), {"answer": "x"}).status_code == 404
    assert len(guest.get(reverse("earnings-export")).content.decode().splitlines()) == 1


def test_the_export_has_every_lot(client, served):
    served()
    head, row = client.get(reverse("earnings-export")).content.decode().splitlines()
    assert head.startswith("day,node,model,requests")
    assert "Workbench,llama3.1:8b,1,1000,500,0.003000000,0.000900000,0.002100000" in row


def test_a_programme_is_chosen_and_told(client, rival, cause):
    sent = {"exchanged_percent": "0", "donated_percent": "40", f"weight-{cause.slug}": "1"}
    assert client.post(reverse("earnings-programme"), sent).status_code == 302
    row = programmes.programme_of(rival)
    assert (row.kind, row.donated_percent, programmes.weights_of(row)) == (MISSION, 40, {cause.slug: 1})
    page = text_of(client, "earnings")
    assert "Programme: Mission" in page
    assert "$0.28</td>" in page
    assert "$0.42</td>" in page


def test_a_mix_is_chosen_and_told(client, rival, cause):
    sent = {"exchanged_percent": "30", "donated_percent": "20", f"weight-{cause.slug}": "1"}
    assert client.post(reverse("earnings-programme"), sent).status_code == 302
    page = text_of(client, "earnings")
    assert "Programme: Mixed" in page
    assert "50 % as rewards · 30 % as tokens at once · 20 % to causes" in page
    assert all(f"{amount}</td>" in page for amount in ("$0.30", "$0.35", "$0.21", "$0.14"))
    assert '<output class="text-lg font-semibold tabular-nums"' in text_of(client, "earnings-programme")
    assert ">50 %</output>" in text_of(client, "earnings-programme")


@pytest.mark.parametrize(
    ("exchanged", "donated", "weight", "said"),
    [
        ("0", "5", "1", "from 10 to 100, or 0 for nothing"),
        ("0", "50", "", "Choose at least one cause"),
        ("0", "", "1", "This field is required"),
        ("0", "50", "101", "less than or equal to 100"),
        ("101", "0", "", "less than or equal to 100"),
        ("-1", "0", "", "greater than or equal to 0"),
        ("12.5", "0", "", "Enter a whole number"),
        ("81", "20", "1", "it comes to 101 %"),
        ("", "", "", "This field is required"),
    ],
)
def test_what_cannot_be_chosen_is_said_kept_and_nothing_saved(client, rival, cause, exchanged, donated, weight, said):
    sent = {"exchanged_percent": exchanged, "donated_percent": donated, "weight-trees-for-all": weight}
    response = client.post(reverse("earnings-programme"), sent)
    assert response.status_code == 422
    page = response.content.decode()
    assert said in page
    assert all(f'name="{name}" value="{value}"' in page for name, value in sent.items() if value)
    assert programmes.programme_of(rival).kind == REWARDS


def test_the_preview_saves_nothing(client, rival, cause):
    sent = {"exchanged_percent": "0", "donated_percent": "100", f"weight-{cause.slug}": "1"}
    assert "$0.70</td>" in text_of(client, "earnings-preview", **sent)
    halves = {"exchanged_percent": "50", "donated_percent": "50"}
    assert "Choose at least one cause" in text_of(client, "earnings-preview", **halves)
    assert all(
        f"{at_most}</td>" in text_of(client, "earnings-preview", **halves, **{f"weight-{cause.slug}": "1"})
        for at_most in ("$0.30", "$0.35")
    )
    response = client.post(reverse("earnings-programme"), sent | {"preview": "1"})
    assert "Trees for All" in response.content.decode()
    assert programmes.programme_of(rival).kind == REWARDS


def test_a_case_is_answered(client, case):
    assert "more tokens a second" in text_of(client, "earnings-case", case.public_id)
    assert client.post(reverse("earnings-answer", args=[case.public_id]), {"answer": ""}).status_code == 422
    client.post(reverse("earnings-answer", args=[case.public_id]), {"answer": "A batch of eight cards."})
    assert "A batch of eight cards." in text_of(client, "earnings-case", case.public_id)


def test_staff_decide_and_the_owner_reads_why(client, staff, case):
    assert "Rival" in text_of(staff, "causes-review")
    address = reverse("causes-decide", args=[case.public_id])
    assert staff.post(address, {"wish": "uphold"}).status_code == 422
    assert staff.post(address, {"wish": "uphold", "note": "No card does that."}).status_code == 302
    assert "No card does that." in text_of(client, "earnings-case", case.public_id)
    assert "Nothing to decide" in text_of(staff, "causes-review")
    assert staff.post(address, {"wish": "dismiss", "note": "again"}, follow=True).status_code == 200
    assert Case.objects.get().state == Case.UPHELD


def test_a_price_counts_with_a_new_version_and_the_history_shows_both(client, machine):
    sent = {"node": machine.node.public_id, "upstream_id": machine.upstream_id, "input_price": "0.5"}
    assert client.post(reverse("earnings-prices"), sent | {"output_price": "2"}).status_code == 302
    machine.refresh_from_db()
    assert (machine.input_price_nanos, machine.price_version) == (NANOS_PER_USD // 2, 3)
    assert "3 prices so far" in text_of(client, "earnings-prices")


@pytest.mark.parametrize("price", ["101", "-1", "NaN", "1e400", "free"])
def test_a_price_out_of_bounds_is_refused_beside_its_field(client, machine, price):
    sent = {"node": machine.node.public_id, "upstream_id": machine.upstream_id, "input_price": price}
    response = client.post(reverse("earnings-prices"), sent | {"output_price": "2"})
    assert response.status_code == 422
    assert "field-error" in response.content.decode()
    assert NodeModel.objects.get().price_version == 2


def test_nobody_prices_anothers_machine(client_of, alice, acme, machine):
    sent = {"node": machine.node.public_id, "upstream_id": machine.upstream_id, "input_price": "1"}
    assert client_of(alice).post(reverse("earnings-prices"), sent | {"output_price": "2"}).status_code == 404


def test_the_leaderboard_shows_who_wants_it_by_the_name_they_chose(client, client_of, alice, acme, served):
    served()
    visitor = client_of(alice)
    assert "Nobody is shown yet" in text_of(visitor, "contributors")
    response = client.post(reverse("earnings-recognition"), {"is_public": "on", "public_name": ""})
    assert response.status_code == 422
    client.post(reverse("earnings-recognition"), {"is_public": "on", "public_name": "The Shed"})
    page = text_of(visitor, "contributors")
    assert "The Shed" in page
    assert "Rival" not in page
    assert "First answer" in page
    client.post(reverse("earnings-recognition"), {"public_name": "The Shed"})
    assert "The Shed" not in text_of(visitor, "contributors")


def test_causes_are_public_with_totals_of_the_ledger(db, client, served, chosen, cause):
    chosen(donated=100, **{cause.slug: 1})
    served()
    visitor = Client()
    assert "$0.0021" in text_of(visitor, "causes")
    page = text_of(visitor, "causes-detail", cause.slug)
    assert "$0.0021" in page
    assert "Add a cause" not in text_of(visitor, "causes")


def test_staff_add_change_and_close_causes(staff, db):
    sent = {"name": "Clean Water", "summary": "Digs wells.", "website": "https://water.example"}
    assert staff.post(reverse("causes-new"), sent).status_code == 302
    assert staff.post(reverse("causes-new"), sent | {"website": "javascript:alert(1)"}).status_code == 422
    staff.post(reverse("causes-edit", args=["clean-water"]), sent | {"summary": "Mends pumps."})
    assert "Mends pumps." in text_of(staff, "causes-detail", "clean-water")
    for wish in ("close", "close"):  # pressed twice
        staff.post(reverse("causes-close", args=["clean-water"]), {"wish": wish})
        assert Cause.objects.get().closed_at is not None
    assert (
        "Nothing was done" in staff.post(reverse("causes-close", args=["clean-water"]), follow=True).content.decode()
    )
    assert Cause.objects.get().closed_at is not None
    staff.post(reverse("causes-close", args=["clean-water"]), {"wish": "reopen"})
    assert Cause.objects.get().closed_at is None


def test_staff_note_what_was_paid_to_a_cause_once(staff, served, chosen, cause):
    chosen(donated=100, **{cause.slug: 1})
    served()
    address = reverse("causes-pay", args=[cause.slug])
    for amount, said in (("0.0022", "More than is owed"), ("0", "greater than or equal"), ("x", "Enter a number")):
        response = staff.post(address, {"amount_usd": amount, "reference": "T-1"})
        assert response.status_code == 422
        assert said in response.content.decode()
    for _ in range(2):
        assert staff.post(address, {"amount_usd": "0.002", "reference": "T-1"}).status_code == 302
    assert staff.post(address, {"amount_usd": "0.0001", "reference": "T-1"}).status_code == 422
    total = causes.total_of(cause)
    assert (total.given, total.paid_out, total.owed) == (2_100_000, 2_000_000, 100_000)


@pytest.mark.parametrize("wish", ["", "maybe", "UPHOLD"])
def test_a_case_is_decided_by_a_button_alone(staff, case, wish):
    """Enter in the field of the reason presses none."""
    assert '<button type="submit" disabled hidden>' in text_of(staff, "causes-review")
    late = staff.post(reverse("causes-decide", args=[case.public_id]), {"note": "Hm", "wish": wish})
    assert late.status_code == 422
    assert "press one of the buttons" in late.content.decode()
    assert Case.objects.get().is_pending


@pytest.mark.parametrize(
    "name", ["causes-pay", "causes-new", "causes-edit", "causes-close", "causes-review", "causes-decide"]
)
def test_only_staff_write_causes_and_decide(client, case, cause, name):
    things = {
        "causes-edit": [cause.slug],
        "causes-pay": [cause.slug],
        "causes-close": [cause.slug],
        "causes-decide": [case.public_id],
    }
    address = reverse(name, args=things.get(name, []))
    method = client.get if name == "causes-review" else client.post
    assert method(address, {"name": "x", "note": "x"}).status_code == 403
    assert causes.open_causes().count() == 1


def test_exchange_shows_tokens(client, served, chosen):
    chosen(exchanged=100)
    served()
    assert "As tokens" in text_of(client, "earnings")
