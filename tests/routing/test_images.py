"""`POST /v1/images/generations`, asked by the official SDK through the real gateway."""

from __future__ import annotations

import base64

import pytest
from openai.types.image_generate_params import ImageGenerateParamsBase

from accounts.limits import set_limits
from accounts.organizations import update_organization
from accounts.scopes import ORGANISATION
from metering import contents
from metering.models import Usage
from metering.transcripts import MOST_SIDE_BYTES
from providers.adapters import ADAPTERS
from providers.endpoints import IMAGES
from providers.failures import UpstreamFailure
from providers.schema import parse
from routing.cache_services import put_policy
from routing.upper_bounds import output_limit, size_of
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear

MODEL = "sim-chat"
URL = "/v1/images/generations"
WISH = {"model": MODEL, "prompt": "A gateway in the morning."}
TOKEN_NANOS = 100_000
PRICED = {"input_price": "0", "output_price": "100"}
FIELDS = {
    "background": "opaque",
    "complexity": "low",
    "frame_count": 1,
    "frame_duration_ms": 100,
    "model": MODEL,
    "moderation": "low",
    "n": 2,
    "output_compression": 90,
    "output_format": "png",
    "partial_images": 0,
    "prompt": "A gateway in the morning.",
    "quality": "high",
    "response_format": "b64_json",
    "safety_identifier": "someone",
    "size": "1024x1024",
    "style": "vivid",
    "svg": {"a": 1},
    "user": "someone",
}


@pytest.fixture
def served(tenant, upstreams):
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, [{"id": MODEL, "kind": "image", **PRICED}])
    return tenant


def call(**fields):
    return parse(IMAGES, {**WISH, **fields}, request_id="req_1", body_bytes=100)


def test_every_field_of_the_sdk_arrives(client, served, upstreams):
    assert set(ImageGenerateParamsBase.__annotations__) <= FIELDS.keys()
    made = client.images.generate(**FIELDS)
    assert [base64.b64decode(one.b64_json)[1:4] for one in made.data] == [b"PNG", b"PNG"]
    assert (made.usage.output_tokens, made.usage.input_tokens_details.image_tokens) == (2 * 4160, 0)
    assert upstreams.a.log.last.body == FIELDS


def test_pictures_elsewhere_are_told_by_their_addresses(client, served):
    made = client.images.generate(**WISH, response_format="url")
    assert [one.url.startswith("https://") for one in made.data] == [True]


def test_a_picture_without_tokens_counts_a_thousand(http, served, upstreams):
    upstreams.a.fail("bad-usage-missing")
    reply = http.post(URL, json=WISH | {"n": 3})
    assert "usage" not in reply.json()
    rows = Usage.objects.of(served.org).filter(request_id=reply.headers["x-request-id"])
    eventually(rows.exists, 10)
    row = rows.get()
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (6, 3000, "counted")
    assert row.cost_nanos == 3000 * TOKEN_NANOS
    assert reply.headers["x-shareai-cost"] == "0.300000000"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"size": 1024}, "size"),
        ({"size": ""}, "size"),
        ({"quality": ["high"]}, "quality"),
        ({"response_format": {"type": "url"}}, "response_format"),
        ({"response_format": "png"}, "response_format"),
        ({"model": None}, "model"),
    ],
)
def test_what_cannot_be_made_is_refused(http, served, upstreams, fields, param):
    reply = http.post(URL, json=WISH | fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not upstreams.a.log.posts


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[]}',
        b'{"data":[{}]}',
        b'{"data":[{"b64_json":null,"url":""}]}',
        b'{"data":[{"url":"https://a.example/b.png"},{"url":7}]}',
        b'{"data":{"url":"https://a.example/b.png"}}',
        b'{"data":[{"url":"https://a.example/b.png"}],"error":{"message":"no"}}',
    ],
)
def test_an_answer_without_its_pictures_is_none(body):
    with pytest.raises(UpstreamFailure):
        ADAPTERS["openai"].completion(call(), body)


def test_what_is_held_is_of_each_picture_whatever_limit_is_named():
    many = call(n=3, max_tokens=1)
    assert size_of(many, output_limit(many, ())).output_tokens == 3 * 8192


def test_a_budget_covers_all_pictures_or_refuses_them(http, served, gateway, upstreams):
    """One can take 0.8192 dollars here. No limit of tokens is written into what is sent."""
    wishes = {"budgets": [{"amount_usd": "1", "window": "monthly"}], "when_reached": "block"}
    set_limits(served.org, served.actor, ORGANISATION, "", wishes=wishes)
    let_all_hear(gateway, served, MODEL)
    refused = http.post(URL, json=WISH | {"n": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert not upstreams.a.log.posts
    made = http.post(URL, json=WISH)
    assert made.status_code == 200
    assert "x-shareai-max-tokens-clamped" not in made.headers
    assert upstreams.a.log.last.body == WISH


def test_pictures_are_made_anew(http, served, gateway, upstreams):
    put_policy(served.org, served.actor, scope="organization", ttl_s=60)
    let_all_hear(gateway, served, MODEL)
    replies = [http.post(URL, json=WISH) for _ in range(2)]
    assert not [reply for reply in replies if "x-shareai-cache" in reply.headers]
    assert len(upstreams.a.log.posts) == 2


def test_a_large_answer_passes_and_leaves_little_in_the_log(http, served, gateway, upstreams):
    update_organization(served.org, served.actor, log_content=True)
    let_all_hear(gateway, served, MODEL)
    upstreams.a.fail("event-10mib")
    reply = http.post(URL, json=WISH, headers={"X-ShareAI-Metadata": "enabled"})
    assert len(reply.content) > 10 << 20
    assert (len(reply.json()["data"]), reply.json()["shareai"]["attempts"][0]["outcome"]) == (1, "ok")
    request_id = reply.headers["x-request-id"]
    eventually(lambda: contents.is_kept(served.org, request_id), 10)
    kept = contents.read(served.org, served.actor, request_id)
    assert kept.transcript.is_cut
    assert len(kept.transcript.answer) <= MOST_SIDE_BYTES


def test_an_answer_beyond_all_bounds_is_another_failure(http, served, upstreams):
    upstreams.a.fail("gzip-bomb")
    assert http.post(URL, json=WISH).headers["x-shareai-target"] == f"upstream-b/{MODEL}"
