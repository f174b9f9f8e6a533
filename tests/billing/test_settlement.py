"""What usage costs whom: posted with the usage, once, by the version of the price that it names."""

from uuid import uuid4

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from accounts.audit import Actor
from billing.models import Charge, PriceVersion, Unsettled
from billing.settlement import IMPLAUSIBLE, PRICE_UNKNOWN, settler
from common.money import NANOS_PER_USD
from ledger import kinds, leases
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import reconcile
from ledger.models import Account, Transfer
from ledger.transfers import post
from metering.models import Usage
from metering.usage import AttemptRecord, AttemptUsage
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import Node, NodeModel
from nodes.reports import parse
from providers.models import ServedModel
from providers.services import create_connection
from providers.serving import update_model
from tests.billing.conftest import COST, record
from tests.nodes.machine import Machine

TEN = 10 * NANOS_PER_USD
SYSTEM = Actor.system("tests")


def test_the_wallet_pays_the_provider(wallet, used, balances):
    record(used())
    assert balances() == {"acme wallet": TEN - COST, "promo": -TEN, "provider_cost": COST}


def test_a_margin_is_the_platforms(wallet, used, balances, settings):
    settings.PLATFORM_MARGIN_PERCENT = 20
    record(used())
    assert balances() == {"acme wallet": TEN - COST, "promo": -TEN, "provider_cost": 2_350_000, "revenue": 470_000}


def test_a_batch_is_one_transfer_of_each_organisation_and_each_request_has_its_charge(
    wallet, used, rival, fund, balances
):
    fund(rival, TEN)
    record(used("req_1"), used("req_2", org_id=rival.pk), used("req_3"))
    assert sorted(Transfer.objects.filter(kind="settlement").values_list("business_id", flat=True)) == [
        "settlement:req_1",
        "settlement:req_2",
    ]
    assert [
        (c.request_id, c.org_id, c.charge_nanos, c.price_version) for c in Charge.objects.order_by("request_id")
    ] == [
        ("req_1", wallet.org_id, COST, 1),
        ("req_2", rival.pk, COST, 1),
        ("req_3", wallet.org_id, COST, 1),
    ]
    assert balances()["rival wallet"] == TEN - COST


def test_recording_again_charges_nothing(wallet, used, balances):
    hook = settler()
    one, two = used("req_1"), used("req_2")
    record(one, hook=hook)
    record(one, two, hook=hook)
    record(one, two)
    assert balances()["acme wallet"] == TEN - 2 * COST


def test_own_connections_cost_nothing(acme, used, balances, as_alice):
    own = create_connection(
        acme, as_alice, preset="custom", name="Own", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=[{"id": "x", "input_price": "1", "output_price": "4"}],
    ).served_models.get()  # fmt: skip
    record(used(target_id=own.pk), used("req_2", target_id=None), used("req_3", target_id=987_654))
    assert balances() == {}
    assert not Charge.objects.exists()
    assert not Unsettled.objects.exists()


@pytest.mark.parametrize("reason", ["no_charge_error", "cached"])
def test_errors_and_kept_answers_cost_nothing(wallet, used, balances, reason):
    record(used(billing_reason=reason))
    assert balances()["acme wallet"] == TEN


def test_what_the_wallet_does_not_cover_is_written_off(acme, fund, used, balances):
    fund(acme, COST + 1)
    record(used("req_1"), used("req_2"))
    assert balances() == {"promo": -COST - 1, "provider_cost": 2 * COST, "write_off": 1 - COST}
    assert [c.written_off_nanos for c in Charge.objects.order_by("request_id")] == [0, COST - 1]


def test_a_new_price_is_charged_by_its_version(wallet, used, sold, balances):
    hook = settler()
    record(used("req_1"), hook=hook)
    update_model(sold, SYSTEM, {"input_price": "2", "cached_input_price": "0.1", "output_price": "8"})
    record(used("req_2", price_version=2), used("req_3", price_version=1), hook=hook)
    assert list(Charge.objects.order_by("request_id").values_list("charge_nanos", flat=True)) == [
        COST,
        2 * COST - 20_000,
        COST,
    ]
    first, second = PriceVersion.objects.filter(target_id=sold.pk).order_by("version")
    assert first.valid_until == second.valid_from
    assert second.valid_until is None


def test_without_a_price_nobody_pays_and_it_is_told(wallet, used, balances):
    record(used("req_1", price_version=None), used("req_2", price_version=9))
    assert balances()["acme wallet"] == TEN
    assert list(Unsettled.objects.order_by("request_id").values_list("request_id", "reason")) == [
        ("req_1", PRICE_UNKNOWN),
        ("req_2", PRICE_UNKNOWN),
    ]


