"""Home, Logs, Activity and Models: what they say of the same requests."""

import csv
import io
from datetime import UTC

import pytest
from django.urls import reverse

from accounts.models import ApiKey
from console.offers import connections_in_sight
from console.pages import logs
from console.steps import steps_of
from metering.partitions import ensure_partitions
from nodes.models import Node
from nodes.services import update_node
from tests.console.pages import machines
from tests.console.pages.conftest import answered, connect, failed, record


def texts(response):
    return response.content.decode()


def test_the_log_tells_how_a_request_was_saved(as_browser, alice, log):
    shown = texts(as_browser(alice).get(reverse("logs-detail", args=[log[0].request_id])))
    assert "server error" in shown
    assert "borealis/demo-chat" in shown
    assert "$0.000057" in shown
    assert "billing service" in shown


def test_the_log_opens_in_a_sheet(as_browser, alice, log):
    address = reverse("logs-detail", args=[log[0].request_id])
    sheet = as_browser(alice).get(address, headers={"HX-Request": "true"})
    assert "<html" not in texts(sheet)
    assert "HX-Request" in sheet["Vary"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0, 1, 2]),
        ("?model=nope", [2]),
        ("?status=2", [0, 1]),
        ("?status=4", [2]),
        ("?status=error", [2]),
        ("?stream=yes", [1]),
        ("?error=model_not_found", [2]),
        ("?slow=1000", []),
        ("?target=borealis/demo-chat", [0]),
        ("?range=15m", [0, 1, 2]),
        ("?model=unheard-of", []),
    ],
)
def test_filters_are_in_the_address(as_browser, alice, log, query, found):
    lines = as_browser(alice).get(reverse("logs") + query).context["lines"]
    assert [line.usage.request_id for line in lines] == [log[index].request_id for index in found]


def test_a_filter_that_no_field_shows_comes_off_by_itself(as_browser, alice, log):
    browser = as_browser(alice)
    shown = browser.get(reverse("logs"), {"error": "model_not_found", "model": "nope"})
    assert len(shown.context["lines"]) == 1
    [chip] = shown.context["chips"]
    assert (chip.given, chip.without) == ("model_not_found", "?model=nope")
    assert f'value="{chip.given}"' in shown.content.decode(), "other filters keep it"


def test_one_request_is_found_by_its_id(as_browser, alice, log):
    lines = as_browser(alice).get(reverse("logs") + f"?request_id={log[1].request_id}").context["lines"]
    assert [line.usage.request_id for line in lines] == [log[1].request_id]


def test_older_requests_are_a_page_away(as_browser, alice, acme, key, log):
    for number in range(60):
        record(acme, key, 100 + number)
    browser, seen = as_browser(alice), []
    address = reverse("logs")
    while address:
        context = browser.get(address).context
        seen += [line.usage.request_id for line in context["lines"]]
        address = context["pager"]["older"] and reverse("logs") + context["pager"]["older"]
    assert len(seen) == len(set(seen)) == 63


def test_and_so_is_the_way_back_with_the_same_filters(as_browser, alice, acme, key, log):
    for number in range(110):
        record(acme, key, 100 + number, stream=True)
    browser, address = as_browser(alice), reverse("logs")
    first = browser.get(address + "?stream=yes").context
    second = browser.get(address + first["pager"]["older"]).context
    third = browser.get(address + second["pager"]["older"])
    assert 'rel="prev"' in texts(third)
    back = browser.get(address + third.context["pager"]["newer"]).context
    assert back["lines"] == second["lines"]
    front = browser.get(address + back["pager"]["newer"]).context
    assert (front["lines"], front["is_first_page"], front["pager"]["newer"]) == (first["lines"], True, "")
    assert "stream=yes" in back["pager"]["newer"]
    assert "after" not in back["pager"]["newer"]


def test_a_strange_cursor_is_not_found(as_browser, alice, acme):
    for direction in ("after", "before"):
        assert as_browser(alice).get(reverse("logs") + f"?{direction}=nonsense").status_code == 404


def test_the_csv_says_what_the_page_says(as_browser, alice, log):
    rows = list(csv.DictReader(io.StringIO(texts(as_browser(alice).get(reverse("logs-export") + "?status=2")))))
    assert [row["request_id"] for row in rows] == [log[0].request_id, log[1].request_id]
    assert rows[0]["cost_usd"] == "0.000057000"


