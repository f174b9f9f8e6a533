"""`/earnings` and `/causes`: as the pages show them, for scripts."""
# ruff: noqa: F401, F811  fixtures of billing

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from billing.earnings import cases, causes
from billing.earnings.models import Case
from nodes.recount import TOO_FAST
from tests.billing.conftest import fund, sold, used, wallet
from tests.billing.earnings.conftest import as_mallory, cause, chosen, doubted, machine, served
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


def test_balances_trust_and_maturity(rival_api, api, served):
    served()
    shown = rival_api.get("earnings").json()
    assert shown["balances"] == {
        "escrow_usd": "0.0021", "available_usd": "0", "paid_out_usd": "0", "tokens_usd": "0", "donated_usd": "0",
    }  # fmt: skip
    assert shown["trust"] == {"percent": 100.0, "requests_missing": 99, "suffices": False}
    assert (shown["exposure_percent"], shown["badges"]) == (100, ["first_answer"])
    assert [one["amount_usd"] for one in shown["maturing"]] == ["0.0021"]
    assert api.get("earnings").json()["balances"]["escrow_usd"] == "0"


def test_lots_by_machine_model_and_day(rival_api, api, served, machine):
    served("req_1")
    served("req_2")
    [lot] = rival_api.get("earnings/lots").json()["data"]
    assert (lot["node"], lot["model"], lot["requests"]) == (machine.node.public_id, "llama3.1:8b", 2)
    assert (lot["paid_usd"], lot["earned_usd"], lot["escrow_usd"]) == ("0.006", "0.0042", "0.0042")
    assert api.get("earnings/lots").json()["data"] == []


def test_a_programme_is_chosen_and_previewed_to_the_last_unit(rival_api, cause):
    wanted = {"kind": "mission", "donated_percent": 33, "causes": {cause.slug: 2}}
    shown = rival_api.put("earnings/programme", wanted).json()
    assert {name: shown[name] for name in wanted} == wanted
    assert rival_api.get("earnings/programme").json() == shown
    preview = rival_api.get(
        "earnings/preview", kind="mission", donated_percent=33, causes=f"{cause.slug}:2", amount_nanos=101
    ).json()
    assert (preview["paid_usd"], preview["fee_usd"]) == ("0.000000101", "0.000000031")
    assert (preview["escrow_usd"], preview["donated_usd"]) == ("0.000000047", {cause.slug: "0.000000023"})


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"kind": "gold"}, "kind"),
        ({}, "kind"),
        ({"kind": "rewards", "rewards": 100}, "kind"),
        ({"rewards": 50}, "rewards"),
        ({"rewards": 50, "exchange": 51}, "rewards"),
        ({"rewards": -1, "exchange": 101}, "rewards"),
        ({"exchange": 101}, "exchange"),
        ({"exchange": 12.5}, "exchange"),
        ({"exchange": 100, "kind": "exchange"}, "kind"),
        ({"exchange": 60, "mission": [{"cause": "trees-for-all", "share": 41}]}, "rewards"),
        ({"exchange": 60, "donated_percent": 41, "causes": {"trees-for-all": 1}}, "rewards"),
        ({"exchange": 60, "donated_percent": 40}, "causes"),
        ({"exchange": 60, "causes": {"trees-for-all": 1}}, "donated_percent"),
        ({"donated_percent": 20, "mission": [{"cause": "trees-for-all", "share": 20}]}, "mission"),
        ({"kind": "mixed"}, "kind"),
        ({"kind": "mission", "donated_percent": 0, "causes": {"trees-for-all": 1}}, "donated_percent"),
        ({"exchange": 100, "rewards": 1}, "rewards"),
        ({"mission": [{"cause": "trees-for-all", "share": 20}], "rewards": 70}, "rewards"),
        ({"mission": [{"cause": "trees-for-all", "share": 9}]}, "donated_percent"),
        ({"mission": [{"cause": "x", "share": 60}, {"cause": "y", "share": 60}]}, "rewards"),
        ({"mission": [{"cause": "x", "share": 20}, {"cause": "x", "share": 20}]}, "mission"),
        ({"mission": [{"cause": "no-such", "share": 20}]}, "causes"),
        ({"kind": "mission"}, "donated_percent"),
        ({"kind": "mission", "donated_percent": 9}, "donated_percent"),
        ({"kind": "mission", "donated_percent": 50}, "causes"),
        ({"kind": "mission", "donated_percent": 50, "causes": {"no-such": 1}}, "causes"),
    ],
)
def test_what_cannot_be_chosen_names_its_field(rival_api, sent, param):
    response = rival_api.put("earnings/programme", sent)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_programme_is_also_said_by_what_goes_where(rival_api, cause):
    other = causes.add({"name": "Clean Water", "summary": "Digs wells."})
    gifts = [{"cause": other.slug, "share": 10}, {"cause": cause.slug, "share": 20}]
    said = rival_api.put("earnings/programme", {"rewards": 70, "exchange": 0, "mission": gifts}).json()
    assert (said["kind"], said["donated_percent"]) == ("mission", 30)
    assert said["causes"] == {other.slug: 10, cause.slug: 20}
    assert (said["rewards"], said["exchange"], said["mission"]) == (70, 0, gifts)
    for wish, parts in (({"exchange": 100}, ("exchange", 0, 100)), ({"mission": []}, ("rewards", 100, 0))):
        said = rival_api.put("earnings/programme", wish).json()
        assert (said["kind"], said["rewards"], said["exchange"], said["mission"]) == (*parts, [])