@pytest.mark.parametrize(
    "fields",
    [{"input_tokens": 10**18}, {"output_tokens": 10**18}, {"cached_tokens": 1001}, {"output_tokens": 10**10}],
)
def test_usage_that_cannot_be_true_never_reaches_the_ledger(wallet, used, balances, fields):
    record(used(**fields), used("req_2"))
    assert balances()["acme wallet"] == TEN - COST
    assert Unsettled.objects.get().reason == IMPLAUSIBLE


def test_negative_usage_is_not_even_recorded(wallet, used, balances):
    with pytest.raises(psycopg.IntegrityError, match="usage_tokens_not_negative"), transaction.atomic():
        record(used(input_tokens=-1000, cached_tokens=0))
    assert balances()["acme wallet"] == TEN
    assert not Usage.objects.exists()


def test_a_price_changes_with_its_version_only(sold):
    with pytest.raises(DatabaseError, match="a price changes with its version"), transaction.atomic():
        ServedModel.objects.update(input_price="7")


@pytest.mark.parametrize(
    "statement", ["UPDATE billing_priceversion SET input_nanos = 1", "DELETE FROM billing_priceversion"]
)
def test_the_book_stays_what_it_was(sold, statement):
    with pytest.raises(DatabaseError, match="stays what it was"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("statement", ["UPDATE billing_charge SET charge_nanos = 1", "DELETE FROM billing_charge"])
def test_charges_are_append_only(wallet, used, statement):
    record(used())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(
    ("fault", "found"),
    {
        "UPDATE billing_charge SET charge_nanos = charge_nanos + 1": {"I7"},
        "UPDATE billing_charge SET price_version = 5": {"I7"},
        "UPDATE billing_charge SET output_tokens = 1, charge_nanos = 824000": {"I5", "I7"},
        "UPDATE billing_charge SET provider_nanos = 0": {"I7"},
        "DELETE FROM billing_charge": {"I7"},
        "INSERT INTO billing_charge SELECT request_id, 2, started_at, org_id, target_id, price_version, input_tokens,"
        " cached_tokens, output_tokens, 0, 0, 0, 0, NULL, transfer_id FROM billing_charge": {"I5"},
    }.items(),
)
def test_reconcile_finds_a_planted_fault(wallet, used, fault, found):
    record(used())
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ALTER TABLE billing_charge DISABLE TRIGGER USER")
        cursor.execute(fault)
    assert {finding.invariant for finding in reconcile()} == found | {"I10"}  # and the rule that is off


@pytest.fixture
def machine(rival, mallory) -> NodeModel:
    """Rival's, at the same price as `sold` without a rebate for cached input."""
    token = create_token(rival, Actor.of_user(mallory)).plain
    answer = Machine().enrol(token, name="Workbench")
    node = Node.objects.get(public_id=answer.json()["node"])
    store_models(node.public_id, parse({"models": [{"id": "llama3.1:8b", "runtime": "ollama"}]}).models)
    model = NodeModel.objects.get(node=node)
    model.input_price_nanos, model.output_price_nanos, model.price_version = NANOS_PER_USD, 4 * NANOS_PER_USD, 2
    model.save()
    return model


def test_the_owner_of_a_machine_earns_a_share(wallet, used, machine, balances):
    record(used(target_id=-machine.pk, price_version=2))
    assert balances() == {
        "acme wallet": TEN - 3_000_000, "promo": -TEN, "rival rewards_escrow": 2_100_000, "revenue": 900_000,
    }  # fmt: skip


def test_nobody_earns_of_what_was_not_paid(acme, used, machine, balances):
    record(used(target_id=-machine.pk, price_version=2))
    assert balances() == {"write_off": -3_000_000, "revenue": 3_000_000}


def test_the_owners_own_use_earns_nothing(rival, used, machine, balances):
    record(used(target_id=-machine.pk, price_version=2, org_id=rival.pk))
    assert balances() == {}


def answered_by(*parts: dict) -> dict:
    """The fields of a request that several targets answered: sums, and what each of them used."""
    attempts = tuple(
        AttemptRecord(
            target="t", target_id=part["target_id"], credential="", outcome="ok", status=200, started_ms=0,
            duration_ms=1, used=AttemptUsage(
                part["input"], part["output"], 0, part["cost"], "reported", part["version"], part.get("charged", True)
            ),
        )
        for part in parts
    )  # fmt: skip
    paid = [part for part in parts if part.get("charged", True)]
    return {
        "attempts": attempts, "target_id": paid[-1]["target_id"], "price_version": paid[-1]["version"],
        "input_tokens": sum(part["input"] for part in paid), "output_tokens": sum(part["output"] for part in paid),
        "cached_tokens": 0, "cost_nanos": sum(part["cost"] for part in paid),
    }  # fmt: skip


def test_each_target_of_an_answer_is_charged_its_part_by_its_own_price(wallet, used, sold, machine, balances):
    update_model(sold, SYSTEM, {"input_price": "2", "output_price": "8"})
    cloud = {"target_id": sold.pk, "version": 2, "input": 1000, "output": 100, "cost": 2_800_000}
    theirs = {"target_id": -machine.pk, "version": 2, "input": 1100, "output": 400, "cost": 2_700_000}
    record(used(**answered_by(cloud, theirs)))
    assert list(Charge.objects.order_by("request_id").values_list("request_id", "target_id", "charge_nanos")) == [
        ("req_1#1", sold.pk, 2_800_000),
        ("req_1#2", -machine.pk, 2_700_000),
    ]
    assert balances() == {
        "acme wallet": TEN - 5_500_000, "promo": -TEN, "provider_cost": 2_800_000,
        "rival rewards_escrow": 1_890_000, "revenue": 810_000,
    }  # fmt: skip


def test_a_part_of_an_own_target_costs_nothing(wallet, used, sold, machine, rival, fund, balances):
    fund(rival, TEN)
    own = {"target_id": -machine.pk, "version": 2, "input": 1000, "output": 100, "cost": 1_400_000}
    cloud = {"target_id": sold.pk, "version": sold.price_version, "input": 1000, "output": 100, "cost": 1_400_000}
    record(used(org_id=rival.pk, **answered_by(own, cloud)))
    assert balances()["rival wallet"] == TEN - 1_400_000


def test_what_a_lost_hedge_used_is_not_charged(wallet, used, sold, balances):
    lost = {"target_id": sold.pk, "version": 1, "input": 9, "output": 0, "cost": 9_000, "charged": False}
    record(used(attempts=answered_by(lost, lost | {"charged": True})["attempts"][:1]))
    assert Charge.objects.get().request_id == "req_1"
    assert balances()["acme wallet"] == TEN - COST


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("DELETE FROM billing_charge WHERE request_id = 'req_1#1'", {"I7"}),
        ("UPDATE billing_charge SET target_id = target_id + 1 WHERE request_id = 'req_1#2'", {"I5", "I7", "I9"}),
        ("UPDATE billing_charge SET charge_nanos = charge_nanos + 1 WHERE request_id = 'req_1#1'", {"I7"}),
    ],
)
def test_reconcile_looks_at_each_part(wallet, used, sold, machine, fault, found):
    cloud = {"target_id": sold.pk, "version": 1, "input": 1000, "output": 100, "cost": 1_400_000}
    theirs = {"target_id": -machine.pk, "version": 2, "input": 1100, "output": 400, "cost": 2_700_000}
    record(used(**answered_by(cloud, theirs)))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ALTER TABLE billing_charge DISABLE TRIGGER USER")
        cursor.execute(fault)
    assert {finding.invariant for finding in reconcile()} == found | {"I10"}  # and the rule that is off