def test_a_file_of_rare_requests_says_how_far_back_it_looked(as_browser, alice, log, monkeypatch):
    whole = as_browser(alice).get(reverse("logs-export") + "?status=2")
    assert "back-to" not in whole["Content-Disposition"]
    monkeypatch.setattr(logs, "_LOOKED_AT_BY_FILES", 0)
    cut = as_browser(alice).get(reverse("logs-export") + "?status=2")
    assert f"-back-to-{log[0].started_at.astimezone(UTC):%Y-%m-%dT%H%MZ}.csv" in cut["Content-Disposition"]
    assert [row["request_id"] for row in csv.DictReader(io.StringIO(texts(cut)))] == [log[0].request_id]


def test_a_look_at_newer_ones_that_pauses_says_so(as_browser, alice, log, monkeypatch):
    monkeypatch.setattr(logs, "_PAGE", 1)
    browser = as_browser(alice)
    last = browser.get(reverse("logs") + browser.get(reverse("logs") + "?status=2").context["pager"]["older"])
    monkeypatch.setattr(logs, "_LOOKED_AT", 0)
    answer = browser.get(reverse("logs") + last.context["pager"]["newer"])
    assert answer.context["looked_ahead_to"] is not None
    assert "These are all up to" in texts(answer)


def test_the_key_of_the_playground_is_called_so(as_browser, alice, acme, key, log):
    ApiKey.objects.filter(pk=key.pk).update(is_ephemeral=True)
    shown = texts(as_browser(alice).get(reverse("logs")))
    assert "billing service" not in shown
    assert "Playground" in shown


@pytest.mark.parametrize("group", ["model", "route", "target", "node", "key", "member"])
@pytest.mark.parametrize("span", ["24h", "7d", "month", "90d"])
def test_activity_adds_up(as_browser, alice, log, group, span):
    context = as_browser(alice).get(reverse("activity") + f"?range={span}&group={group}&figure=requests").context
    assert sum(shown.line.row.requests for shown in context["rows"]) == context["total"].requests == 3
    assert sum(sum(series["data"]) for series in context["chart"]["series"]) == 3
    assert all(len(series["data"]) == len(context["chart"]["labels"]) for series in context["chart"]["series"])


def test_activity_draws_the_smaller_groups_as_one(as_browser, alice, acme, key, log):
    for number in range(8):
        record(acme, key, 5, model=f"model-{number}", cost_nanos=1000 * number)
    context = as_browser(alice).get(reverse("activity")).context
    assert len(context["rows"]) == 10
    assert [series["label"] for series in context["chart"]["series"]][-1] == "others"
    assert len(context["chart"]["series"]) == 7


def test_activity_takes_the_usual_for_what_it_does_not_know(as_browser, alice, log):
    context = as_browser(alice).get(reverse("activity") + "?range=century&group=mood&figure=x").context
    usual = {"range": "7d", "group": "model", "figure": "spend", "start": None, "end": None}
    assert context["said"] == usual


def test_models_say_who_serves_and_from_which_price(as_browser, alice, acme, as_alice, connection, log):
    context = as_browser(alice).get(reverse("models")).context
    chat = next(offer for offer in context["offers"] if offer.name == "demo-chat")
    assert [each.target for each in chat.served] == ["aurora/demo-chat"]
    assert str(chat.cheapest.output_price) == "1.500000"
    assert (chat.usage.requests, chat.usage.errors) == (2, 0)


def test_models_list_machines_beside_providers(as_browser, alice, acme, as_alice, connection):
    machines.list_models(machines.new_node(acme, as_alice), "llama3.1:8b", "demo-chat")
    node = Node.objects.of(acme).get()
    update_node(node, as_alice, {"models": [{"upstream_id": "demo-chat", "advertised": True, "input_price": "0"}]})
    response = as_browser(alice).get(reverse("models"))
    offers = {offer.name: offer for offer in response.context["offers"]}
    assert [each.name for each in offers["llama3.1:8b"].served] == ["Workbench"]
    assert [each.name for each in offers["demo-chat"].served] == ["Aurora", "Workbench"]
    assert offers["demo-chat"].cheapest.name == "Workbench"
    assert reverse("nodes-detail", args=[node.public_id]) in texts(response)
    found = as_browser(alice).get(reverse("models") + "?q=workbench").context["offers"]
    assert {offer.name for offer in found} == {"llama3.1:8b", "demo-chat"}


