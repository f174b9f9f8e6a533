"""`POST /v1/moderations`, asked by the official SDK through the real gateway."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI
from openai.types import ModerationCreateParams

from routing.cache_services import put_policy
from routing.services import put_route
from tests.routing.hearing import let_all_hear

MODEL = "sim-chat"
USUAL = "omni-moderation-latest"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
WORDS = {"type": "text", "text": "[[flagged]] look"}
URL = "/v1/moderations"


@pytest.fixture
def sdk(client: OpenAI, tenant, upstreams) -> OpenAI:
    tenant.connect(upstreams.a.base_url, [{"id": USUAL, "upstream_id": MODEL, "kind": "moderation"}])
    return client


@pytest.mark.parametrize(
    ("given", "flagged"),
    [
        ("A kind word.", [False]),
        ("[[flagged]] words", [True]),
        (["A kind word.", "[[flagged]] words", "สวัสดี \u2028"], [False, True, False]),
        ([WORDS, PICTURE], [True]),
        ([PICTURE], [False]),
    ],
)
def test_each_form_of_input(sdk, upstreams, given, flagged):
    judged = sdk.moderations.create(model=USUAL, input=given)
    assert [result.flagged for result in judged.results] == flagged
    assert judged.results[0].categories.harassment == flagged[0]
    assert 0 <= judged.results[0].category_scores.violence < 1
    assert judged._request_id.startswith("req_")
    assert upstreams.a.log.last.body == {"model": MODEL, "input": given}


def test_without_a_model_openais_usual_one_is_meant(sdk, upstreams):
    assert sdk.moderations.create(input="A kind word.").results
    assert upstreams.a.log.last.body["model"] == MODEL


def test_a_route_may_stand_for_the_usual_model(client, gateway, tenant, upstreams):
    tenant.connect(upstreams.b.base_url, [{"id": "guardian", "upstream_id": MODEL, "kind": "moderation"}])
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="A kind word.")
    put_route(tenant.org, tenant.actor, USUAL, {"targets": [{"target": "guardian"}]})
    let_all_hear(gateway, tenant, "guardian")
    assert client.moderations.create(input="A kind word.").results


def test_no_field_of_the_sdk_is_left_out():
    assert set(ModerationCreateParams.__annotations__) == {"model", "input"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("", "input"),
        ([], "input"),
        ({"text": "x"}, "input"),
        (["fine", ""], "input[1]"),
        (["fine", 7], "input[1]"),
        (["fine", WORDS], "input[1]"),
        ([WORDS, "fine"], "input[1]"),
        ([WORDS, {"type": "text"}], "input[1]"),
        ([{"type": "image_url", "image_url": "https://a.example/b.png"}], "input[0]"),
        ([{"type": "file", "file": {}}], "input[0]"),
    ],
)
def test_an_input_in_no_form_is_refused(sdk, http, upstreams, given, param):
    reply = http.post(URL, json={"model": USUAL, "input": given})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not upstreams.a.log.posts


def test_pictures_go_to_those_who_can_see(client, tenant, upstreams):
    for upstream, able in ((upstreams.a, ["tools"]), (upstreams.b, ["vision"])):
        model = {"id": USUAL, "upstream_id": MODEL, "kind": "moderation", "capabilities": able}
        tenant.connect(upstream.base_url, [model])
    raw = client.moderations.with_raw_response
    assert raw.create(input=[PICTURE]).headers["x-shareai-target"] == f"upstream-b/{USUAL}"
    assert raw.create(input="Words.").headers["x-shareai-target"] == f"upstream-a/{USUAL}"


def test_a_judgement_may_be_kept(sdk, http, gateway, tenant, upstreams):
    put_policy(tenant.org, tenant.actor, scope="organization", ttl_s=60)
    let_all_hear(gateway, tenant, USUAL)
    miss, hit = (http.post(URL, json={"input": "A kind word."}) for _ in range(2))
    assert (miss.headers["x-shareai-cache"], hit.headers["x-shareai-cache"]) == ("MISS", "HIT")
    assert miss.content == hit.content
    assert len(upstreams.a.log.posts) == 1


def test_the_trace_is_told_beside_the_results(sdk, http):
    told = http.post(URL, json={"input": "A kind word."}, headers={"X-ShareAI-Metadata": "enabled"}).json()
    assert told["results"]
    assert [attempt["outcome"] for attempt in told["shareai"]["attempts"]] == ["ok"]