@pytest.fixture
def tokens(wallet, acme):
    """What acme's machines earned for its own use: a thousandth of a dollar."""
    account = ensure_account(kinds.TOKENS, acme)
    post(Draft("earned:1", "earning", {ensure_account(kinds.PROMO).pk: -1_000_000, account.pk: 1_000_000}))
    return account


@pytest.fixture
def leased(tokens):
    """A process that holds so much of an account; returns the fields of a record that it writes."""

    def leased(**amounts: int) -> dict:
        lessee, charges = uuid4(), []
        with transaction.atomic(), connection.cursor() as cursor:
            leases.begin(cursor, lessee, "a")
            for kind, amount in amounts.items():
                account = Account.objects.get(kind=kind, org=tokens.org)
                assert leases.lease(cursor, lessee, account.pk, wanted=amount, at_least=amount) == amount
                charges.append((account.pk, amount))
        return {"lessee": str(lessee), "charges": tuple(charges)}

    return leased


def test_what_was_held_of_tokens_and_credits_pays_and_is_free_again(used, leased, balances):
    held = leased(tokens=1_000_000, wallet=COST - 1_000_000)
    record(used(**held))
    assert balances() == {"acme wallet": TEN - COST + 1_000_000, "promo": -TEN - 1_000_000, "provider_cost": COST}
    assert not Account.objects.exclude(held=0).exists()
    assert Charge.objects.get().tokens_nanos == 1_000_000


def test_what_was_held_of_nothing_known_here_is_let_be(used, wallet, balances):
    record(used(lessee=str(uuid4()), charges=((987_654_321, 5),)))
    assert balances()["acme wallet"] == TEN - COST


def test_money_that_others_hold_is_not_taken_for_a_request_without_a_hold(acme, fund, used, leased):
    leased(wallet=TEN - COST)
    record(used("req_1"), used("req_2"))
    assert [c.written_off_nanos for c in Charge.objects.order_by("request_id")] == [0, COST]