def test_a_share_is_divided_freely_and_told_all_three_ways(rival_api, cause):
    gifts = [{"cause": cause.slug, "share": 25}]
    said = rival_api.put("earnings/programme", {"rewards": 45, "exchange": 30, "mission": gifts}).json()
    assert (said["kind"], said["rewards"], said["exchange"], said["mission"]) == ("mixed", 45, 30, gifts)
    assert (said["donated_percent"], said["causes"]) == (25, {cause.slug: 25})
    assert rival_api.get("earnings/programme").json() == said
    wishes = {"exchange": 67, "donated_percent": 33, "causes": {cause.slug: 1}}
    said = rival_api.put("earnings/programme", wishes).json()
    assert (said["kind"], said["rewards"], said["exchange"], said["donated_percent"]) == ("mixed", 0, 67, 33)
    said = rival_api.put("earnings/programme", {"exchange": 1}).json()
    assert (said["kind"], said["rewards"], said["exchange"], said["mission"]) == ("mixed", 99, 1, [])


def test_a_plain_programme_is_chosen_by_its_name_as_ever(rival_api, cause):
    for kind, parts in (("exchange", (0, 100)), ("rewards", (100, 0))):
        said = rival_api.put("earnings/programme", {"kind": kind}).json()
        assert (said["kind"], said["rewards"], said["exchange"], said["mission"]) == (kind, *parts, [])


def test_a_mix_is_previewed_to_the_last_unit(rival_api, cause):
    given = {"exchange": 33, "donated_percent": 33, "causes": cause.slug}
    preview = rival_api.get("earnings/preview", **given, amount_nanos=101).json()
    assert (preview["escrow_usd"], preview["exchanged_usd"]) == ("0.000000024", "0.000000023")
    assert preview["donated_usd"] == {cause.slug: "0.000000023"}
    assert rival_api.get("earnings/preview", exchange=90, donated_percent=20).status_code == 400
    assert rival_api.get("earnings/preview").json()["escrow_usd"] == "0.7"


def test_who_chose_what_is_in_the_trail(rival, chosen, cause):
    chosen(exchanged=100)
    chosen(exchanged=40, donated=20, **{cause.slug: 3})
    event = AuditEvent.objects.of(rival).filter(action="earnings.programme_chosen").latest("pk")
    assert event.before == {"exchanged_percent": 100, "donated_percent": 0, "causes": {}}
    assert event.after == {"exchanged_percent": 40, "donated_percent": 20, "causes": {cause.slug: 3}}


@pytest.mark.parametrize("text", ["trees-for-all:x", "trees-for-all:-1", "trees-for-all:1000", "trees-for-all:0"])
def test_weights_that_are_none(rival_api, cause, text):
    assert rival_api.get("earnings/preview", kind="mission", donated_percent=50, causes=text).status_code == 400


def test_a_case_is_answered_until_it_is_decided(rival_api, api, served, doubted, as_mallory):
    served()
    doubted(TOO_FAST, times=2)
    cases.look(timezone.now())
    [shown] = rival_api.get("earnings/cases").json()["data"]
    assert (shown["state"], [doubt["kind"] for doubt in shown["doubts"]]) == ("open", [TOO_FAST])
    address = f"earnings/cases/{shown['id']}"
    assert rival_api.put(f"{address}/answer", {"answer": "Eight cards."}).json()["state"] == "answered"
    assert api.get(address).status_code == 404
    cases.dismiss(Case.objects.get(), as_mallory, "Seen.")
    assert rival_api.get(address).json()["note"] == "Seen."
    assert refused(rival_api.put(f"{address}/answer", {"answer": "More."}), 409, "case_closed")


def test_prices_with_their_history_and_bounds(rival_api, machine):
    shown = rival_api.get("earnings/prices").json()
    assert (shown["least_usd"], shown["most_usd"]) == ("0", "100")
    [model] = shown["models"]
    assert (model["node"], model["model"]) == (machine.node.public_id, "llama3.1:8b")
    assert [(one["version"], one["input_price"]) for one in model["versions"]] == [(2, "1"), (1, "0")]


def test_causes_and_what_they_were_given(api, served, chosen, cause):
    chosen(donated=100, **{cause.slug: 1})
    served()
    shown = api.get(f"causes/{cause.slug}").json()
    assert (shown["id"], shown["given_usd"], shown["paid_usd"], shown["is_open"]) == (cause.slug, "0.0021", "0", True)
    assert api.get("causes").json()["data"] == [shown]
    causes.close(cause)
    assert not api.get(f"causes/{cause.slug}").json()["is_open"]
    assert api.get("causes/no-such").status_code == 404
