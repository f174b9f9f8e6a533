"""A price that was wrong is mended by transfers of differences, once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from accounts.audit import Actor
from billing.errors import InvalidRerating
from billing.models import Charge
from billing.rerating import Rerated, rerate
from common.money import NANOS_PER_USD
from ledger.models import Transfer
from providers.serving import update_model
from tests.billing.conftest import COST, record

TEN = 10 * NANOS_PER_USD
NOW = datetime.now(UTC)
ALWAYS = (NOW - timedelta(days=1), NOW + timedelta(days=1))


@pytest.fixture
def reprice(sold):
    """Sets the price anew; gives its version."""

    def reprice(input_price: str, output_price: str) -> int:
        prices = {"input_price": input_price, "cached_input_price": "0", "output_price": output_price}
        return update_model(sold, Actor.system("tests"), prices).price_version

    return reprice


def test_too_dear_a_price_is_given_back(wallet, used, sold, reprice, balances):
    record(used("req_1"), used("req_2"))
    version = reprice("0.5", "2")
    assert rerate(sold.pk, version, *ALWAYS) == Rerated(2, -2 * 1_420_000)
    assert balances() == {"acme wallet": TEN - 2_800_000, "promo": -TEN, "provider_cost": 2_800_000}
    assert rerate(sold.pk, version, *ALWAYS) == Rerated(0, 0)
    assert Transfer.objects.filter(kind="rerating").count() == 1


def test_there_and_back_again(wallet, used, sold, reprice, balances):
    record(used())
    version = reprice("2", "8")
    assert rerate(sold.pk, version, *ALWAYS).nanos == 5_600_000 - COST
    assert rerate(sold.pk, 1, *ALWAYS).nanos == COST - 5_600_000
    assert rerate(sold.pk, version, *ALWAYS).nanos == 5_600_000 - COST
    assert balances()["acme wallet"] == TEN - 5_600_000
    assert Charge.objects.count() == 4


def test_what_nobody_paid_is_given_back_to_nobody(acme, used, sold, reprice, balances):
    record(used())
    rerate(sold.pk, reprice("0.5", "2"), *ALWAYS)
    assert balances() == {"write_off": -1_400_000, "provider_cost": 1_400_000}


def test_only_of_the_time_that_is_named(wallet, used, sold, reprice, balances):
    record(used("req_1", started_at=(NOW - timedelta(hours=2)).isoformat()), used("req_2"))
    version = reprice("0.5", "2")
    done = rerate(sold.pk, version, NOW - timedelta(hours=3), NOW - timedelta(hours=1))
    assert done == Rerated(1, -1_420_000)


def test_a_price_that_is_not_there_is_refused(wallet, used, sold):
    record(used())
    with pytest.raises(InvalidRerating):
        rerate(sold.pk, 7, *ALWAYS)
    with pytest.raises(CommandError, match="no such price"):
        call_command("rerate", str(sold.pk), "--price", "7", "--from", "2026-01-01", "--until", "2027-01-01")


def test_the_command_tells_what_it_did(wallet, used, sold, reprice, capsys):
    record(used())
    version = reprice("0.5", "2")
    call_command("rerate", str(sold.pk), "--price", str(version), "--from", "2026-01-01", "--until", "2036-01-01")
    assert capsys.readouterr().out == "1 requests charged anew, -$0.00142 in all\n"