def test_the_playground_takes_a_pin_of_a_machine_in_sight(as_browser, alice, mallory, rival, acme, as_alice):
    machines.list_models(machines.new_node(acme, as_alice))
    pinned = "node/workbench/llama3.1:8b"
    shown = as_browser(alice).get(reverse("playground"), {"model": pinned})
    assert (shown.context["chosen"], shown.context["models"][0]) == ([pinned], pinned)
    assert as_browser(mallory).get(reverse("playground"), {"model": pinned}).context["chosen"] == []


def test_whoever_answered_is_named_machines_too(as_browser, alice, acme, key):
    ensure_partitions()
    for target in ("node/workbench/llama3.1:8b", "aurora/meta/llama3"):
        record(acme, key, 1, target=target, attempts=[answered(target)])
    shown = texts(as_browser(alice).get(reverse("logs")))
    assert ">workbench<" in shown
    assert ">aurora<" in shown


def test_the_playground_opens_with_several(as_browser, alice, acme, as_alice):
    connect(acme, as_alice, models=[("demo-chat", "chat"), ("other-chat", "chat")])
    names = as_browser(alice).get(reverse("playground")).context["models"]
    assert sorted(names) == ["demo-chat", "other-chat"]
    shown = as_browser(alice).get(reverse("playground"), {"model": [names[1], "nothing", names[0], names[1]]})
    assert shown.context["chosen"] == [names[1], names[0]]
    assert as_browser(alice).get(reverse("playground")).context["chosen"] == names[:1]


@pytest.mark.parametrize(
    ("query", "count"), [("?q=chat", 1), ("?q=aurora", 2), ("?kind=embedding", 1), ("?can=tools", 0)]
)
def test_models_are_searched(as_browser, alice, acme, connection, query, count):
    assert len(as_browser(alice).get(reverse("models") + query).context["offers"]) == count


def ticked(organization):
    return [step.done for step in steps_of(organization, connections_in_sight(organization))]


def test_each_step_is_ticked_by_what_really_happened(acme, as_alice, alice, request):
    assert ticked(acme) == [True, False, False, False, False, False]
    request.getfixturevalue("connection")
    assert ticked(acme) == [True, True, False, False, False, False]
    key = request.getfixturevalue("key")
    assert ticked(acme) == [True, True, True, False, False, False]
    machines.new_node(acme, as_alice)
    assert ticked(acme) == [True, True, True, True, False, False]
    record(acme, key, 3, attempts=[answered("aurora/demo-chat")])
    assert ticked(acme) == [True, True, True, True, True, False]
    record(acme, key, 2, attempts=[failed("aurora/demo-chat"), answered("borealis/demo-chat")])
    assert all(ticked(acme))


def test_a_step_offers_only_what_the_role_allows(as_browser, alice, carol, acme):
    offer = f'href="{reverse("providers-new")}"'
    assert offer in texts(as_browser(alice).get(reverse("home")))
    shown = texts(as_browser(carol).get(reverse("home")))
    assert "Have a model to call" in shown
    assert offer not in shown


def test_home_counts_today(as_browser, alice, acme, as_alice, connection, log):
    node = machines.serving(machines.new_node(acme, as_alice))
    response = as_browser(alice).get(reverse("home"))
    context = response.context
    assert (context["today"].total.requests, context["today"].total.errors) == (3, 1)
    assert context["today"].total.spend_nanos == 114_000
    assert sum(context["today"].requests) == 3
    assert context["steps"] == []
    assert (context["machines"].connected, context["machines"].total, context["machines"].accepting) == (1, 1, 1)
    assert "1 takes requests" in texts(response)
    machines.leave(node)


def test_a_provider_that_fails_is_told_so(as_browser, alice, acme, connection, key, log):
    shown = texts(as_browser(alice).get(reverse("providers")))
    assert "Failing at times" in shown
    record(acme, key, 1, status=502, attempts=[failed("aurora/demo-chat")])
    record(acme, key, 1, status=502, attempts=[failed("aurora/demo-chat")])
    context = as_browser(alice).get(reverse("home")).context
    assert (context["healthy"], context["enabled"]) == (0, 1)
