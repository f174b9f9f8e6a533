"""The staff's price book: what is sold at which price, since when, and what it costs from now on."""

import csv
import io

import pytest
from django.urls import reverse

from accounts.audit import Actor
from accounts.models import OperatorEvent
from billing.models import PriceVersion
from providers import services
from providers.models import ServedModel
from providers.services import create_connection

pytestmark = pytest.mark.django_db
ADDRESSES = ("price-book", "price-book-export")


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


@pytest.fixture
def sold() -> ServedModel:
    models = [{"id": "fast", "input_price": "1", "output_price": "4"}, {"id": "mystery-7"}]
    made = create_connection(
        None, Actor.system("tests"), preset="custom", name="Vendor", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=models,
    )  # fmt: skip
    return made.served_models.get(model_id="fast")


def shown(client, name: str, *args: str, **query: str) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_lists_prices_in_force_and_warns_of_those_that_nobody_knows(staff, sold):
    page = shown(staff, "price-book")
    assert all(words in page for words in ("fast", "$1.00", "$4.00", "mystery-7", "Some models have no known price"))
    assert "fast" not in shown(staff, "price-book", q="mystery")
    assert "No model of this name" in shown(staff, "price-book", q="zzz")


def test_a_new_price_is_a_new_version_and_the_old_one_is_remembered(staff, sold):
    address = reverse("price-book-model", args=[sold.public_id])
    sent = {"input_price": "2", "cached_input_price": "0.25", "output_price": "8", "request_price": "0.000000001"}
    assert staff.post(address, sent).status_code == 302
    first, second = PriceVersion.objects.filter(target_id=sold.pk).order_by("version")
    assert (first.input_nanos, first.valid_until) == (10**9, second.valid_from)
    assert (second.input_nanos, second.cached_input_nanos, second.request_nanos) == (2 * 10**9, 250_000_000, 1)
    page = shown(staff, "price-book-model", sold.public_id)
    assert all(words in page for words in ("$1.00", "$2.00", "$8.00", "$0.25"))
    lines = list(csv.DictReader(io.StringIO(shown(staff, "price-book-export"))))
    assert [line["input_usd"] for line in lines if line["model"] == "fast"] == ["1.000000000", "2.000000000"]


def test_a_form_of_before_a_colleague_s_price_puts_back_no_old_one(staff, sold):
    address = reverse("price-book-model", args=[sold.public_id])
    assert 'name="price_version" value="1"' in shown(staff, "price-book-model", sold.public_id)
    sent = {"input_price": "1", "output_price": "5", "price_version": "1"}
    assert staff.post(address, sent | {"input_price": "2"}).status_code == 302
    late = staff.post(address, sent)
    assert late.status_code == 422
    assert "Somebody has changed its price meanwhile" in late.content.decode()
    assert 'name="price_version" value="2"' in late.content.decode()
    assert PriceVersion.objects.get(target_id=sold.pk, valid_until=None).input_nanos == 2 * 10**9
    assert staff.post(address, sent | {"price_version": "2"}).status_code == 302
    assert ServedModel.objects.get(pk=sold.pk).price_version == 3


def test_of_two_who_change_two_prices_at_once_none_takes_back_the_other_s(sold, make_user):
    sam = Actor.of_user(make_user("sam@operator.test", is_staff=True))
    seen_by_both = [ServedModel.objects.get(pk=sold.pk) for _ in range(2)]
    services.update_model(seen_by_both[0], sam, {"input_price": "2"})
    services.update_model(seen_by_both[1], sam, {"output_price": "9"})
    services.update_model(seen_by_both[1], sam, {"output_price": "9"})
    now = ServedModel.objects.get(pk=sold.pk)
    assert (now.input_price, now.output_price, now.price_version) == (2, 9, 3)
    assert OperatorEvent.objects.filter(action="model.updated").count() == 2


def test_tiers_and_kinds_of_tokens_are_entered_shown_and_taken_away(staff, sold):
    address = reverse("price-book-model", args=[sold.public_id])
    sent = {
        "input_price": "3", "output_price": "15", "reasoning_price": "12.125", "tier-1-above_tokens": "200000",
        "tier-1-input_price": "6", "tier-1-output_price": "22.5",
    }  # fmt: skip
    assert staff.post(address, sent).status_code == 302
    sold.refresh_from_db()
    assert sold.price_tiers == [{"above_tokens": 200_000, "input_price": "6", "output_price": "22.5"}]
    for page in (shown(staff, "price-book"), shown(staff, "price-book-model", sold.public_id)):
        assert all(words in page for words in ("prompts of more than 200,000 tokens", "$22.50", "$12.125"))
    rows = list(csv.DictReader(io.StringIO(shown(staff, "price-book-export"))))
    tier = next(row for row in rows if row["above_tokens"] == "200000")
    assert (tier["input_usd"], tier["cached_input_usd"], tier["reasoning_usd"]) == ("6.000000000", "", "")
    for wrong in ({"tier-1-output_price": ""}, {"tier-1-above_tokens": "-1"}, {"tier-0-input_price": "x"}):
        answer = staff.post(address, sent | wrong)
        assert answer.status_code == 422
        assert "field-error" in answer.content.decode()
    assert staff.post(address, {"input_price": "3", "output_price": "15"}).status_code == 302
    sold.refresh_from_db()
    assert (sold.price_tiers, sold.reasoning_price, sold.price_version) == ([], None, 3)


@pytest.mark.parametrize(
    "sent",
    [{"input_price": "-1", "output_price": "1"}, {"input_price": "NaN", "output_price": "1"}, {"input_price": "1"}],
)
def test_what_is_no_price_is_refused(staff, sold, sent):
    assert staff.post(reverse("price-book-model", args=[sold.public_id]), sent).status_code == 422
    assert PriceVersion.objects.filter(target_id=sold.pk).count() == 1


def test_only_staff_see_it(client_of, alice, acme, sold, client):
    browser = client_of(alice)
    for address in (*map(reverse, ADDRESSES), reverse("price-book-model", args=[sold.public_id])):
        assert browser.get(address).status_code == 403
        assert client.get(address).status_code == 302
    assert browser.post(address, {"input_price": "0", "output_price": "0"}).status_code == 403


def test_models_of_organisations_are_nobody_elses_to_price(staff, acme, as_alice):
    own = create_connection(
        acme, as_alice, preset="custom", name="Own", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=[{"id": "secret"}],
    ).served_models.get()  # fmt: skip
    assert staff.get(reverse("price-book-model", args=[own.public_id])).status_code == 404
    assert "secret" not in shown(staff, "price-book")
    assert "Nothing is sold yet" in shown(staff, "price-book")
